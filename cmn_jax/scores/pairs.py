"""A score of each pair of texts, where pairs repeat."""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from cmn_jax.scores.checks import check_pairs


def score_pairs(
  score: Callable[[str, str], float | list[int]],
  references: Sequence[str],
  hypotheses: Sequence[str],
) -> np.ndarray:
  """A score of each study, (S,): each different pair is computed once.

  Systems repeat themselves, and many shuffles of them meet the same pairs.

  Raises:
    ValueError: no studies, or lists of unequal length.
  """
  check_pairs(references, hypotheses)
  once = functools.cache(score)
  return np.array([*map(once, references, hypotheses)])
