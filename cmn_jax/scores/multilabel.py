"""Scores of several labels a study: of decisions, rankings, findings in text.

Averages: the weighted ones are over all classes, each as often as it occurs,
as papers have them. Micro and macro ones leave No Finding out, so that finding
nothing earns nothing.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cmn_jax.scores.checks import check_finite, check_pairs
from cmn_jax.scores.resampling import bootstrap as resample
from cmn_jax.scores.resampling import interval, ratio
from input_pipeline.findings import NO_FINDING

# With fewer positives a percentile interval holds the truth clearly less often
# than in 95 % of splits (the F1 of three, simulated: 86 %).
LEAST_POSITIVES = 10
_RANKED = ('auroc', 'auprc')
_WITH_INTERVALS = ('f1', *_RANKED)


class LabelCounts(NamedTuple):
  """Counts (S, C) of each study and class; sums over studies are a split's.

  Attributes:
    hits: said and true.
    predicted: said.
    support: true.
    studies: known.
  """

  hits: np.ndarray
  predicted: np.ndarray
  support: np.ndarray
  studies: np.ndarray

  @classmethod
  def of(
    cls, truth_SxC: np.ndarray, predicted_SxC: np.ndarray, known_SxC: np.ndarray
  ) -> 'LabelCounts':
    """Of the decisions of which anybody knows whether they are right."""
    known = known_SxC.astype(float)
    truth, predicted = truth_SxC * known, predicted_SxC * known
    return cls(truth * predicted, predicted, truth, known)

  def summed(self, weights_RxS: np.ndarray) -> 'LabelCounts':
    """Sums (R, C) over studies that count `weights` times."""
    return LabelCounts(*(weights_RxS @ counts for counts in self))

  def f1(self) -> np.ndarray:
    """F1 by class (..., C); 0 where a class is neither true nor said."""
    return ratio(2 * self.hits, self.predicted + self.support)

  def micro_f1(self, classes_C: np.ndarray) -> np.ndarray:
    """F1 of all these classes' decisions (...); NaN without positives."""
    hits, predicted, support, _ = (x[..., classes_C].sum(-1) for x in self)
    f1 = ratio(2 * hits, predicted + support)
    return np.where(support > 0, f1, np.nan)

  def weighted(self, column: np.ndarray) -> np.ndarray:
    """Mean over classes by support (...); NaN without positives."""
    support = self.support.sum(-1)
    mean = ratio((column * self.support).sum(-1), support)
    return np.where(support > 0, mean, np.nan)

  def macro(self, column: np.ndarray, classes_C: np.ndarray) -> np.ndarray:
    """Mean over those of these classes that occur (...); NaN without any."""
    there = (self.support > 0) & classes_C & ~np.isnan(column)
    count = there.sum(-1)
    mean = ratio(np.where(there, column, 0).sum(-1), count)
    return np.where(count > 0, mean, np.nan)


def score_findings(
  reference: Sequence[Collection[str]],
  predicted: Sequence[Collection[str]],
  classes: Sequence[str],
  *,
  bootstrap: int = 1000,
  seed: int = 0,
) -> dict:
  """Precision, recall and F1 of findings, with 95 % intervals.

  Args:
    reference: the classes present in each study.
    predicted: the classes said to be present; the same studies, same order.
    classes: what is scored; names outside it are ignored.
    bootstrap: resamples of the studies for the intervals; 0 leaves them out.
    seed: of the resampling.

  Returns:
    micro_f1 and macro_f1 (over the classes that occur; None if none does),
    per_class: {name: {precision, recall, f1, support}}, and beside each F1 its
    `_interval` [low, high], but for those that `intervals_withheld` names. A
    precision, recall or F1 of nothing is 0.

  Raises:
    ValueError: no studies, or lists of unequal length.
  """
  check_pairs(reference, predicted)
  truth_SxC = indicators(reference, classes)
  scores = score_classification(
    truth_SxC,
    np.ones_like(truth_SxC),
    indicators(predicted, classes),
    classes,
    probability_SxC=None,
    bootstrap=bootstrap,
    seed=seed,
  )
  averages = {'micro_f1': 'micro_f1', 'macro_f1': 'f1_macro'}
  findings = {ours: scores[name] for ours, name in averages.items()}
  for ours, name in averages.items():
    if name in scores.get('intervals', {}):
      findings[f'{ours}_interval'] = scores['intervals'][name]
  for row in scores['per_class'].values():
    del row['studies']
  kept = ('intervals_withheld', 'per_class')
  return {**findings, **{name: scores[name] for name in kept if name in scores}}


