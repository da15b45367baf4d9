"""Gradients of a step's studies, added part after part."""

import jax
import numpy as np
import optax
import pytest

from benchmarks.compiled_program import Program
from cmn_jax.losses.report import ReportObjective
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.train import train
from cmn_jax.training import run
from cmn_jax.training.parallel import AXIS, Parallel
from cmn_jax.training.program import Program as StepProgram
from cmn_jax.training.state import init_state
from cmn_jax.training.step import make_train_step
from input_pipeline.errors import UserError
from tests.made import small

OPTIMIZER = optax.sgd(1.0)


def _step(axis=None, accumulate=1, **changes):
  objective = ReportObjective(ReportGenerator(small.tiny(**changes), axis))
  return make_train_step(objective, OPTIMIZER, 0, axis, accumulate)


def _start(**changes):
  model = ReportGenerator(small.tiny(**changes))
  return init_state(small.variables(model, noise=0.05), OPTIMIZER)


def _parts(batch, parts):
  return [
    {name: np.split(x, parts)[part] for name, x in batch.items()}
    for part in range(parts)
  ]


def _apart(one, other):
  return jax.tree.map(np.subtract, jax.device_get(one), jax.device_get(other))


def test_the_step_is_that_of_its_parts_by_their_words():
  """Each part's norms see the part; their running means see one by one."""
  batch = small.batch(4)
  batch['mask_B'][3] = False
  start = _start()
  step = jax.jit(_step())
  steps, counts, now = [], [], start
  for part in _parts(batch, 2):
    after, metrics = step(now, part)
    steps.append(_apart(after.params, start.params))
    counts.append(float(metrics['loss'][1]))
    now = start.replace(batch_stats=after.batch_stats)
  got, metrics = jax.jit(_step(accumulate=2))(start, batch)
  assert counts[0] != counts[1]
  assert float(metrics['loss'][1]) == sum(counts)
  jax.tree.map(
    lambda got, *parts: np.testing.assert_allclose(
      got, np.average(parts, axis=0, weights=counts), rtol=1e-3, atol=1e-6
    ),
    _apart(got.params, start.params),
    *steps,
  )
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7),
    got.batch_stats,
    now.batch_stats,
  )


def test_parts_have_other_dropout():
  one = small.batch(1)
  batch = {name: np.concatenate([x, x]) for name, x in one.items()}
  rates = {'dropout': 0.5, 'patch_dropout': 0.5}
  step = jax.jit(_step(accumulate=2, **rates))

  def loss(kept):
    masked = {**batch, 'mask_B': np.arange(2) == kept}
    return float(step(_start(**rates), masked)[1]['loss'][0])

  assert abs(loss(0) - loss(1)) > 1e-4


def test_devices_exchange_gradients_once_a_step():
  """Each part its batch statistics, and the pass that counts nothing."""
  parallel = Parallel('shard_map')
  state = parallel.replicate(_start())
  batch = parallel.split(small.batch(8))

  def sent(accumulate):
    step = parallel.map_step(_step(AXIS, accumulate))
    program = Program(step.lower(state, batch).compile().as_text())
    found = [0, 0]
    for one in program.collectives():
      found['/while/' in one.source] += one.bytes
    return found

  whole, none = sent(1)
  once, of_parts = sent(2)
  gradients = sum(x.nbytes for x in jax.tree.leaves(state.params))
  assert none == 0 < of_parts
  assert gradients <= once < gradients + 100
  # A loop's exchanges stand in the program once.
  assert abs(once + of_parts - whole) < 100 < of_parts


class _AskedFor(Exception):
  pass


def test_a_config_says_in_how_many_parts(runs, tmp_path, monkeypatch):
  def asked_for(*arguments):
    raise _AskedFor(arguments[-1])

  monkeypatch.setattr(run, 'make_train_step', asked_for)
  with pytest.raises(_AskedFor, match='2'):
    train(runs.config(**{'train.accumulate': 2}), tmp_path)
  with pytest.raises(UserError, match='divisible by train'):
    train(runs.config(**{'train.accumulate': 3}), tmp_path)


def test_operations_are_those_of_all_parts():
  """XLA counts a loop's once."""
  parallel = Parallel('shard_map', jax.devices()[:1])
  state = parallel.replicate(_start())
  batch = parallel.split(small.batch(4))
  flops = [
    StepProgram(
      parallel.map_step(_step(AXIS, parts)),
      state,
      batch,
      parallel.devices[0],
      parts,
    ).flops
    for parts in (1, 2)
  ]
  assert flops[1] == pytest.approx(flops[0], rel=0.2)


@pytest.mark.parametrize(
  'accumulate, says',
  [
    (0, 'train.accumulate is 0; it must be 1 or more'),
    (3, "a device's share of train.batch_size 8, 4 studies, is not divisible"),
  ],
)
def test_parts_that_cannot_be_are_refused(accumulate, says):
  with pytest.raises(UserError, match=says):
    Parallel('pmap').check_batch_size(8, 'train.batch_size', accumulate)
