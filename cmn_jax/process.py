"""What a command sets for its process, before its first array."""

import logging
import os

from cmn_jax import compilation_cache
from cmn_jax.training import host_memory


def set_up() -> None:
  """Freed memory is kept, and compiled programs are read back.

  Nor does a download tell of its retries: what failed is said once, by us.
  """
  host_memory.keep_freed()
  compilation_cache.enable()
  if 'HF_HUB_VERBOSITY' not in os.environ:
    os.environ['HF_HUB_VERBOSITY'] = 'error'  # should it be imported later
    logging.getLogger('huggingface_hub').setLevel(logging.ERROR)
