"""The memory of programs on a Linux CPU: kept by the process, not given back.

XLA asks for a program's temporaries anew at each step. As glibc is set, large
ones are mapped, filled with zeros by the kernel page after page, and unmapped.
"""

import ctypes
import os

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_NEVER = -1
# Where more threads than these ask at once, they would wait for one arena.
_FEW_CORES = 16
_OWN = 'MALLOC_', 'glibc.malloc'


def keep_freed() -> bool:
  """Freed memory stays with the process, which asks for it again.

  Early in a process, before its threads. Somebody's own settings of glibc
  (GLIBC_TUNABLES, MALLOC_*) stay as they are.

  Returns:
    Whether it was done; not so without glibc.
  """
  said = os.environ.get('GLIBC_TUNABLES', '')
  if _OWN[1] in said or any(name.startswith(_OWN[0]) for name in os.environ):
    return False
  try:
    mallopt = ctypes.CDLL(None).mallopt
    ctypes.CDLL(None).gnu_get_libc_version  # noqa: B018
  except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
    return False
  settings = [(_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER)]
  if (os.cpu_count() or 1) <= _FEW_CORES:
    settings.append((_M_ARENA_MAX, 1))
  done = [mallopt(name, value) for name, value in settings]
  return all(done)