def score_classification(
  truth_SxC: np.ndarray,
  known_SxC: np.ndarray,
  predicted_SxC: np.ndarray,
  classes: Sequence[str],
  *,
  probability_SxC: np.ndarray | None,
  bootstrap: int,
  rare: Collection[str] = (),
  single_label: bool = False,
  seed: int = 0,
) -> dict:
  """All scores of one classifier on one split, with 95 % intervals.

  Args:
    truth_SxC: whether a study has a class.
    known_SxC: whether anybody knows; what is not known is not scored.
    predicted_SxC: whether the classifier says so.
    classes: their names.
    probability_SxC: what it is based on; None for one that gives none.
    bootstrap: resamples of the studies for the intervals; 0 leaves them out.
    rare: names of classes that get macro averages of their own.
    single_label: each study has one class and is given one.
    seed: of the resampling.

  Returns:
    precision_weighted (a class that is never predicted counts 0) and
    precision_weighted_undefined_1 (it counts 1), recall_weighted,
    f1_weighted, f1_macro, micro_f1, auroc_macro, auprc_macro (macro: of the
    classes that occur), f1_macro_rare and so on (of the rare ones), accuracy
    (of all decisions; of a single label, of the studies), per_class: {name:
    {precision, recall, f1, support, studies, auroc, auprc}}. An average
    without positives, and an area without positives or without negatives, is
    None; a precision, recall or F1 of nothing is 0.
    With a bootstrap: intervals {average: [low, high]}, and in per_class
    f1_interval and so on. Those that rest on a class with fewer than
    LEAST_POSITIVES positives are left out, and intervals_withheld says which.

  Raises:
    ValueError: a probability is NaN or infinite.
  """
  if probability_SxC is not None:
    check_finite(probability_SxC, 'probabilities')
  counts = LabelCounts.of(truth_SxC, predicted_SxC, known_SxC)
  groups = _groups(classes, rare)
  right_2xS = _right(truth_SxC, predicted_SxC, known_SxC, single_label)

  def scores_of(weights_RxS):
    """Of each resample: averages (R,) and columns by class (R, C)."""
    sums = counts.summed(weights_RxS)
    columns = _columns(sums, counts, probability_SxC, weights_RxS)
    right, decisions = (weights_RxS @ x for x in right_2xS)
    accuracy = np.where(decisions > 0, ratio(right, decisions), np.nan)
    averages = _averages(sums, columns, groups)
    return {**columns, **averages, 'accuracy': accuracy}

  studies = len(truth_SxC)
  values = {k: x[0] for k, x in scores_of(np.ones((1, studies))).items()}
  support_C, studies_C = counts.support.sum(0), counts.studies.sum(0)
  averages = [name for name, value in values.items() if value.ndim == 0]
  columns = [name for name in values if name not in averages]
  scores = {name: _value(values[name]) for name in averages}
  scores['per_class'] = {
    name: {
      **{k: _value(values[k][c]) for k in columns},
      'support': int(support_C[c]),
      'studies': int(studies_C[c]),
    }
    for c, name in enumerate(classes)
  }
  if bootstrap:
    resampled = resample(scores_of, studies, bootstrap, seed)
    few = _few(support_C, groups)
    scores['intervals'] = _intervals(
      {name: resampled[name] for name in averages if name not in few}
    )
    with_intervals = [name for name in _WITH_INTERVALS if name in columns]
    for c in np.flatnonzero(support_C >= LEAST_POSITIVES):
      bounds = _intervals({k: resampled[k][:, c] for k in with_intervals})
      scores['per_class'][classes[c]] |= {
        f'{name}_interval': ends for name, ends in bounds.items()
      }
    scores |= _withheld(classes, support_C, few)
  return scores


def indicators(
  studies: Sequence[Collection[str]], classes: Sequence[str]
) -> np.ndarray:
  """Whether each study has each class, bool (S, C)."""
  rows = [[name in study for name in classes] for study in studies]
  return np.array(rows, bool).reshape(len(studies), len(classes))


def _groups(classes, rare) -> dict[str, np.ndarray]:
  """The classes of each macro average, {suffix: (C,)}."""
  groups = {'macro': np.array([name != NO_FINDING for name in classes])}
  if rare:
    groups['macro_rare'] = np.array([name in rare for name in classes])
  return groups


