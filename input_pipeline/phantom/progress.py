"""A progress bar with the time left; plain lines where there is no terminal."""

import sys
import threading
import time

_BAR = 26
_SECONDS_BETWEEN_LINES = 15


class Progress:
  """Shows on stderr how many of `total` are done."""

  def __init__(self, label: str, total: int):
    self._label, self._total = label, total
    self._done, self._start = 0, time.monotonic()
    self._lock = threading.Lock()
    self._shown, self._terminal = self._start, sys.stderr.isatty()

  def step(self):
    """One more is done; may be called from any thread."""
    with self._lock:
      self._done += 1
      now = time.monotonic()
      wait = 0.2 if self._terminal else _SECONDS_BETWEEN_LINES
      if now - self._shown > wait or self._done == self._total:
        self._shown = now
        self._show(now - self._start)

  def _show(self, seconds):
    finished = self._done == self._total
    left = seconds / self._done * (self._total - self._done)
    clock = f'{seconds:.0f} s' if finished else f'{left:.0f} s left'
    count = f'{self._done}/{self._total}, {clock}'
    if not self._terminal:
      print(f'{self._label}: {count}', file=sys.stderr, flush=True)
      return
    full = _BAR * self._done // self._total
    bar = '#' * full + '.' * (_BAR - full)
    line = f'\r{self._label} [{bar}] {count:<26}'
    print(line, end='\n' if finished else '', file=sys.stderr, flush=True)
