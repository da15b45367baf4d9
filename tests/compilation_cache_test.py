"""A start takes little: no TensorFlow, and small programs are read back."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from cmn_jax import compilation_cache, loaded, predictor, reporter
compilation_cache.enable()
import jax
jax.jit(lambda x: x + 1)(1)
sys.exit(bool({'tensorflow', 'scipy', 'pydicom'} & set(sys.modules)))
"""


def test_small_programs_are_kept_and_tensorflow_is_not_imported(tmp_path):
  environment = {**os.environ, 'XDG_CACHE_HOME': str(tmp_path)}
  environment.pop('JAX_COMPILATION_CACHE_DIR', None)
  process = subprocess.run(
    [sys.executable, '-c', PROGRAM],
    cwd=Path(__file__).parent.parent,
    env=environment,
    capture_output=True,
    text=True,
  )
  assert process.returncode == 0, process.stderr
  assert list((tmp_path / 'cmn_jax' / 'compiled').glob('jit*-cache'))
