"""The most memory that this process has held."""

import pathlib
import re
import resource
import sys

_STATUS = pathlib.Path('/proc/self/status')
_CLEAR = pathlib.Path('/proc/self/clear_refs')


def forget_peak():
  """Starts the peak anew (Linux); elsewhere it is that of the whole process."""
  if _CLEAR.exists():
    _CLEAR.write_text('5')


def peak_bytes() -> int:
  """Largest resident memory since `forget_peak`."""
  if _STATUS.exists():  # The other count starts from that of the parent.
    return 1024 * int(re.search(r'VmHWM:\s+(\d+)', _STATUS.read_text())[1])
  unit = 1 if sys.platform == 'darwin' else 1024
  return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
