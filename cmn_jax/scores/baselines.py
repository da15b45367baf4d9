"""Reports that need no model: what every score has to be read against."""

from collections import Counter

import numpy as np

from cmn_jax.scores.metrics import (
  ORDERS,
  BleuCounts,
  corpus_bleu,
  count_ngrams,
)

_QUERIES_AT_ONCE = 256


def constant_report(train_reports: list[str], val_references: list[str]) -> str:
  """The train report that, given to every validation study, scores best.

  Best is the highest validation BLEU-4, the score by which models are selected
  too. Every distinct train report is tried, about 0.1 ms each; of equal ones
  the first in string order is taken.

  Args:
    train_reports: reports as the references are: cleaned, cut.
    val_references: references of the validation studies.

  Raises:
    ValueError: no train reports or no references.
  """
  candidates = sorted(set(train_reports))
  if not candidates or not val_references:
    raise ValueError(
      f'{len(train_reports)} train reports, {len(val_references)} validation '
      'references: expected at least one of each, for the constant report is '
      'one of the former and chosen by the latter.'
    )
  sharing = [Counter() for _ in range(ORDERS)]
  for reference in val_references:
    for references_with, ngrams in zip(
      sharing, _numbered_ngrams(reference), strict=True
    ):
      references_with.update(ngrams)
  studies = len(val_references)
  words = sum(len(reference.split()) for reference in val_references)

  def bleu_4(report):
    ngrams = _numbered_ngrams(report)
    matches_4 = [
      sum(references_with[ngram] for ngram in numbered)
      for references_with, numbered in zip(sharing, ngrams, strict=True)
    ]
    ngrams_4 = studies * np.array([len(numbered) for numbered in ngrams])
    sums = BleuCounts(np.array(matches_4), ngrams_4, ngrams_4[0], words)
    return corpus_bleu(sums)[ORDERS - 1]

  return max(candidates, key=bleu_4)


def _numbered_ngrams(report):
  """For each order, (n-gram, which of its occurrences it is).

  Numbered so, a clipped match is plain membership: the second 'no' of a report
  matches in just those references that have a second 'no'.
  """
  return [
    [(ngram, i) for ngram, count in counts.items() for i in range(count)]
    for counts in count_ngrams(report)
  ]


def retrieval_reports(
  train_thumbnails_NxIxhxw: np.ndarray,
  train_reports: list[str],
  query_thumbnails_MxIxhxw: np.ndarray,
) -> list[str]:
  """For each query, the report of the train study whose films look most alike.

  Alike is the mean over views of the correlation of the grey values. A query
  that is itself among the train studies finds itself: ask for others only.

  Args:
    train_thumbnails_NxIxhxw: small films, of any dtype and grey scale.
    train_reports: N reports.
    query_thumbnails_MxIxhxw: films of the same views and size.

  Returns:
    M reports.

  Raises:
    ValueError: shapes that do not fit together.
  """
  train, queries = train_thumbnails_NxIxhxw, query_thumbnails_MxIxhxw
  if len(train) != len(train_reports) or train.shape[1:] != queries.shape[1:]:
    raise ValueError(
      f'Thumbnails {train.shape} with {len(train_reports)} reports cannot '
      f'answer queries {queries.shape}: expected a report for each train study '
      'and films of equal views, height and width.'
    )
  train_NxD = _standardise(train)
  nearest = []
  for start in range(0, len(queries), _QUERIES_AT_ONCE):
    some_QxD = _standardise(queries[start : start + _QUERIES_AT_ONCE])
    nearest.extend((some_QxD @ train_NxD.T).argmax(axis=1))
  return [train_reports[i] for i in nearest]


def _standardise(thumbnails_NxIxhxw):
  """Each film at mean 0 and length 1 (an empty film at 0), a study a row."""
  n, views = thumbnails_NxIxhxw.shape[:2]
  films = thumbnails_NxIxhxw.reshape(n, views, -1).astype(np.float32)
  films -= films.mean(axis=-1, keepdims=True)
  lengths = np.linalg.norm(films, axis=-1, keepdims=True)
  return (films / np.maximum(lengths, 1e-6)).reshape(n, -1)
