"""Signals and locks, of small processes."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from input_pipeline.errors import UserError
from input_pipeline.folder_lock import locked

ROOT = Path(__file__).parents[2]
BEGIN = """
import hashlib, sys, time
from input_pipeline import folder_lock, stopping
stopping.install()
def blocked(seconds=60):  # In compiled code, which does not hold the GIL.
  end = time.time() + seconds
  print('ready', flush=True)
  hashlib.pbkdf2_hmac('sha256', b'', b'', int(2e6 * seconds))
def polling():
  print('ready', flush=True)
  while not stopping.requested():
    time.sleep(.01)
"""


def _start(program: str) -> subprocess.Popen:
  process = subprocess.Popen(
    [sys.executable, '-c', BEGIN + program],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    cwd=ROOT,
  )
  assert process.stdout.readline() == 'ready\n'
  return process


@pytest.mark.parametrize(
  'program, says',
  [
    # Nothing is to be saved: at once, from Python and from compiled code.
    ("print('ready', flush=True); time.sleep(60)", 'stopped by SIG'),
    ('blocked()', 'stopped by SIG'),
    ('with stopping.polled():\n with stopping.unpolled():\n  blocked()', 'SIG'),
    # The main thread saves, or another one in its place.
    (
      'with stopping.polled():\n polling()\n time.sleep(1)\n'
      " stopping.leave(stopping.requested(), 'saved')",
      'stopped by SIG{}: saved',
    ),
    (
      'with stopping.polled():\n'
      " with stopping.unpolled(lambda: 'saved'):\n  blocked()",
      'stopped by SIG{}: saved',
    ),
    # What is left when Python takes itself apart would not end.
    (
      'class Endless:\n'
      ' def __del__(self, sleep=time.sleep): sleep(60)\n'
      'sys.kept = Endless()\n'
      'with stopping.polled():\n polling()\n'
      " stopping.leave(stopping.requested(), 'saved')",
      'stopped by SIG{}: saved',
    ),
    # Where no exception can pass.
    (
      'import gc\n'
      'gc.callbacks.append(lambda phase, _: time.sleep(1))\n'
      "print('ready', flush=True)\ngc.collect()\ntime.sleep(60)",
      'stopped by SIG',
    ),
    # It does not look in time.
    (
      'stopping.PATIENCE = .1\nwith stopping.polled():\n blocked()',
      'which is lost: the same command continues',
    ),
  ],
)
@pytest.mark.parametrize('name', ['TERM', 'INT'])
def test_a_signal_ends_it_in_time_with_a_sentence(program, says, name):
  process, begin = _start(program), time.monotonic()
  number = signal.Signals[f'SIG{name}']
  process.send_signal(number)
  _, err = process.communicate(timeout=60)
  assert process.returncode == 128 + number
  assert says.format(name) in err and len(err.strip().splitlines()) == 1
  assert time.monotonic() - begin < 10


def test_no_exception_comes_into_a_module_that_is_imported(tmp_path):
  """jaxlib's crash where one does."""
  (tmp_path / 'slow.py').write_text(
    "import time\nprint('ready', flush=True)\n"
    "try:\n  time.sleep(60)\nfinally:\n  print('unwound', flush=True)\n"
  )
  process = _start(f'sys.path.append({str(tmp_path)!r})\nimport slow')
  process.send_signal(signal.SIGTERM)
  out, err = process.communicate(timeout=10)
  assert process.returncode == 143 and err.strip() == 'stopped by SIGTERM'
  assert not out


def test_a_second_interrupt_leaves_at_once():
  process = _start('with stopping.polled():\n blocked()')
  for _ in range(2):
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
  _, err = process.communicate(timeout=10)
  assert process.returncode == 130
  assert err.strip() == 'left at once'


def test_a_killed_process_holds_its_folder_no_more(tmp_path):
  process = _start(
    f'with folder_lock.locked({str(tmp_path)!r}):\n'
    "  print('ready', flush=True); time.sleep(60)"
  )
  with pytest.raises(UserError, match=f'in use by process {process.pid} on'):
    locked(tmp_path).__enter__()
  process.kill()
  process.communicate()
  with locked(tmp_path):
    pass


def test_who_waits_for_a_folder_says_so(tmp_path, capsys):
  order = []

  def second():
    with locked(tmp_path, wait=True):
      order.append('second')

  with locked(tmp_path):
    thread = threading.Thread(target=second)
    thread.start()
    time.sleep(0.2)
    order.append('first')
  thread.join()
  assert order == ['first', 'second']
  assert 'waiting for it' in capsys.readouterr().err
