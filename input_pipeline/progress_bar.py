"""The one kind of progress bar, on a terminal and in a log."""

import sys

import tqdm

# Seconds between two lines of a log.
_IN_A_LOG = 15


def progress_bar(items=None, **options) -> tqdm.tqdm:
  """tqdm's bar: as wide as the terminal, and seldom where there is none.

  Args:
    items: to be counted as they pass; None where the caller counts.
    **options: of tqdm, such as total, desc and unit.
  """
  return tqdm.tqdm(
    items,
    dynamic_ncols=True,
    mininterval=0.1 if sys.stderr.isatty() else _IN_A_LOG,
    **options,
  )
