"""Two simulated CPU devices for every test, and no accelerator.

Most of the tests' time is XLA's: programs that several tests compile alike are
kept in a folder that all processes share, and the longest files begin first.
"""

import os
from pathlib import Path

os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count=2'
os.environ.setdefault(
  'JAX_COMPILATION_CACHE_DIR',
  str(Path(__file__).parent.parent / '.pytest_cache' / 'compiled'),
)
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
os.environ['JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES'] = '-1'

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
