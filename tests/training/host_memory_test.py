"""Freed memory stays with the process; somebody's own settings stay too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Page faults of filling 64 MB again and again, after one time.
PROGRAM = """
import ctypes, resource, sys
from cmn_jax.training import host_memory
done = host_memory.keep_freed()
host_memory.map_large(int(sys.argv[1]))
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


@pytest.mark.skipif(sys.platform != 'linux', reason='of glibc')
@pytest.mark.parametrize(
  ('own', 'temporaries', 'done', 'kept'),
  [
    ({}, 0, True, True),
    ({}, 1 << 30, True, False),  # of a program: too much to hold it twice
    ({'MALLOC_ARENA_MAX': '2'}, 0, False, False),
    ({'GLIBC_TUNABLES': 'glibc.malloc.check=0'}, 1 << 30, False, False),
  ],
)
def test_a_block_that_is_asked_for_again_costs_no_page_faults(
  own, temporaries, done, kept
):
  clean = {k: v for k, v in os.environ.items() if 'MALLOC' not in k}
  clean.pop('GLIBC_TUNABLES', None)
  process = subprocess.run(
    [sys.executable, '-c', PROGRAM, str(temporaries)],
    cwd=Path(__file__).parents[2],
    env={**clean, **own},
    capture_output=True,
    text=True,
    check=True,
  )
  said, faults = process.stdout.split()
  assert said == str(done)
  # 64 MB are 16,384 pages, or 32 huge ones.
  assert int(faults) < 16 if kept else int(faults) >= 320


def test_without_glibc_nothing_is_done(monkeypatch):
  from cmn_jax.training import host_memory

  for name in [n for n in os.environ if n.startswith('MALLOC_')]:
    monkeypatch.delenv(name)
  monkeypatch.delenv('GLIBC_TUNABLES', raising=False)

  def no_libc(_):
    raise OSError('no such library')

  monkeypatch.setattr(host_memory.ctypes, 'CDLL', no_libc)
  assert host_memory.keep_freed() is False
