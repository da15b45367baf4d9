"""Two processes on loopback train and evaluate as one process does."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from cmn_jax.training.checkpoints import find_step, load_model
from input_pipeline.phantom.write import write_phantom
from tests.made.quickly_compiled import QUICKLY_COMPILED
from tests.made.runs import PROGRAM, ROOT, SMALL, assert_same_training

pytestmark = pytest.mark.processes
SECONDS = 600  # No process is waited for longer: all are killed then.
FLAGS = SMALL | {
  'data.phantom_studies': 0,
  'data.max_length': 20,
  'decode.method': 'greedy',
  'train.epochs': 1,
  'train.log_every': 1,
  'eval.batch_size': 4,
  'eval.bootstrap': 5,
  'eval.examples': 1,
}


def _start(root: Path, workdir: Path, devices: int, *flags, **environment):
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
      'XLA_FLAGS': ' '.join(
        [
          f'--xla_force_host_platform_device_count={devices}',
          *QUICKLY_COMPILED,
        ]
      ),
      'JAX_COMPILATION_CACHE_DIR': str(root / 'compiled'),
      'PATH': '/nonexistent',  # no Java
      **environment,
    },
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _finish(processes, status: int | None = 0):
  """Their outputs and errors; none of them outlives this call."""
  try:
    said = [process.communicate(timeout=SECONDS) for process in processes]
  finally:
    for process in processes:
      process.kill()
  for process, (_, err) in zip(processes, said, strict=True):
    assert status is None or process.returncode == status, err
  return said


def _start_two(root: Path, workdir: Path, *flags):
  job = (f'--coordinator=127.0.0.1:{_free_port()}', '--processes=2')
  return [
    _start(root, workdir, 1, '--distributed', *job, f'--process={n}', *flags)
    for n in range(2)
  ]


def _start_two_as_slurm(root: Path, workdir: Path):
  """Nothing on the command line says where the processes are."""
  # JAX derives the port from the job's number.
  job = {'SLURM_JOB_ID': str(os.getpid()), 'SLURM_STEP_NODELIST': '127.0.0.1'}
  job |= {'SLURM_JOB_NUM_NODES': '1', 'SLURM_NTASKS': '2'}
  return [
    _start(
      root,
      workdir,
      1,
      '--distributed',
      **job,
      SLURM_PROCID=str(n),
      SLURM_LOCALID=str(n),
    )
    for n in range(2)
  ]


def _wait_for(pattern: str, root: Path, processes) -> None:
  end = time.monotonic() + SECONDS
  while not any(root.glob(pattern)):
    for process in processes:
      assert process.poll() is None, process.communicate()[1][-3000:]
    assert time.monotonic() < end, 'it takes too long'
    time.sleep(0.01)


def _free_port() -> int:
  with socket.socket() as listener:
    listener.bind(('127.0.0.1', 0))
    return listener.getsockname()[1]


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """One process with two devices, and two of a job with one each."""
  root = tmp_path_factory.mktemp('distributed')
  write_phantom(root / 'data', studies=26, seed=3, size=80, workers=1)
  _finish([_start(root, root / 'one', 2)])
  said = _finish(_start_two_as_slurm(root, root / 'two'))
  return root / 'one', root / 'two', said


def test_losses_are_those_of_one_process(runs):
  """Not the same bits: sums over devices round in another order."""
  one, two, _ = runs
  want, got = (load_model(find_step(d))[1]['history'] for d in (one, two))
  assert len(got) == len(want) == FLAGS['train.epochs']
  for ours, expected in zip(got, want, strict=True):
    assert ours.keys() == expected.keys()
    losses = {name for name in expected if name.startswith('train_')}
    losses -= {'train_gradient_norm'}
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


@pytest.mark.parametrize('sent', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_one_stops_both_after_one_step(runs, sent):
  """They continue to the bits of two processes that nobody stopped."""
  root = runs[0].parent
  flags = ('--config.train.epochs=8', '--config.train.validate_every=8')
  if not (root / 'whole').exists():
    _finish(_start_two(root, root / 'whole', *flags))
  stopped = root / sent.name
  # Saved between validations, so that it is known to train.
  flags = (*flags, '--config.train.save_every_steps=2')
  processes = _start_two(root, stopped, *flags)
  _wait_for('checkpoints/[0-9]*', stopped, processes)
  processes[1].send_signal(sent)
  begin = time.monotonic()
  said = _finish(processes, status=None)
  assert time.monotonic() - begin < 60  # mostly of leaving Python
  statuses = sorted(process.returncode for process in processes)
  assert statuses in ([143, 143], sorted([143, 128 + sent])), said
  assert 'saved after step' in said[0][1]
  assert not any('Traceback' in err for _, err in said)
  _finish(_start_two(root, stopped, *flags))
  assert_same_training(stopped, root / 'whole')


def test_both_compute_what_scoring_needs(runs):
  """Maps of the training films, where their cache is gone."""
  root = runs[0].parent
  flags = ('--config.train.freeze=visual_encoder', '--config.name=frozen')
  _finish(_start_two(root, root / 'frozen', *flags))
  shutil.rmtree(root / 'cache' / 'precomputed')
  _finish(_start_two(root, root / 'frozen', *flags, '--mode=evaluate'))


def test_a_lost_process_ends_the_other_with_a_sentence(runs):
  root = runs[0].parent
  flags = ('--config.train.epochs=500', '--config.train.validate_every=500')
  processes = _start_two(
    root, root / 'lost', *flags, '--config.train.save_every_steps=2'
  )
  _wait_for('checkpoints/[0-9]*', root / 'lost', processes)
  processes[1].kill()
  begin = time.monotonic()
  (_, err), _ = _finish(processes, status=None)
  assert processes[0].returncode != 0
  assert time.monotonic() - begin < 60
  assert 'error: process 0 of 2 has lost another' in err
  assert re.search(r'heartbeats\):\n1\n', err)  # JAX names it
