"""JAX's persistent compilation cache, in the user's cache folder."""

import os
from pathlib import Path

import jax


def enable():
  """Programs compiled once are read back by later runs.

  JAX_COMPILATION_CACHE_DIR names another folder; empty turns it off.
  """
  # JAX leaves out what compiles within a second: a start is made of those.
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  if 'JAX_COMPILATION_CACHE_DIR' in os.environ:
    return
  try:
    cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    folder = Path(cache) / 'cmn_jax' / 'compiled'
    folder.mkdir(parents=True, exist_ok=True)
  except (OSError, RuntimeError):  # a user without a home that can be written
    return
  if not os.access(folder, os.W_OK):
    return
  jax.config.update('jax_compilation_cache_dir', str(folder))
