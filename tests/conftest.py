"""Two simulated CPU devices for every test, no accelerator, and shared runs.

Most of the tests' time is XLA's: programs that several tests compile alike are
cached in a folder that all processes share, and the longest files begin first.
"""

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from cmn_jax.training import host_memory
from tests.made.quickly_compiled import QUICKLY_COMPILED

host_memory.keep_freed()
os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['XLA_FLAGS'] = ' '.join(
  ['--xla_force_host_platform_device_count=2', *QUICKLY_COMPILED]
)
os.environ.setdefault(
  'JAX_COMPILATION_CACHE_DIR',
  str(Path(__file__).parent.parent / '.pytest_cache' / 'compiled'),
)
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
os.environ['JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES'] = '-1'

# By `pytest --durations=0`; xdist hands files out in this order because of
# --no-loadscope-reorder.
_LONGEST = (
  'parallel_test.py',
  'train_test.py',
  'classify_test.py',
  'report_generator_test.py',
  'alignment_test.py',
)


def pytest_collection_modifyitems(items):
  """Whole files go to a process: a long one must not be left for the end."""
  rank = {name: place for place, name in enumerate(_LONGEST)}
  items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(scope='session', autouse=True)
def _signals_are_pytest_s():
  """Commands called in this process do not take its signals."""
  from input_pipeline import stopping

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(stopping, 'install', lambda: None)
    yield


@pytest.fixture(scope='session')
def runs(tmp_path_factory):
  """A small report model and a classifier on it, trained and evaluated.

  Made by the first process that asks; the others wait for it.
  """
  from tests.made.runs import Runs, make_runs

  base = tmp_path_factory.getbasetemp()
  if 'PYTEST_XDIST_WORKER' in os.environ:
    base = base.parent
  root, done = base / 'runs', base / 'runs' / 'done'
  with (base / 'runs.lock').open('w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not done.exists():
      shutil.rmtree(root, ignore_errors=True)
      make_runs(root)
      done.touch()
  return Runs(root)
