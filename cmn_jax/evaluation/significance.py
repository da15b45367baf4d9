"""How sure a score is: bootstrap intervals, and a test of two systems.

BLEU is of the corpus, so it is computed again from resampled counts; the other
scores are means over studies. CIDEr keeps the document frequencies of the whole
split. METEOR 1.5 is left out: resampling it would need Java's inner counts.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from cmn_jax.evaluation.meteor import meteor_nltk_per_study
from cmn_jax.evaluation.metrics import (
  ORDERS,
  BleuCounts,
  bleu_counts,
  cider_per_study,
  corpus_bleu,
  rouge_l_per_study,
)
from input_pipeline.findings import NO_FINDING

MEANS = ('rouge_l', 'cider', 'meteor_nltk')
METRICS = (*(f'bleu_{k}' for k in range(1, ORDERS + 1)), *MEANS)
_SAMPLES_AT_ONCE = 1000


def bootstrap_intervals(
  references: list[str],
  hypotheses: list[str],
  *,
  samples: int = 1000,
  seed: int = 0,
) -> dict[str, list[float]]:
  """95 % percentile intervals over studies, {metric: [low, high]}.

  Args:
    references: the reference of each study.
    hypotheses: the generated report of each study, in the same order.
    samples: how often the studies are drawn again, with replacement.
    seed: of the draws.
  """
  counts = _StudyCounts.of(references, hypotheses)
  rng = np.random.default_rng(seed)
  n = len(references)
  scores = [
    counts.scores(rng.multinomial(n, np.full(n, 1 / n), size).astype(float))
    for size in _chunks(samples)
  ]
  bounds_2xM = np.percentile(np.concatenate(scores), [2.5, 97.5], axis=0)
  return dict(zip(METRICS, bounds_2xM.T.tolist(), strict=True))


def paired_test(
  references: list[str],
  hypotheses_a: list[str],
  hypotheses_b: list[str],
  *,
  samples: int = 10_000,
  seed: int = 0,
) -> dict[str, dict[str, float]]:
  """Approximate randomisation (Noreen 1989): do systems a and b differ?

  Were the systems alike, each study's two reports could as well be swapped.
  The p-value, two-sided, is how often random swaps give a difference at least
  as large as the observed one, (count + 1) / (samples + 1).

  Args:
    references: the reference of each study.
    hypotheses_a: the reports of one system, in the same order.
    hypotheses_b: the reports of the other.
    samples: how often the studies are swapped at random.
    seed: of the swaps.

  Returns:
    {metric: {difference, p_value}}; the difference is a's score less b's.
  """
  a = _StudyCounts.of(references, hypotheses_a)
  b = _StudyCounts.of(references, hypotheses_b)
  both = a.beside(b)
  n = len(references)
  observed_M = a.scores(np.ones(n)) - b.scores(np.ones(n))
  rng = np.random.default_rng(seed)
  as_large_M = np.zeros(len(METRICS))
  for size in _chunks(samples):
    swapped_RxS = rng.integers(0, 2, (size, n)).astype(float)
    first = np.concatenate([1 - swapped_RxS, swapped_RxS], axis=1)
    difference_RxM = both.scores(first) - both.scores(1 - first)
    # Sums in another order differ in the last bits: a tie stays a tie.
    as_large = np.abs(difference_RxM) >= np.abs(observed_M) - 1e-12
    as_large_M += as_large.sum(axis=0)
  return {
    name: {
      'difference': float(observed_M[m]),
      'p_value': float((as_large_M[m] + 1) / (samples + 1)),
    }
    for m, name in enumerate(METRICS)
  }


def paired_findings_test(
  reference: list[Collection[str]],
  predicted_a: list[Collection[str]],
  predicted_b: list[Collection[str]],
  *,
  samples: int = 10_000,
  seed: int = 0,
) -> dict[str, float]:
  """`paired_test` of the findings' micro F1, {difference, p_value}.

  Args:
    reference: the classes present in each study; No Finding does not count.
    predicted_a: those of one system's reports, in the same order.
    predicted_b: those of the other's.
    samples: how often the studies are swapped at random.
    seed: of the swaps.
  """
  a_Sx2, b_Sx2 = (
    np.array([_hits(*pair) for pair in zip(reference, found, strict=True)])
    for found in (predicted_a, predicted_b)
  )

  def f1(counts):
    hits, named = counts[..., 0], counts[..., 1]
    return 2 * hits / np.maximum(named, 1)

  observed = f1(a_Sx2.sum(0)) - f1(b_Sx2.sum(0))
  rng = np.random.default_rng(seed)
  as_large = 0
  for size in _chunks(samples):
    swapped_RxS = rng.integers(0, 2, (size, len(reference))).astype(float)
    moved_Rx2 = swapped_RxS @ (b_Sx2 - a_Sx2)
    difference_R = f1(a_Sx2.sum(0) + moved_Rx2) - f1(b_Sx2.sum(0) - moved_Rx2)
    as_large += np.sum(np.abs(difference_R) >= abs(observed) - 1e-12)
  return {
    'difference': float(observed),
    'p_value': float((as_large + 1) / (samples + 1)),
  }


def _hits(reference, predicted) -> tuple[int, int]:
  """Findings right, and findings named by either side, of one study."""
  truth, guess = set(reference) - {NO_FINDING}, set(predicted) - {NO_FINDING}
  return len(truth & guess), len(truth) + len(guess)


class _StudyCounts(NamedTuple):
  """What the scores of any choice of the studies are computed from."""

  bleu: BleuCounts
  means_SxM: np.ndarray

  @classmethod
  def of(cls, references, hypotheses):
    """Counts and scores of each study."""
    means = {
      'rouge_l': rouge_l_per_study(references, hypotheses),
      'cider': cider_per_study(references, hypotheses),
      'meteor_nltk': meteor_nltk_per_study(references, hypotheses),
    }
    return cls(
      bleu_counts(references, hypotheses),
      np.stack([means[name] for name in MEANS], axis=1),
    )

  def beside(self, other):
    """The studies of both, one after the other."""
    pairs = zip(self.bleu, other.bleu, strict=True)
    bleu = BleuCounts(*(np.concatenate(pair) for pair in pairs))
    return _StudyCounts(bleu, np.concatenate([self.means_SxM, other.means_SxM]))

  def scores(self, weights_RxS):
    """All METRICS (..., 7) of the studies taken `weights` times."""
    bleu_Rx4 = corpus_bleu(self.bleu.summed(weights_RxS))
    sums_RxM = weights_RxS @ self.means_SxM
    means_RxM = sums_RxM / weights_RxS.sum(axis=-1, keepdims=True)
    return np.concatenate([bleu_Rx4, means_RxM], axis=-1)


def _chunks(samples):
  """Sizes that add up to `samples`: draws of a large split need memory."""
  whole, rest = divmod(samples, _SAMPLES_AT_ONCE)
  return [_SAMPLES_AT_ONCE] * whole + [rest] * (rest > 0)
