"""What every score asks of its arguments."""

from collections.abc import Sized

import numpy as np


def check_pairs(references: Sized, predictions: Sized) -> None:
  """Raises ValueError unless there is one prediction for each reference."""
  if len(references) != len(predictions) or not len(references):
    raise ValueError(
      f'{len(references)} references and {len(predictions)} predictions: '
      'expected the same studies, at least one, in both.'
    )


def check_finite(values: np.ndarray, what: str) -> None:
  """Raises ValueError where a row of `values` holds NaN or infinity.

  NaN compares as neither smaller nor larger: ranks and decisions made from it
  would be arbitrary, and a score of them would not show it.
  """
  bad = np.unique(np.nonzero(~np.isfinite(values))[0])
  if len(bad):
    raise ValueError(
      f'{what}: {len(bad)} of {len(values)} rows, the first of them {bad[0]}, '
      'hold NaN or infinity; expected finite numbers.'
    )
