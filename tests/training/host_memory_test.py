"""Freed memory stays with the process; somebody's own settings stay too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Page faults of filling 64 MB again and again, after one time.
FAULTS = """
import ctypes, resource, sys
from cmn_jax.training import host_memory
done = host_memory.keep_freed()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def fill():
  block = libc.malloc(1 << 26)
  ctypes.memset(block, 1, 1 << 26)
  libc.free(block)
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
  fill()
after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(done, after - before)
"""

# Whether 4 GB of temporaries lie where the last step's did, with something
# small from the step and something from after it still in use.
TEMPORARIES = """
import ctypes, sys
from cmn_jax.training import host_memory
host_memory.keep_freed()
host_memory.set_aside(int(sys.argv[1]))
libc = ctypes.CDLL(None)
libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
first = libc.malloc(4 << 30)
libc.malloc(1 << 26)
libc.free(first)
libc.malloc(1 << 26)
print(libc.malloc(4 << 30) == first)
"""


def printed(program: str, *args, **own) -> list[str]:
  """What a process of its own prints, with settings of glibc's."""
  clean = {k: v for k, v in os.environ.items() if 'MALLOC' not in k}
  clean.pop('GLIBC_TUNABLES', None)
  process = subprocess.run(
    [sys.executable, '-c', program, *args],
    cwd=Path(__file__).parents[2],
    env={**clean, **own},
    capture_output=True,
    text=True,
    check=True,
  )
  return process.stdout.split()


@pytest.mark.skipif(sys.platform != 'linux', reason='of glibc')
@pytest.mark.parametrize(
  ('own', 'kept'),
  [
    ({}, True),
    ({'MALLOC_ARENA_MAX': '2'}, False),
    ({'GLIBC_TUNABLES': 'glibc.malloc.check=0'}, False),
  ],
)
def test_a_block_that_is_asked_for_again_costs_no_page_faults(own, kept):
  said, faults = printed(FAULTS, **own)
  assert said == str(kept)
  # 64 MB are 16,384 pages, or 32 huge ones.
  assert int(faults) < 16 if kept else int(faults) >= 320


@pytest.mark.skipif(sys.platform != 'linux', reason='of glibc')
@pytest.mark.parametrize(
  ('temporaries', 'same'), [('0', 'False'), (str(4 << 30), 'True')]
)
def test_large_temporaries_are_not_held_twice(temporaries, same):
  assert printed(TEMPORARIES, temporaries) == [same]


def test_without_glibc_nothing_is_done(monkeypatch):
  from cmn_jax.training import host_memory

  for name in [n for n in os.environ if n.startswith('MALLOC_')]:
    monkeypatch.delenv(name)
  monkeypatch.delenv('GLIBC_TUNABLES', raising=False)

  def no_libc(_):
    raise OSError('no such library')

  monkeypatch.setattr(host_memory.ctypes, 'CDLL', no_libc)
  assert host_memory.keep_freed() is False
