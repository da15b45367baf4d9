"""Reports that need no model: what every score has to be read against."""

import functools
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from cmn_jax.scores.checks import check_finite, check_pairs
from cmn_jax.scores.metrics import (
  ORDERS,
  bleu_2_rexrank_per_study,
  corpus_bleu,
  count_ngrams,
)
from input_pipeline.findings import NO_FINDING

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
    bleus = corpus_bleu(np.array(matches_4), ngrams_4, ngrams_4[0], words)
    return bleus[ORDERS - 1]

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
  train_NxIxD: np.ndarray,
  train_reports: list[str],
  queries_MxIxD: np.ndarray,
) -> list[str]:
  """For each query, the report of the train study whose images look most alike.

  Alike is the mean over views of the correlation of two images' values: grey
  values of small images, in any grey scale, or features of an encoder. A query
  that is itself among the train studies finds itself: ask for others only.

  Args:
    train_NxIxD: values of each view, of any dtype; D may be several axes. A
      missing view has equal values.
    train_reports: N reports.
    queries_MxIxD: values of the same views and size.

  Returns:
    M reports.

  Raises:
    ValueError: shapes that do not fit together; NaN or infinity.
  """
  train, queries = train_NxIxD, queries_MxIxD
  if len(train) != len(train_reports) or train.shape[1:] != queries.shape[1:]:
    raise ValueError(
      f'Train studies {train.shape} with {len(train_reports)} reports cannot '
      f'answer queries {queries.shape}: expected a report for each train study '
      'and as many views and values in both.'
    )
  check_finite(train, 'values of the train studies')
  check_finite(queries, 'values of the queries')
  train_NxK = _standardise(train)
  nearest = []
  for start in range(0, len(queries), _QUERIES_AT_ONCE):
    some_QxK = _standardise(queries[start : start + _QUERIES_AT_ONCE])
    nearest.extend((some_QxK @ train_NxK.T).argmax(axis=1))
  return [train_reports[i] for i in nearest]


def template_reports(
  constant: str,
  train_reports: list[str],
  train_labels: Sequence[Collection[str]],
  predicted: Sequence[Collection[str]],
) -> list[str]:
  """What a classifier's decisions alone can say: the template by classifier.

  A study without findings, or with none that a train report states, gets the
  constant report. Any other gets the train report whose labels fit its own best
  (highest F1 of the two sets); of equally good ones the one most like the
  constant report (sentence level BLEU-2), of equally like ones the first in
  string order.

  Args:
    constant: the report of `constant_report`.
    train_reports: N reports as the references are: cleaned, cut.
    train_labels: what each of these reports states. No Finding is ignored here
      and in `predicted`.
    predicted: the classes that the classifier says of each query.

  Returns:
    A report for each of `predicted`.

  Raises:
    ValueError: no train reports, or not as many labels.
  """
  check_pairs(train_reports, train_labels)
  labels_of = dict(zip(train_reports, map(_found, train_labels), strict=True))
  reports = sorted(labels_of)
  likeness = bleu_2_rexrank_per_study([constant] * len(reports), reports)
  best_of = {}  # the report of each set of labels, the most like ones first
  for n in np.argsort(-likeness, kind='stable'):
    best_of.setdefault(labels_of[reports[n]], reports[n])

  @functools.cache
  def report_for(wanted):
    fit = {
      found: 2 * len(found & wanted) / (len(found) + len(wanted))
      for found in best_of
      if found & wanted
    }
    return best_of[max(fit, key=fit.get)] if fit else constant

  return [report_for(_found(labels)) for labels in predicted]


def _found(labels: Collection[str]) -> frozenset[str]:
  return frozenset(labels) - {NO_FINDING}


def _standardise(values_NxIxD):
  """Each view at mean 0 and length 1 (an empty one at 0), a study a row."""
  n, views = values_NxIxD.shape[:2]
  rows = values_NxIxD.reshape(n, views, -1).astype(np.float32)
  rows -= rows.mean(axis=-1, keepdims=True)
  lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
  return (rows / np.maximum(lengths, 1e-6)).reshape(n, -1)
