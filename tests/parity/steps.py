"""Checks of training: the authors' code and the twins, float32 and float64."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from cmn_jax.interop.names import to_variables
from cmn_jax.interop.r2gencmn import r2gencmn_rows
from cmn_jax.models.report_generator import ReportGenerator
from tests.parity import draw, models, training
from tests.parity.kept import Kept
from tests.parity.results import Row, at_most, for_scale
from tests.parity.twin import Twin, twin_rows

# In float64 the published sizes are slow; and their rounding is amplified too.
DOUBLE_LIMITS = {'small': 1e-6, 'published': 1e-3}
DOUBLE_STEPS = {
  'small': training.STEPS,
  'published': training.STEPS_PER_EPOCH,
}


def steps(size: models.Size, kept: Kept) -> list[Row]:
  """Loss, gradients, batch statistics and parameters of 20 steps."""
  theirs, ours, variables = models.pair(size, 2, seed=4)
  table = r2gencmn_rows(size.shape)
  on = f'{size.name}, batch {size.train_batch}'
  return _compare(
    theirs, ours, variables, table, training_batches(size), kept, on
  )


def _compare(theirs, ours, variables, table, batches, kept, on: str):
  noise = training.against_itself(theirs, table, batches, kept)
  found = training.compare(theirs, ours, variables, table, batches, kept)
  return training_rows(found, noise, on)


def twin_pair(memory: str):
  """The torch twin of a variant and ours, small: as `pair`, and its table."""
  shape = dataclasses.replace(models.SMALL_SIZE.shape, memory=memory)
  table = twin_rows(shape)
  tensors = draw.draw_state_dict(shape, table, seed=7)
  theirs, ours = Twin(shape).eval(), ReportGenerator(shape)
  models.load_state(theirs, tensors)
  return theirs, ours, to_variables(table, tensors), table


def twin(memory: str, kept: Kept) -> list[Row]:
  """Log-probabilities and training of a variant against our torch twin."""
  theirs, ours, variables, table = twin_pair(memory)
  batches = training_batches(models.SMALL_SIZE)
  worst = models.worst_log_prob(theirs, ours, variables, batches[0])
  name = {'none': 'base', 'separate': 'mem'}[memory]
  on = f'{name} and our torch twin, small model'
  return [
    at_most('log-probabilities, absolute', on, worst, 1e-4),
    *_compare(theirs, ours, variables, table, batches, kept, on),
  ]


def double(checkout: Path, size: str, memory: str) -> list[Row]:
  """Rows for steps in float64, in a process of its own.

  Args:
    checkout: the authors' code.
    size: a key of `models.SIZES`.
    memory: 'shared' for the authors' code, or the twin's 'none', 'separate'.
  """
  found = _in_double(checkout, size, memory)
  name = {'none': 'base', 'separate': 'mem'}.get(memory)
  on = f'{name} and our torch twin, ' if name else ''
  after = DOUBLE_LIMITS[size]
  on += f'{models.SIZES[size].name} in float64, {DOUBLE_STEPS[size]} steps'
  return [
    at_most('log-probabilities, absolute', on, found['log_probs'], 1e-6),
    at_most('gradient, worst array, relative', on, found['gradient'], 1e-6),
    at_most(
      'parameters, worst array, relative', on, found['parameters'], after
    ),
    at_most('losses of all steps, relative', on, found['losses'], after),
  ]


def double_reports(checkout: Path, size: str) -> list[Row]:
  """Rows for reports in float64, in a process of its own."""
  return [Row(**row) for row in _in_double(checkout, size, 'reports')]


def _in_double(checkout: Path, size: str, what: str):
  program = [sys.executable, '-m', 'tests.parity.double']
  done = subprocess.run(
    [*program, str(checkout), size, what], stdout=subprocess.PIPE, text=True
  )
  if done.returncode:
    raise SystemExit(f'error: {" ".join(program)} failed')
  return json.loads(done.stdout)


def training_batches(size: models.Size) -> list[dict]:
  """The batches of one epoch."""
  count = size.train_batch * training.STEPS_PER_EPOCH
  films = draw.draw_films(count, 2, size.image, seed=5)
  ids = draw.draw_ids(count, size.shape, seed=6)
  return [
    {
      'images_BxIxHxW': films[start : start + size.train_batch],
      'ids_BxT': ids[start : start + size.train_batch],
      'mask_B': np.ones(size.train_batch, bool),
      'mask_BxI': np.ones((size.train_batch, 2), bool),
    }
    for start in range(0, count, size.train_batch)
  ]


def training_rows(
  found: training.Differences, noise: tuple[float, float], on: str
) -> list[Row]:
  """Rows for one comparison of training in float32, all relative.

  Args:
    found: ours against theirs.
    noise: theirs against themselves, as `training.against_itself` says.
    on: what was compared.
  """
  steps_on = f'{on}, {training.STEPS} steps'
  return [
    at_most('training loss, relative', on, found.loss, 1e-5),
    at_most('gradient, worst array, relative', on, found.gradient, 1e-3),
    for_scale(
      'gradient of theirs in float32 and in float64',
      on,
      f'{found.gradient_rounding:.1e}',
    ),
    at_most(
      'gradient where it is 0 in truth, over the largest',
      on,
      found.zero_gradient,
      1e-6,
    ),
    at_most('BatchNorm statistics, relative', on, found.statistics, 1e-3),
    at_most(
      'parameters, worst array, relative', steps_on, found.parameters, 1e-3
    ),
    for_scale(
      'torch against itself, weights 1e-7 larger at the start',
      steps_on,
      f'{noise[0]:.1e}',
    ),
    for_scale(
      'losses of all steps, ours and torch against itself',
      steps_on,
      f'{found.losses:.1e}, {noise[1]:.1e}',
    ),
  ]
