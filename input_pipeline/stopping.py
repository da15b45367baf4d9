"""SIGTERM and SIGINT: what a process does before it leaves.

Python runs a signal's handler when the main thread is back from compiled code,
which may take minutes while XLA compiles. So a thread of its own is woken by
each signal, and sees to it that the process leaves in time, with exit status
128 + the signal's number and one sentence. A second SIGINT leaves at once.
"""

import atexit
import contextlib
import functools
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

# Seconds for what is under way, such as a training step, to end by itself;
# schedulers give 30 before they kill.
PATIENCE = 25.0
# Seconds for what needs no saving to clean up.
_CLEAN_UP = 2.0


class _Stop:
  """The state of this process; `install` makes it listen."""

  def __init__(self):
    self.signal: int | None = None
    self.owner: int | None = None
    # Whether the main thread looks at `signal` by itself, and has seen it.
    self.polled = self.seen = False
    self.said = False
    # The signal because of which the main thread leaves.
    self.leaving: int | None = None
    # Held by who leaves `unpolled`, or by the thread that leaves for it.
    self.lock = threading.Lock()
    # What the woken thread does where the main thread does not look.
    self.before: Callable[[], str] | None = None


_stop = _Stop()


class Stopped(SystemExit):
  """Leaves the main thread, as sys.exit does."""


def install() -> None:
  """Makes this process, its main thread calling, leave as described above."""
  if threading.current_thread() is not threading.main_thread():
    return
  wake, woken = socket.socketpair()
  wake.setblocking(False)
  _stop.owner = os.getpid()
  # Before others register, so that it runs after them.
  atexit.register(_exit_at_last)
  sys.unraisablehook = functools.partial(_unraisable, sys.unraisablehook)
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, _handle)
  signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
  # The pair lives as long as the thread that reads it.
  threading.Thread(target=_watch, args=(woken, wake), daemon=True).start()


def requested() -> int | None:
  """The signal that asked this process to stop, or None.

  Who sees one saves what is worth it, in whatever time, and calls `leave`.
  """
  _stop.seen = _stop.signal is not None
  return _stop.signal


def leave(number: int, sentence: str) -> None:
  """Leaves because of a signal, from the main thread."""
  _say(f'stopped by {signal.Signals(number).name}: {sentence}')
  if _stop.owner is not None:
    threading.Thread(target=_exit_late, args=(number,), daemon=True).start()
  _stop.leaving = number
  raise Stopped(128 + number)


@contextlib.contextmanager
def polled() -> Iterator[None]:
  """Meanwhile the main thread asks `requested` itself, and leaves."""
  before, _stop.polled = _stop.polled, True
  try:
    yield
  finally:
    _stop.polled = before


@contextlib.contextmanager
def unpolled(first: Callable[[], str] | None = None) -> Iterator[None]:
  """Within `polled`: meanwhile it does not, so that a signal leaves at once.

  Args:
    first: called by another thread before that; what it returns is told.
  """
  before = _stop.polled, _stop.before
  _stop.before, _stop.polled = first, False
  try:
    yield
  finally:
    with _stop.lock:
      _stop.polled, _stop.before = before


def _handle(number: int, frame) -> None:
  """In the main thread, when it is back from compiled code."""
  if os.getpid() != _stop.owner:  # A worker of ours, forked.
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
  elif not _stop.polled and _stop.before is None:
    sentence = f'stopped by {signal.Signals(number).name}'
    if _imports(frame):
      _exit(number, sentence)
    _say(sentence)
    _stop.leaving = number
    raise Stopped(128 + number)


def _imports(frame) -> bool:
  """Whether a module is being imported, which compiled ones do not survive.

  An exception that comes while jaxlib's begin ends in a crash.
  """
  while frame is not None:
    if frame.f_code.co_filename.startswith('<frozen importlib'):
      return True
    frame = frame.f_back
  return False


def _unraisable(hook: Callable, found) -> None:
  """Says nothing of a signal that came where no exception can pass.

  As within garbage collection; `_see_off` ends the process then.
  """
  if found.exc_type is not Stopped:
    hook(found)


def _watch(woken: socket.socket, wake: socket.socket) -> None:
  """Reads signals as they come; `wake` is held so that it stays open."""
  del wake
  while True:
    number = woken.recv(1)[0]
    if number not in (signal.SIGTERM, signal.SIGINT):
      continue
    if _stop.signal is None:
      _stop.signal = number
      threading.Thread(target=_see_off, args=(number,), daemon=True).start()
    elif number == signal.SIGINT:
      _exit(number, 'left at once')


def _see_off(number: int) -> None:
  """Waits for the main thread to see the signal, or does what is to be done."""
  name, end = signal.Signals(number).name, time.monotonic() + PATIENCE
  while _stop.polled and not _stop.seen and time.monotonic() < end:
    time.sleep(0.02)
  if _stop.seen:
    return
  if _stop.polled:
    _exit(
      number,
      f'stopped by {name} in a step of more than {PATIENCE:.0f} s, which is '
      'lost: the same command continues after the last save',
    )
  with _stop.lock:
    if _stop.before is not None:
      _exit(number, f'stopped by {name}: {_stop.before()}')
  _exit_late(number)


def _exit_late(number: int) -> None:
  """For a main thread in compiled code, or whose exit waits for threads."""
  time.sleep(_CLEAN_UP)
  _exit(number, f'stopped by {signal.Signals(number).name}')


def _exit_at_last() -> None:
  """Ends the process before Python takes itself apart.

  Then no thread of ours runs any more, and TensorFlow's may wait for ever for
  an interpreter that is gone.
  """
  if _stop.leaving is not None and os.getpid() == _stop.owner:
    _exit(_stop.leaving, f'stopped by {signal.Signals(_stop.leaving).name}')


def _exit(number: int, sentence: str) -> None:
  _say(sentence)
  sys.stdout.flush()
  os._exit(128 + number)


def _say(sentence: str) -> None:
  """The one sentence, below what a progress bar has left."""
  if _stop.owner is None:
    print(sentence, file=sys.stderr)
  elif not _stop.said:
    _stop.said = True
    # A handler may have come in the midst of a print, which takes no other.
    os.write(2, f'\n{sentence}\n'.encode())
