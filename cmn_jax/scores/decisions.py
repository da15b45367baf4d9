"""From probabilities to decisions, and what the probabilities are worth."""

import numpy as np

from cmn_jax.scores.checks import check_finite

BINS = 10  # of the reliability curve, equally wide


def choose_thresholds(
  truth_SxC: np.ndarray, known_SxC: np.ndarray, probability_SxC: np.ndarray
) -> np.ndarray:
  """The probability from which on each class is said, best F1, (C,).

  Halfway between two neighbouring probabilities; of equally good ones the
  nearest to 0.5, which a class without a single positive gets.

  Args:
    truth_SxC: whether a study has a class.
    known_SxC: whether anybody knows; the rest is left out.
    probability_SxC: what is to be cut.

  Raises:
    ValueError: a probability is NaN or infinite.
  """
  return _by_class(_best_f1, truth_SxC, known_SxC, probability_SxC)


def youden_thresholds(
  truth_SxC: np.ndarray, known_SxC: np.ndarray, probability_SxC: np.ndarray
) -> np.ndarray:
  """As `choose_thresholds`, best by Youden's J, recall minus false alarms.

  Of equally good ones the highest; 0.5 where none is better than chance, or
  a class has no positive or no negative.
  """
  return _by_class(_best_youden, truth_SxC, known_SxC, probability_SxC)


def shared_thresholds(
  truth_SxC: np.ndarray, known_SxC: np.ndarray, probability_SxC: np.ndarray
) -> np.ndarray:
  """As `choose_thresholds`, but one for all classes, best by micro F1.

  A class with a handful of positives has no say of its own: where
  probabilities are calibrated, one threshold is best for all anyway (Lipton et
  al., "Optimal thresholding of classifiers to maximize F1 measure", 2014).
  """
  columns = (x.reshape(-1, 1) for x in (truth_SxC, known_SxC, probability_SxC))
  return np.repeat(choose_thresholds(*columns), truth_SxC.shape[1])


# What thresholds are best by, by the name in `classifier.thresholds`.
THRESHOLDS = {
  'f1': choose_thresholds,
  'youden': youden_thresholds,
  'micro_f1': shared_thresholds,
}


def _by_class(best, truth_SxC, known_SxC, probability_SxC) -> np.ndarray:
  """Of each class the cut that `best(cuts, hits, said, truth)` chooses."""
  check_finite(probability_SxC, 'probabilities')
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
    thresholds_C[c] = best(cuts, hits, len(p) - first, truth)
  return thresholds_C


def _best_f1(cuts, hits, said, truth):
  f1 = 2 * hits / (truth.sum() + said)
  best = cuts[f1 >= f1.max() - 1e-12]
  return best[np.abs(best - 0.5).argmin()]


def _best_youden(cuts, hits, said, truth):
  positives, negatives = truth.sum(), len(truth) - truth.sum()
  if not negatives:
    return 0.5
  j = hits / positives - (said - hits) / negatives
  return cuts[j >= j.max() - 1e-12][-1] if j.max() > 1e-12 else 0.5


def decide(
  probability_SxC: np.ndarray, thresholds_C: np.ndarray | None
) -> np.ndarray:
  """What is said of each study, (S, C): all at their thresholds, or the best.

  Without thresholds it is a single label, the most probable one.

  Raises:
    ValueError: a probability is NaN or infinite.
  """
  check_finite(probability_SxC, 'probabilities')
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

  Raises:
    ValueError: a probability is NaN or infinite.
  """
  check_finite(probability, 'probabilities')
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


def confusion_matrix(
  truth_S: np.ndarray, predicted_S: np.ndarray, classes: int
) -> list[list[int]]:
  """Studies of each true class (rows) by what was said (columns)."""
  counts = np.zeros((classes, classes), int)
  np.add.at(counts, (truth_S, predicted_S), 1)
  return counts.tolist()
