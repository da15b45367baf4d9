"""Do two systems differ? Approximate randomisation (Noreen 1989).

Were the systems alike, each study's two predictions could as well be swapped.
The p-value, two-sided, is how often random swaps give a difference at least as
large as the observed one, (count + 1) / (samples + 1). The interval of the
difference is a bootstrap's, of studies drawn for both systems at once.
"""

from collections.abc import Callable, Collection, Sequence

import numpy as np

from cmn_jax.scores.metrics import METRICS, TextCounts
from cmn_jax.scores.multilabel import LabelCounts, indicators
from cmn_jax.scores.resampling import bootstrap as resample
from cmn_jax.scores.resampling import chunks, interval
from input_pipeline.findings import NO_FINDING

Tests = dict[str, dict[str, float | list[float] | None]]


def paired_test(
  references: list[str],
  hypotheses_a: list[str],
  hypotheses_b: list[str],
  *,
  runs: int = 1,
  samples: int = 10_000,
  bootstrap: int = 0,
  seed: int = 0,
) -> Tests:
  """Of two systems' reports, {metric: {difference, p_value}}.

  Args:
    references: the reference of each study.
    hypotheses_a: the reports of one system, in the same order.
    hypotheses_b: the reports of the other.
    runs: how many runs of each system follow one another in these lists, each
      with all studies in the same order; a study is swapped in all at once.
    samples: how often the studies are swapped at random.
    bootstrap: resamples of the studies for the difference's interval; 0 leaves
      it out.
    seed: of the swaps and resamples.

  Returns:
    For each of METRICS, a's score less b's, how likely that is by chance, and
    with a bootstrap its 95 % interval [low, high].
  """
  a = TextCounts.of(references, hypotheses_a)
  b = TextCounts.of(references, hypotheses_b)
  draws = runs, samples, bootstrap, seed
  return _paired(a, b, TextCounts.scores, METRICS, *draws)


def paired_findings_test(
  reference: Sequence[Collection[str]],
  predicted_a: Sequence[Collection[str]],
  predicted_b: Sequence[Collection[str]],
  classes: Sequence[str],
  *,
  runs: int = 1,
  samples: int = 10_000,
  bootstrap: int = 0,
  seed: int = 0,
) -> Tests:
  """`paired_test` of findings, {micro_f1, macro_f1: {difference, p_value}}.

  Args:
    reference: the classes present in each study.
    predicted_a: what one system says, in the same order.
    predicted_b: what the other says.
    classes: what counts; No Finding never does. The macro average is over
      those that a reference has.
    runs: as in `paired_test`.
    samples: as in `paired_test`.
    bootstrap: likewise.
    seed: likewise.

  Returns:
    As `paired_test`; None for both where no reference has any of the classes.
  """
  classes = [name for name in classes if name != NO_FINDING]
  names = ('micro_f1', 'macro_f1')
  truth_SxC = indicators(reference, classes)
  if not truth_SxC.any():
    return {name: {'difference': None, 'p_value': None} for name in names}
  a, b = (
    LabelCounts.of(truth_SxC, indicators(x, classes), np.ones_like(truth_SxC))
    for x in (predicted_a, predicted_b)
  )
  all_C = np.ones(len(classes), bool)

  def scores(sums: LabelCounts):
    macro = sums.macro(sums.f1(), all_C)
    return np.stack([sums.micro_f1(all_C), macro], axis=-1)

  return _paired(a, b, scores, names, runs, samples, bootstrap, seed)


def _paired(
  a, b, scores: Callable, names, runs, samples, bootstrap, seed
) -> Tests:
  """Of systems with the counts `a` and `b`; scores: of sums, (..., M)."""
  rows = len(a[0])

  def difference(swapped_RxS):
    left, right = (
      type(a)(*(x + y for x, y in zip(a.summed(u), b.summed(v), strict=True)))
      for u, v in (
        (1 - swapped_RxS, swapped_RxS),
        (swapped_RxS, 1 - swapped_RxS),
      )
    )
    return scores(left) - scores(right)

  observed_M = difference(np.zeros(rows))
  rng = np.random.default_rng(seed)
  as_large_M = np.zeros(len(names))
  for size in chunks(samples):
    # The rows of a study, one a run, are swapped together.
    swapped = rng.integers(0, 2, (size, rows // runs)).astype(float)
    difference_RxM = difference(np.tile(swapped, runs))
    # Sums in another order differ in the last bits: a tie stays a tie.
    as_large = np.abs(difference_RxM) >= np.abs(observed_M) - 1e-12
    as_large_M += as_large.sum(axis=0)
  tests = {
    name: {
      'difference': float(observed_M[m]),
      'p_value': float((as_large_M[m] + 1) / (samples + 1)),
    }
    for m, name in enumerate(names)
  }
  if bootstrap:

    def differences(weights_RxS):
      weights_RxS = np.tile(weights_RxS, runs)
      return {
        'all': scores(a.summed(weights_RxS)) - scores(b.summed(weights_RxS))
      }

    drawn_RxM = resample(differences, rows // runs, bootstrap, seed)['all']
    for m, name in enumerate(names):
      tests[name]['interval'] = interval(drawn_RxM[:, m])
  return tests
