"""All scores of the reports written for a split: `evaluation/<split>.json`.

No score stands alone: beside the model's stand those of one constant report,
of the nearest training study's report, and of the model's own reports shuffled
between studies.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from cmn_jax.scores.baselines import constant_report, retrieval_reports
from cmn_jax.scores.catalogue import REPORT_SCORES
from cmn_jax.scores.findings import score_attributes
from cmn_jax.scores.metrics import METRICS, TextCounts
from cmn_jax.scores.multilabel import score_findings
from cmn_jax.scores.resampling import bootstrap, interval
from cmn_jax.scores.significance import (
  Tests,
  paired_findings_test,
  paired_test,
)
from input_pipeline.findings import NO_FINDING
from input_pipeline.findings_reader import FindingsReader

_FINDINGS = 'findings'
_THUMBNAIL = 32  # pixels
_SHUFFLES = 20  # a single shuffle's chance hits vary by a third


class SplitScorer:
  """Scores predictions for the studies of one split.

  Args:
    studies: with id, report, reference and findings.
    reader: how findings are read.
    bootstrap: resamples of each 95 % interval; 0 leaves intervals out.

  Attributes:
    reference_shares: of the references, those that have any finding, 0 to 1:
      reference_abnormal_share, and with _iu by that label set.
  """

  def __init__(self, studies: Sequence, reader: FindingsReader, bootstrap: int):
    others = {f'{_FINDINGS}_{one.label_set}': one for one in reader.others}
    self._readers = {_FINDINGS: reader, **others}
    self._bootstrap = bootstrap
    self._references = [study.reference for study in studies]
    self._labels = {
      key: [one.labels_of_study(study) for study in studies]
      for key, one in self._readers.items()
    }
    self._findings = [reader.of_study(study) for study in studies]
    share = 'reference_abnormal_share'
    self.reference_shares = {
      key.replace(_FINDINGS, share): _abnormal_share(labels)
      for key, labels in self._labels.items()
    }
    # Systems repeat themselves and each other: a text is read once.
    self._read = functools.lru_cache(maxsize=10_000)(self._read_text)

  def __call__(
    self, predictions: list[str], *, meteor: Callable | None = None
  ) -> dict:
    """Scores of one system: words, findings, variety, intervals.

    Args:
      predictions: a report for each study.
      meteor: METEOR 1.5 of (references, predictions), such as `meteor_java`;
        None leaves it out.

    Returns:
      The scores of METRICS and METEOR 1.5, studies, distinct_reports,
      commonest_share (of the studies, how many get the commonest report),
      abnormal_share (get a report with any finding), findings (of
      `score_findings` and `score_attributes`), the same by each other label set
      of the reader, such as findings_iu, with its abnormal_share, and, with a
      bootstrap, intervals {metric: [low, high]}.

    Raises:
      ValueError: no studies, or not a report for each.
    """
    counts = TextCounts.of(self._references, predictions)
    scores = counts.values()
    if meteor:
      scores['meteor'] = meteor(self._references, predictions)
    scores |= self._of_findings(predictions, 1, self._bootstrap)
    if self._bootstrap:
      scores['intervals'] = text_intervals(counts, self._bootstrap)
    return scores

  def shuffled(self, predictions: list[str], seed: int) -> dict | None:
    """Scores of the reports when each study gets another one's.

    A report depends on its own study's images alone, so this is the model
    shown shuffled images, without writing anything again. Several shuffles are
    scored as one, as a single one's chance hits vary a lot. They have no
    intervals: 20 shuffles of a study are not 20 studies.

    Returns:
      None of a single study, which has nobody to swap with.
    """
    n = len(predictions)
    if n < 2:
      return None
    order = np.random.default_rng(seed).permutation(n)
    shuffles = min(_SHUFFLES, n - 1)
    shuffled = np.empty((shuffles, n), int)
    for shift in range(shuffles):
      # Along one cycle through all studies nobody keeps the own report.
      shuffled[shift, order] = np.roll(order, shift + 1)
    reports = [predictions[i] for i in shuffled.ravel()]
    counts = TextCounts.of(self._references * shuffles, reports)
    return {
      **counts.values(),
      **self._of_findings(reports, shuffles, 0),
      'studies': n,
      'shuffles': shuffles,
    }

  def paired(self, predictions: list[str], rivals: list[str]) -> Tests:
    """Does a system differ from another on these studies?

    Args:
      predictions: a report for each study.
      rivals: those of the other, in the same order.

    Returns:
      Of each tested score of the catalogue, by its name, what `paired_test` and
      `paired_findings_test` give.
    """
    tests = paired_test(
      self._references, predictions, rivals, bootstrap=self._bootstrap
    )
    for key, reader in self._readers.items():
      said = (
        [self._read(text)[0][key] for text in texts]
        for texts in (predictions, rivals)
      )
      found = paired_findings_test(
        self._labels[key], *said, reader.classes, bootstrap=self._bootstrap
      )
      tests[key.replace(_FINDINGS, 'micro_f1')] = found['micro_f1']
    names = (score.name for score in REPORT_SCORES if score.tested)
    return {name: tests[name] for name in names if name in tests}

  def _of_findings(self, predictions, times, bootstrap) -> dict:
    """What the reports state, of all studies, `times` one after the other."""
    read = [self._read(text) for text in predictions]
    attributes = score_attributes(
      self._findings * times, [findings for _, findings in read]
    )
    labels = {key: [found[key] for found, _ in read] for key in self._readers}
    by_set = {
      key: {
        'source': reader.source,
        'abnormal_share': _abnormal_share(labels[key]),
        **score_findings(
          self._labels[key] * times,
          labels[key],
          reader.classes,
          bootstrap=bootstrap,
        ),
        **attributes,
      }
      for key, reader in self._readers.items()
    }
    return {
      'studies': len(predictions),
      'distinct_reports': len(set(predictions)),
      'commonest_share': max(Counter(predictions).values()) / len(predictions),
      'abnormal_share': by_set[_FINDINGS].pop('abnormal_share'),
      **by_set,
    }

  def _read_text(self, text):
    labels = {
      key: reader.labels_of_text(text) for key, reader in self._readers.items()
    }
    return labels, self._readers[_FINDINGS].of_text(text)


def _abnormal_share(labels) -> float:
  """Of the studies, how many have any of the classes but No Finding."""
  return sum(bool(set(x) - {NO_FINDING}) for x in labels) / max(len(labels), 1)


def text_intervals(counts: TextCounts, samples: int) -> dict[str, list[float]]:
  """95 % percentile intervals over studies, {metric: [low, high]}."""

  def scores_of(weights_RxS):
    scores_RxM = counts.summed(weights_RxS).scores()
    return dict(zip(METRICS, scores_RxM.T, strict=True))

  resampled = bootstrap(scores_of, len(counts.words_S), samples, seed=0)
  return {name: interval(values_R) for name, values_R in resampled.items()}


def trivial_reports(
  train: Sequence,
  val: Sequence,
  queries: Sequence,
  thumbnails: tuple[np.ndarray, np.ndarray],
) -> dict[str, list[str]]:
  """Reports of the trivial baselines for `queries`, by name.

  Args:
    train: studies whose reports may be used.
    val: studies on which the constant report is chosen.
    queries: studies to answer.
    thumbnails: of (train, queries), two arrays (S, I, h, w).
  """
  train_reports = [study.reference for study in train]
  constant = constant_report(train_reports, [s.reference for s in val])
  return {
    'constant': [constant] * len(queries),
    'retrieval': retrieval_reports(thumbnails[0], train_reports, thumbnails[1]),
  }


def thumbnails(
  batches: Iterable[Mapping[str, np.ndarray]], studies: int
) -> np.ndarray:
  """Images of a split on a coarse grid, float32 (S, I, 32, 32) or smaller."""
  small = None
  for batch in batches:
    kept = batch['mask_B']
    images = batch['images_BxIxHxW'][kept]
    b, i, h, w = images.shape
    size = min(_THUMBNAIL, h, w)
    cut = images[:, :, : h // size * size, : w // size * size]
    means = cut.reshape(b, i, size, h // size, size, w // size).mean(
      axis=(3, 5), dtype=np.float32
    )
    if small is None:
      small = np.zeros((studies, *means.shape[1:]), np.float32)
    small[batch['study_B'][kept]] = means
  return small
