"""JAX's persistent compilation cache, in the user's cache folder."""

import hashlib
import os
import platform
from pathlib import Path

import jax


def enable():
  """Programs compiled once are read back by later runs.

  JAX_COMPILATION_CACHE_DIR names another folder; empty turns it off. Kinds of
  processors that share a home share no programs: one compiled for another kind
  has given wrong gradients.
  """
  # JAX leaves out what compiles within a second: a start is made of those.
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  if 'JAX_COMPILATION_CACHE_DIR' in os.environ:
    return
  cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
  folder = Path(cache) / 'cmn_jax' / f'compiled-{_processor()}'
  jax.config.update('jax_compilation_cache_dir', str(folder))


def _processor() -> str:
  """Tells this kind of processor from others."""
  about = [platform.machine(), platform.processor()]
  cpuinfo = Path('/proc/cpuinfo')
  if cpuinfo.exists():
    named = ('model name', 'flags', 'Features')
    lines = cpuinfo.read_text(errors='replace').splitlines()
    about += sorted({line for line in lines if line.startswith(named)})
  return hashlib.sha256('\n'.join(about).encode()).hexdigest()[:8]
