"""The memory of programs on a Linux CPU: kept by the process, not given back.

XLA asks for a program's temporaries anew at each step. As glibc is set, large
ones are mapped, filled with zeros by the kernel page after page, and unmapped.

Kept, very large ones would be held twice: glibc cuts a small block from the
smallest free one that holds it, which may be what the temporaries left, and the
rest is too small for the next step's. So it has another to cut from.
"""

import ctypes
import os

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_NEVER = -1
# Temporaries of a program, in bytes, from which on it matters.
_LARGE = 1 << 30
# Where more threads than these ask at once, they would wait for one arena.
_FEW_CORES = 16
_OWN = 'MALLOC_', 'glibc.malloc'

# Whether `keep_freed` has had its way in this process, and `set_aside`.
_kept = _aside = False


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


def set_aside(temporaries: int) -> None:
  """Leaves room for small blocks, if a program's temporaries are large.

  Where `keep_freed` has had its way; before the program first runs. What
  compiling has freed, half a gigabyte, is given back.

  Args:
    temporaries: of the program, in bytes.
  """
  global _aside
  if _aside or not _kept or temporaries < _LARGE:
    return
  _aside = True
  libc = _glibc()
  libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
  libc.free.argtypes = [ctypes.c_void_p]
  libc.malloc_trim(0)
  # Addresses alone, as nothing is written. The second block, no smaller, lies
  # behind the first and keeps it apart from what comes after.
  room = libc.malloc(_LARGE)
  libc.malloc(_LARGE)
  libc.free(room)


def _glibc():
  """The process's C library; None with another one."""
  try:
    libc = ctypes.CDLL(None)
    libc.gnu_get_libc_version  # noqa: B018
    return libc
  except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
    return None
