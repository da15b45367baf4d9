"""All scores of the reports written for a split: `evaluation/<split>.json`.

No score stands alone: beside the model's stand those of one constant report,
of the nearest training study's report, and of the model's own reports dealt
out to other patients.
"""

import numpy as np

from cmn_jax.scores.baselines import constant_report, retrieval_reports
from cmn_jax.scores.findings import score_attributes, score_findings
from cmn_jax.scores.metrics import fast_scores, score_reports
from cmn_jax.scores.significance import bootstrap_intervals
from input_pipeline.findings_reader import FindingsReader

_DEALS = 20  # a single deal's chance hits vary by a third


class SplitScorer:
  """Scores predictions for the studies of one split.

  Args:
    studies: with id, report, reference and findings.
    reader: how findings are read.
    bootstrap: resamples of each 95 % interval; 0 leaves intervals out.
  """

  def __init__(self, studies, reader: FindingsReader, bootstrap: int):
    self._studies = list(studies)
    self._reader = reader
    self._bootstrap = bootstrap
    self._references = [study.reference for study in studies]
    self._labels = [reader.labels_of_study(study) for study in studies]
    self._findings = [reader.of_study(study) for study in studies]

  def __call__(self, predictions: list[str], metrics=score_reports) -> dict:
    """Scores of one system: words, findings, distinct reports, intervals.

    Args:
      predictions: a report for each study.
      metrics: `score_reports`, or `fast_scores` that does without Java.
    """
    read = self._reader
    findings = score_findings(
      self._labels,
      [read.labels_of_text(text) for text in predictions],
      read.classes,
      bootstrap=max(self._bootstrap, 1),
    )
    attributes = score_attributes(
      self._findings, [read.of_text(text) for text in predictions]
    )
    scores = {
      **metrics(self._references, predictions),
      'studies': len(predictions),
      'distinct_reports': len(set(predictions)),
      'findings': {'source': read.source, **findings, **attributes},
    }
    if self._bootstrap:
      scores['intervals'] = bootstrap_intervals(
        self._references, predictions, samples=self._bootstrap
      )
    return scores

  def shuffled(self, predictions: list[str], seed: int) -> dict:
    """Scores of the reports when each study gets another one's.

    A report depends on its own study's films alone, so this is the model
    shown shuffled films, without writing anything again. Several deals are
    scored as one, as a single deal's chance hits vary a lot.
    """
    n = len(predictions)
    order = np.random.default_rng(seed).permutation(n)
    deals = min(_DEALS, n - 1)
    dealt = np.empty((deals, n), int)
    for shift in range(deals):
      # Along one cycle through all studies nobody keeps the own report.
      dealt[shift, order] = np.roll(order, shift + 1)
    scorer = SplitScorer(self._studies * deals, self._reader, bootstrap=0)
    scores = scorer([predictions[i] for i in dealt.ravel()], fast_scores)
    return {**scores, 'studies': n, 'deals': deals}


def trivial_reports(train, val, queries, thumbnails) -> dict[str, list[str]]:
  """Reports of the trivial baselines for `queries`, by name.

  Args:
    train: studies whose reports may be used.
    val: studies on which the constant report is chosen.
    queries: studies to answer.
    thumbnails: (train, queries) films as two arrays (S, I, h, w).
  """
  train_reports = [study.reference for study in train]
  constant = constant_report(train_reports, [s.reference for s in val])
  return {
    'constant': [constant] * len(queries),
    'retrieval': retrieval_reports(thumbnails[0], train_reports, thumbnails[1]),
  }


def thumbnails(batches, studies: int, size: int = 32) -> np.ndarray:
  """Films of a split on a coarse grid, float32 (S, I, size, size)."""
  small = None
  for batch in batches:
    kept = batch['mask_B']
    films = batch['images_BxIxHxW'][kept]
    b, i, h, w = films.shape
    size = min(size, h, w)
    cut = films[:, :, : h // size * size, : w // size * size]
    means = cut.reshape(b, i, size, h // size, size, w // size).mean(
      axis=(3, 5), dtype=np.float32
    )
    if small is None:
      small = np.zeros((studies, *means.shape[1:]), np.float32)
    small[batch['study_B'][kept]] = means
  return small
