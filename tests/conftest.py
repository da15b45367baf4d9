"""Two simulated CPU devices for every test, and no accelerator.

Most of the tests' time is XLA's: programs that several tests compile alike are
kept in a folder that all processes share, the longest files begin first, and a
tiny trained run is made once for all tests that look at one.
"""

import fcntl
import os
import shutil
from pathlib import Path

import pytest

os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count=2'
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
  'train_classifier_test.py',
  'report_generator_test.py',
  'alignment_test.py',
)


def pytest_collection_modifyitems(items):
  """Whole files go to a process: a long one must not be left for the end."""
  rank = {name: place for place, name in enumerate(_LONGEST)}
  items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(scope='session')
def tiny_run(tmp_path_factory) -> Path:
  """The workdir of a run of main.py, see made/tiny_run.py; only to be read."""
  from tests.made.tiny_run import make

  root = tmp_path_factory.getbasetemp()
  if 'PYTEST_XDIST_WORKER' in os.environ:
    root = root.parent  # of all processes
  folder = root / 'tiny_run'
  with (root / 'tiny_run.lock').open('w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not (folder / 'run' / 'report.html').exists():
      shutil.rmtree(folder, ignore_errors=True)
      folder.mkdir()
      make(folder)
  return folder / 'run'


@pytest.fixture
def tiny_copy(tiny_run, tmp_path) -> Path:
  """A copy of that workdir, to be changed."""
  return shutil.copytree(tiny_run, tmp_path / 'run')
