"""What several processes must be told, and what they cannot do."""

import socket
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from cmn_jax.training import distributed


@pytest.mark.parametrize(
  'arguments, says',
  [
    (('10.0.0.1:8476', 2, None), 'belong together'),
    (('10.0.0.1', 2, 0), 'expected HOST:PORT'),
    (('10.0.0.1:8476', 2, 2), 'expected 0 to 1'),
  ],
)
def test_where_the_processes_are_must_be_said_whole(arguments, says):
  with pytest.raises(ValueError, match=says):
    distributed.start(*arguments)


def test_a_classifier_trains_in_one_process(monkeypatch):
  distributed.alone()
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  with pytest.raises(ValueError, match='one process, not in 2'):
    distributed.alone()


LATE = """
import sys
from cmn_jax.training import distributed
distributed._START_SECONDS, distributed._PATIENT_SECONDS = 3, 1
distributed.start(sys.argv[1], 2, int(sys.argv[2]))
"""


@pytest.mark.parametrize('process', [0, 1])
def test_a_process_whose_others_do_not_come_ends_with_a_sentence(process):
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    address = f'127.0.0.1:{free.getsockname()[1]}'
  ended = subprocess.run(
    [sys.executable, '-c', LATE, address, str(process)],
    cwd=Path(__file__).parents[2],
    capture_output=True,
    text=True,
    timeout=120,
  )
  waiting, error = (
    line for line in ended.stderr.splitlines() if 'waits for' in line
  )
  assert ended.returncode == 1
  assert waiting.startswith(f'process {process} of 2 waits for the others at ')
  assert error.startswith('error: ')
  assert 'Traceback' not in ended.stderr
