"""Scores of a classifier: of its decisions, its ranking, its probabilities.

Averages: the weighted ones are over all classes, each as often as it occurs,
as papers have them. Micro and macro ones leave No Finding out, as the scores
of findings in reports do, so that finding nothing earns nothing.
"""

import math
from collections.abc import Collection, Sequence

import numpy as np

from input_pipeline.findings import NO_FINDING

BINS = 10  # of the reliability curve, equally wide
_RANKED = ('auroc', 'auprc')


def score_classification(
  truth_SxC: np.ndarray,
  known_SxC: np.ndarray,
  predicted_SxC: np.ndarray,
  classes: Sequence[str],
  *,
  probability_SxC: np.ndarray | None,
  bootstrap: int,
  rare: Collection[str] = (),
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
    seed: of the resampling.

  Returns:
    precision_weighted (a class that is never predicted counts 0) and
    precision_weighted_undefined_1 (it counts 1), recall_weighted,
    f1_weighted, f1_macro, micro_f1, auroc_macro, auprc_macro (all over classes
    that occur), f1_macro_rare and so on (of the rare ones), accuracy (of all
    decisions), per_class: {name: {precision, recall, f1, support, studies,
    auroc, auprc}}, and the intervals of all these. What is undefined is None.
  """
  known = known_SxC.astype(float)
  truth, predicted = truth_SxC * known, predicted_SxC * known
  draws_RxS = _draws(len(known), bootstrap, seed)
  # Of each resample and class: hits, predictions, support, studies.
  counts_4xRxC = np.stack(
    [draws_RxS @ x for x in (truth * predicted, predicted, truth, known)]
  )
  columns = _ratios(counts_4xRxC)
  if probability_SxC is not None:
    ranked = [
      _ranking(truth[:, c], probability_SxC[:, c], draws_RxS * known[:, c])
      for c in range(len(classes))
    ]
    for name, values in zip(_RANKED, zip(*ranked, strict=True), strict=True):
      columns[name] = np.stack(values, axis=1)
  right_RxS = draws_RxS @ ((truth == predicted) * known).sum(1)
  averages = _averages(counts_4xRxC, columns, classes, rare)
  averages['accuracy'] = right_RxS / np.maximum(counts_4xRxC[3].sum(1), 1)
  scores = {name: _value(values_R[0]) for name, values_R in averages.items()}
  scores['per_class'] = {
    name: {
      **{k: _value(column[0, c]) for k, column in columns.items()},
      'support': int(counts_4xRxC[2, 0, c]),
      'studies': int(counts_4xRxC[3, 0, c]),
    }
    for c, name in enumerate(classes)
  }
  if bootstrap:
    scores['intervals'] = {k: _interval(v[1:]) for k, v in averages.items()}
    for c, name in enumerate(classes):
      # Resamples without the class say nothing of how well it is found.
      there = counts_4xRxC[2, 1:, c] > 0
      scores['per_class'][name] |= {
        f'{k}_interval': _interval(columns[k][1:, c][there])
        for k in ('f1', *_RANKED)
        if k in columns
      }
  return scores


def choose_thresholds(
  truth_SxC: np.ndarray, known_SxC: np.ndarray, probability_SxC: np.ndarray
) -> np.ndarray:
  """The probability from which on each class is said, best F1, (C,).

  Halfway between two neighbouring probabilities; of equally good ones the
  nearest to 0.5, which a class without a single positive gets.
  """
  thresholds_C = np.full(truth_SxC.shape[1], 0.5)
  for c in range(len(thresholds_C)):
    kept = known_SxC[:, c]
    truth, p = truth_SxC[kept, c].astype(float), probability_SxC[kept, c]
    if not truth.any():
      continue
    values = np.unique(p)
    cuts = np.concatenate([[values[0] / 2], (values[1:] + values[:-1]) / 2])
    order = np.argsort(p)
    # Positives and studies at or above each cut.
    first = np.searchsorted(p[order], cuts)
    hits = np.append(np.cumsum(truth[order][::-1])[::-1], 0)[first]
    f1 = 2 * hits / (truth.sum() + len(p) - first)
    best = cuts[f1 >= f1.max() - 1e-12]
    thresholds_C[c] = best[np.abs(best - 0.5).argmin()]
  return thresholds_C


def decide(
  probability_SxC: np.ndarray, thresholds_C: np.ndarray | None
) -> np.ndarray:
  """What is said of each study, (S, C): all at their thresholds, or the best.

  Without thresholds it is a single label, the most probable one.
  """
  if thresholds_C is not None:
    return probability_SxC >= thresholds_C
  chosen_S = probability_SxC.argmax(axis=1)
  return np.arange(probability_SxC.shape[1]) == chosen_S[:, None]


def calibration(truth: np.ndarray, probability: np.ndarray) -> dict:
  """Expected calibration error (Guo et al. 2017) and the reliability curve.

  Args:
    truth: whether it came true, of any number of statements.
    probability: that each was given.

  Returns:
    ece, the mean distance of probability and frequency over BINS equal bins,
    weighted by their statements (None of none), and bins: [{low, high, count,
    probability, frequency}] of those that are not empty.
  """
  place = np.minimum((probability * BINS).astype(int), BINS - 1)
  bins = []
  for b in range(BINS):
    inside = place == b
    if inside.any():
      bins.append(
        {
          'low': b / BINS,
          'high': (b + 1) / BINS,
          'count': int(inside.sum()),
          'probability': float(probability[inside].mean()),
          'frequency': float(truth[inside].mean()),
        }
      )
  gaps = [b['count'] * abs(b['probability'] - b['frequency']) for b in bins]
  return {'ece': sum(gaps) / len(truth) if len(truth) else None, 'bins': bins}


def confusion_matrix(truth_S, predicted_S, classes: int) -> list[list[int]]:
  """Studies of each true class (rows) by what was said (columns)."""
  counts = np.zeros((classes, classes), int)
  np.add.at(counts, (truth_S, predicted_S), 1)
  return counts.tolist()


def _draws(studies, bootstrap, seed):
  """How often each study counts: once, then in each resample."""
  rng = np.random.default_rng(seed)
  resampled = rng.multinomial(
    studies, np.full(studies, 1 / studies), size=bootstrap
  )
  return np.concatenate([np.ones((1, studies)), resampled])


def _ratios(counts_4xRxC):
  hits, predictions, support, _ = counts_4xRxC
  return {
    'precision': _ratio(hits, predictions),
    'recall': _ratio(hits, support),
    'f1': _ratio(2 * hits, predictions + support),
  }


def _averages(counts_4xRxC, columns, classes, rare):
  """Averages over classes, {name: (R,)}."""
  hits, predictions, support, _ = counts_4xRxC
  found = np.array([name != NO_FINDING for name in classes])

  def weighted(column):
    return _ratio((column * support).sum(1), support.sum(1))

  def macro(column, wanted_C):
    there = (support > 0) & wanted_C & ~np.isnan(column)
    sums = np.where(there, column, 0).sum(1)
    count = there.sum(1)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)

  undefined_1 = np.where(predictions > 0, columns['precision'], 1.0)
  averages = {
    'precision_weighted': weighted(columns['precision']),
    'precision_weighted_undefined_1': weighted(undefined_1),
    'recall_weighted': weighted(columns['recall']),
    'f1_weighted': weighted(columns['f1']),
    'micro_f1': _ratio(
      2 * hits[:, found].sum(1), (predictions + support)[:, found].sum(1)
    ),
  }
  macros = {'macro': found}
  if rare:
    macros['macro_rare'] = np.array([name in rare for name in classes])
  for suffix, wanted_C in macros.items():
    for name in ('f1', *_RANKED):
      if name in columns:
        averages[f'{name}_{suffix}'] = macro(columns[name], wanted_C)
  return averages


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
  precision = _ratio(found, said)
  with np.errstate(invalid='ignore', divide='ignore'):
    auroc = beaten / (positives * negatives)
    average_precision = (hits * precision).sum(1) / positives
  return auroc, average_precision


def _ratio(part, whole):
  """part / whole, and 0 where whole is 0."""
  return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _value(x) -> float | None:
  return float(x) if math.isfinite(x) else None


def _interval(values) -> list[float] | None:
  values = values[np.isfinite(values)]
  if not len(values):
    return None
  return [float(x) for x in np.percentile(values, [2.5, 97.5])]
