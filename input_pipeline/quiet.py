"""Libraries that warn of what is meant to be so."""

import contextlib
from collections.abc import Iterator

from absl import logging


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
  """Silences them, but for errors."""
  before = logging.get_verbosity()
  logging.set_verbosity(min(before, logging.ERROR))  # Less is quieter.
  try:
    yield
  finally:
    logging.set_verbosity(before)
