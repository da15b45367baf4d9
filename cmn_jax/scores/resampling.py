"""Studies drawn again: percentile intervals of any score of a split."""

from collections.abc import Callable, Iterator

import numpy as np

_SAMPLES_AT_ONCE = 1000  # a (samples, studies) array needs memory


def bootstrap(
  scores: Callable[[np.ndarray], dict[str, np.ndarray]],
  studies: int,
  samples: int,
  seed: int,
) -> dict[str, np.ndarray]:
  """Scores of resamples of the studies, drawn with replacement.

  Args:
    scores: from how often each study counts, (R, S), to arrays (R, ...).
    studies: S.
    samples: how often the studies are drawn again, at least once.
    seed: of the draws.

  Returns:
    The scores, (samples, ...) each.
  """
  rng = np.random.default_rng(seed)
  chance = np.full(studies, 1 / studies)
  found = [
    scores(rng.multinomial(studies, chance, size).astype(float))
    for size in chunks(samples)
  ]
  return {name: np.concatenate([x[name] for x in found]) for name in found[0]}


def interval(values_R: np.ndarray) -> list[float] | None:
  """The 95 % percentile interval; None where no resample has the score."""
  values_R = values_R[np.isfinite(values_R)]
  if not len(values_R):
    return None
  return np.percentile(values_R, [2.5, 97.5]).tolist()


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
  """part / whole, and 0 where whole is 0."""
  whole = np.asarray(whole, float)
  return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


def chunks(samples: int) -> Iterator[int]:
  """Sizes that add up to `samples`, none too large for the memory."""
  for start in range(0, samples, _SAMPLES_AT_ONCE):
    yield min(_SAMPLES_AT_ONCE, samples - start)