def _right(truth_SxC, predicted_SxC, known_SxC, single_label) -> np.ndarray:
  """Right decisions of each study, and all of its decisions, (2, S)."""
  right_SxC = (truth_SxC == predicted_SxC) & known_SxC
  if single_label:
    pair = right_SxC.all(axis=1), known_SxC.all(axis=1)
  else:
    pair = right_SxC.sum(axis=1), known_SxC.sum(axis=1)
  return np.array(pair, float)


def _columns(sums, counts, probability_SxC, weights_RxS):
  """Scores by class, {name: (R, C)}."""
  columns = {
    'precision': ratio(sums.hits, sums.predicted),
    'recall': ratio(sums.hits, sums.support),
    'f1': sums.f1(),
  }
  if probability_SxC is None:
    return columns
  ranked = [
    _ranking(truth_S, probability_S, weights_RxS * known_S)
    for truth_S, probability_S, known_S in zip(
      counts.support.T, probability_SxC.T, counts.studies.T, strict=True
    )
  ]
  for name, values in zip(_RANKED, zip(*ranked, strict=True), strict=True):
    columns[name] = np.stack(values, axis=1)
  return columns


def _averages(sums, columns, groups):
  """Averages over classes, {name: (R,)}."""
  precision = columns['precision']
  undefined_1 = np.where(sums.predicted > 0, precision, 1.0)
  averages = {
    'precision_weighted': sums.weighted(precision),
    'precision_weighted_undefined_1': sums.weighted(undefined_1),
    'recall_weighted': sums.weighted(columns['recall']),
    'f1_weighted': sums.weighted(columns['f1']),
    'micro_f1': sums.micro_f1(groups['macro']),
  }
  for suffix, classes_C in groups.items():
    for name in _WITH_INTERVALS:
      if name in columns:
        averages[f'{name}_{suffix}'] = sums.macro(columns[name], classes_C)
  return averages


def _few(support_C, groups) -> set[str]:
  """Averages that rest on a class, or in all, on too few positives."""
  few = set()
  for suffix, classes_C in groups.items():
    support = support_C[classes_C]
    if np.any((support > 0) & (support < LEAST_POSITIVES)):
      few |= {f'{name}_{suffix}' for name in _WITH_INTERVALS}
  if support_C[groups['macro']].sum() < LEAST_POSITIVES:
    few.add('micro_f1')
  return few


def _withheld(classes, support_C, few) -> dict[str, str]:
  """Says which intervals are left out, and why."""
  rare = [
    f'{name} ({int(support)})'
    for name, support in zip(classes, support_C, strict=True)
    if support < LEAST_POSITIVES
  ]
  if not rare:
    return {}
  why = f'fewer than {LEAST_POSITIVES} positives: {", ".join(rare)}'
  if any(name != 'micro_f1' for name in few):
    why += '; so the macro averages over these have none either'
  if 'micro_f1' in few:
    why += '; all findings together have no more, so micro F1 has none'
  return {'intervals_withheld': why}


def _intervals(values: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
  """Of those that any resample has."""
  found = {name: interval(values_R) for name, values_R in values.items()}
  return {name: bounds for name, bounds in found.items() if bounds}


def _ranking(truth_S, score_S, weights_RxS):
  """AUROC and average precision of each weighting, (R,) each; ties as one."""
  order = np.argsort(-score_S, kind='stable')
  starts = np.flatnonzero(np.diff(score_S[order], prepend=np.inf))
  weights = weights_RxS[:, order]
  hits = np.add.reduceat(weights * truth_S[order], starts, axis=1)
  everything = np.add.reduceat(weights, starts, axis=1)
  found, said = np.cumsum(hits, axis=1), np.cumsum(everything, axis=1)
  positives = found[:, -1]
  negatives = said[:, -1] - positives
  # A negative is beaten by the positives above it, and by half of its equals.
  beaten = ((everything - hits) * (found - hits / 2)).sum(1)
  precision = ratio(found, said)
  with np.errstate(invalid='ignore', divide='ignore'):
    auroc = beaten / (positives * negatives)
    average_precision = (hits * precision).sum(1) / positives
  return auroc, average_precision


def _value(x) -> float | None:
  return float(x) if math.isfinite(x) else None
