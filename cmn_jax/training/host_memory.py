"""The memory of programs on a Linux CPU: kept by the process, not given back.

XLA asks for a program's temporaries anew at each step. As glibc is set, large
ones are mapped, filled with zeros by the kernel page after page, and unmapped.

Very large ones are mapped all the same: kept, they would be held twice as soon
as something small lies within what was freed. Beside them what compiling has
freed, half a gigabyte, is given back.
"""

import ctypes
import os

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8
_NEVER, _MAPPED_MAX = -1, 65536
# The largest threshold that glibc takes, in bytes.
_MAPPED_FROM = 32 << 20
# Temporaries of a program, in bytes, from which on large blocks are mapped.
_LARGE = 1 << 30
# Where more threads than these ask at once, they would wait for one arena.
_FEW_CORES = 16
_OWN = 'MALLOC_', 'glibc.malloc'

# Whether `keep_freed` has had its way in this process.
_kept = False


def keep_freed() -> bool:
  """Freed memory stays with the process, which asks for it again.

  Early in a process, before its threads. Somebody's own settings of glibc
  (GLIBC_TUNABLES, MALLOC_*) stay as they are.

  Returns:
    Whether it was done; not so without glibc.
  """
  global _kept
  said = os.environ.get('GLIBC_TUNABLES', '')
  if _OWN[1] in said or any(name.startswith(_OWN[0]) for name in os.environ):
    return False
  libc = _glibc()
  if libc is None:
    return False
  settings = [(_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER)]
  if (os.cpu_count() or 1) <= _FEW_CORES:
    settings.append((_M_ARENA_MAX, 1))
  done = [libc.mallopt(name, value) for name, value in settings]
  _kept = all(done)
  return _kept


def map_large(temporaries: int) -> None:
  """Maps blocks of 32 MB and more again, if a program's temporaries are large.

  Where `keep_freed` has changed that; before the program first runs. What is
  free by then is given back.

  Args:
    temporaries: of the program, in bytes.
  """
  if _kept and temporaries >= _LARGE:
    libc = _glibc()
    libc.mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM)
    libc.mallopt(_M_MMAP_MAX, _MAPPED_MAX)
    libc.malloc_trim(0)


def _glibc():
  """The process's C library; None with another one."""
  try:
    libc = ctypes.CDLL(None)
    libc.gnu_get_libc_version  # noqa: B018
    return libc
  except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
    return None
