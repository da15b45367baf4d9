"""How sure a score is: bootstrap intervals, and a test of two systems.

BLEU is of the corpus, so it is computed again from resampled counts; the other
scores are means over studies. CIDEr keeps the document frequencies of the whole
split. METEOR 1.5 is left out: resampling it would need Java's inner counts.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from cmn_jax.scores.meteor import meteor_nltk_per_study
from cmn_jax.scores.metrics import (
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
  runs: int = 1,
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
    runs: how many runs of each system follow one another in these lists, each
      with all studies in the same order; a study is swapped in all at once.
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
    swapped_RxS = _swaps(rng, size, n, runs)
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
  classes: Sequence[str],
  *,
  runs: int = 1,
  samples: int = 10_000,
  seed: int = 0,
) -> dict[str, dict[str, float]]:
  """`paired_test` of findings, {micro_f1, macro_f1: {difference, p_value}}.

  Args:
    reference: the classes present in each study.
    predicted_a: what one system says, in the same order.
    predicted_b: what the other says.
    classes: what counts; No Finding never does. The macro average is over
      those that a reference has.
    runs: as in `paired_test`.
    samples: how often the studies are swapped at random.
    seed: of the swaps.
  """
  classes = [name for name in classes if name != NO_FINDING]
  truth_SxC, a_SxC, b_SxC = (
    np.array([[name in study for name in classes] for study in studies])
    for studies in (reference, predicted_a, predicted_b)
  )
  there_C = truth_SxC.any(axis=0)

  def counts(said_SxC):
    """Hits, and what either side names, of each study and class."""
    hits_SxC = truth_SxC & said_SxC
    named_SxC = truth_SxC.astype(float) + said_SxC
    return np.concatenate([hits_SxC, named_SxC], axis=1)

  def f1(counts):
    """Micro and macro F1 (..., 2) of sums over studies."""
    hits, named = np.split(counts, 2, axis=-1)
    micro = 2 * hits.sum(-1) / np.maximum(named.sum(-1), 1)
    by_class = 2 * hits / np.maximum(named, 1)
    macro = by_class[..., there_C].sum(-1) / max(there_C.sum(), 1)
    return np.stack([micro, macro], axis=-1)

  a_SxK, b_SxK = counts(a_SxC), counts(b_SxC)
  observed_2 = f1(a_SxK.sum(0)) - f1(b_SxK.sum(0))
  rng = np.random.default_rng(seed)
  as_large_2 = np.zeros(2)
  for size in _chunks(samples):
    swapped_RxS = _swaps(rng, size, len(reference), runs)
    moved_RxK = swapped_RxS @ (b_SxK - a_SxK)
    difference = f1(a_SxK.sum(0) + moved_RxK) - f1(b_SxK.sum(0) - moved_RxK)
    as_large_2 += np.sum(np.abs(difference) >= abs(observed_2) - 1e-12, axis=0)
  return {
    name: {
      'difference': float(observed_2[n]),
      'p_value': float((as_large_2[n] + 1) / (samples + 1)),
    }
    for n, name in enumerate(('micro_f1', 'macro_f1'))
  }


def _swaps(rng, samples, rows, runs):
  """Whether each row is swapped, (samples, rows): a study's rows together."""
  swapped = rng.integers(0, 2, (samples, rows // runs)).astype(float)
  return np.tile(swapped, runs)


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
