"""Where this process's time goes, from its start: one kind at every moment."""

import collections
import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from input_pipeline.terminal import folded

# In the order in which they are told.
KINDS = (
  'starting',
  'compiling',
  'steps',
  'waiting for data',
  'validation',
  'saving',
  'evaluation',
)


def _age() -> float:
  """Seconds since this process began; since this module did, off Linux."""
  try:
    ticks = float(
      Path('/proc/self/stat').read_text().rsplit(')')[1].split()[19]
    )
    up = float(Path('/proc/uptime').read_text().split()[0])
  except (OSError, IndexError, ValueError):
    return 0.0
  return max(up - ticks / os.sysconf('SC_CLK_TCK'), 0.0)


class _Clock:
  """The kind that runs, since when, and what there was of each before."""

  def __init__(self):
    self.kind, self.since = KINDS[0], time.monotonic() - _age()
    self.seconds = collections.Counter()

  def switch(self, kind: str) -> str:
    """Goes on to another kind; returns the one before."""
    now, before = time.monotonic(), self.kind
    self.seconds[before] += now - self.since
    self.kind, self.since = kind, now
    return before


_clock = _Clock()


@contextlib.contextmanager
def spent(kind: str) -> Iterator[None]:
  """What is done meanwhile is of this kind, or of one named within."""
  before = _clock.switch(kind)
  try:
    yield
  finally:
    _clock.switch(before)


def seconds() -> dict[str, float]:
  """Of each kind so far; together the age of this process."""
  _clock.switch(_clock.kind)
  return {kind: _clock.seconds[kind] for kind in KINDS if _clock.seconds[kind]}


def summary() -> str:
  """All kinds so far, in lines of less than 80 columns."""
  parts, total = seconds(), sum(seconds().values())
  told = ', '.join(f'{kind} {x:.0f}' for kind, x in parts.items() if x >= 0.5)
  share = parts.get('steps', 0.0) / total
  said = f'{total:.0f} s: {told}; {share:.0%} of it in training steps'
  return folded(said)
