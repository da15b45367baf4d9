"""Two processes on loopback train and evaluate as one process does."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from cmn_jax.training.checkpoints import find_step, load_model
from input_pipeline.phantom.write import write_phantom
from tests.made import small
from tests.made.runs import ROOT, SMALL

pytestmark = pytest.mark.processes
SECONDS = 300  # No process is waited for longer: all are killed then.
FLAGS = SMALL | {
  'model.encoder': small.TINY,
  'data.phantom_studies': 0,
  'data.max_length': 20,
  'decode.method': 'greedy',
  'train.epochs': 1,
  'train.log_every': 1,
  'eval.batch_size': 4,
  'eval.bootstrap': 5,
  'eval.examples': 1,
}


# main.py, where there is the small encoder too.
PROGRAM = f"""
import runpy, sys
sys.path.insert(0, {str(ROOT)!r})
from tests.made import small
small.add_tiny_encoder()
runpy.run_path({str(ROOT / 'main.py')!r}, run_name='__main__')
"""


def _start(root: Path, workdir: Path, devices: int, *flags):
  """main.py on so many simulated devices."""
  settings = {
    **FLAGS,
    'data.dir': str(root / 'data'),
    'data.cache_dir': str(root / 'cache'),
  }
  return subprocess.Popen(
    [
      sys.executable,
      '-c',
      PROGRAM,
      f'--config={ROOT}/configs/phantom.py:proposed',
      f'--workdir={workdir}',
      *(f'--config.{k}={v}' for k, v in settings.items()),
      *flags,
    ],
    env={
      **os.environ,
      # Programs are compared with each other: compiled with little care.
      'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices} '
      '--xla_backend_optimization_level=0',
      'JAX_COMPILATION_CACHE_DIR': str(root / 'compiled'),
      'PATH': '/nonexistent',  # no Java
    },
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _finish(processes):
  """Their outputs and errors; none of them outlives this call."""
  try:
    said = [process.communicate(timeout=SECONDS) for process in processes]
  finally:
    for process in processes:
      process.kill()
  for process, (_, err) in zip(processes, said, strict=True):
    assert process.returncode == 0, err
  return said


def _free_port() -> int:
  with socket.socket() as listener:
    listener.bind(('127.0.0.1', 0))
    return listener.getsockname()[1]


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """One process with two devices, and two with one each."""
  root = tmp_path_factory.mktemp('distributed')
  write_phantom(root / 'data', studies=26, seed=3, size=80, workers=1)
  _finish([_start(root, root / 'one', 2)])
  job = (f'--coordinator=127.0.0.1:{_free_port()}', '--processes=2')
  said = _finish(
    [
      _start(root, root / 'two', 1, '--distributed', *job, f'--process={n}')
      for n in range(2)
    ]
  )
  return root / 'one', root / 'two', said


def test_losses_are_those_of_one_process(runs):
  """Not the same bits: sums over devices round in another order."""
  one, two, _ = runs
  want, got = (load_model(find_step(d))[1]['history'] for d in (one, two))
  assert len(got) == len(want) == FLAGS['train.epochs']
  for ours, expected in zip(got, want, strict=True):
    assert ours.keys() == expected.keys()
    losses = [name for name in expected if name.startswith('train_')]
    assert 'train_loss' in losses and 'train_alignment_others' in losses
    for name in losses:
      assert ours[name] == pytest.approx(expected[name], rel=1e-6)
    assert ours['val']['loss'] == pytest.approx(
      expected['val']['loss'], rel=1e-4
    )


def test_parameters_are_those_of_one_process(runs):
  one, two, _ = runs
  want, got = (load_model(find_step(d))[0] for d in (one, two))
  squares = [
    (np.sum((a - b) ** 2), np.sum(b**2))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True)
  ]
  difference, size = np.sum(squares, axis=0)
  assert np.sqrt(difference / size) < 1e-3


def test_each_study_is_written_once(runs):
  one, two, _ = runs
  name = Path('evaluation') / 'test_predictions.json'
  want, got = (json.loads((d / name).read_text()) for d in (one, two))
  assert [x['id'] for x in got] == [x['id'] for x in want]
  assert (two / 'report.html').exists()


def test_the_first_process_alone_prints_and_writes(runs):
  _, two, ((first_out, first_err), (second_out, second_err)) = runs
  assert 'constant report' in first_out and 'epoch' in first_err
  said = [x for x in second_out.splitlines() if not x.startswith('[Gloo]')]
  assert not said
  assert 'epoch' not in second_err and 'studies' not in second_err
  assert len(list(two.glob('events.out.tfevents*'))) == 1
