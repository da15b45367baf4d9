"""What a command sets for its process, and how what trains ends."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator

from cmn_jax import compilation_cache
from cmn_jax.training import host_memory
from input_pipeline.errors import UserError, of_the_disk


def set_up() -> None:
  """Freed memory is kept, and compiled programs are read back.

  Nor does a download tell of its retries: what failed is said once, by us.
  """
  host_memory.keep_freed()
  compilation_cache.enable()
  if 'HF_HUB_VERBOSITY' not in os.environ:
    os.environ['HF_HUB_VERBOSITY'] = 'error'  # should it be imported later
    logging.getLogger('huggingface_hub').setLevel(logging.ERROR)


@contextlib.contextmanager
def told_in_one_sentence() -> Iterator[None]:
  """Ends the process where a person can mend it, a full disk too."""
  try:
    yield
  except UserError as error:
    sys.exit(f'error: {error}')
  except OSError as error:
    if not of_the_disk(error):
      raise
    sys.exit(f'error: {error}; the checkpoints so far are whole')
