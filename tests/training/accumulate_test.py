"""Gradients of a step's studies, added part after part."""

import jax
import numpy as np
import optax
import pytest

from benchmarks.compiled_program import Program
from cmn_jax.losses.report import ReportObjective
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.training.parallel import AXIS, Parallel
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
  """And of the pass that counts, no batch statistics."""
  parallel = Parallel('shard_map')
  state = parallel.replicate(_start())
  batch = parallel.split(small.batch(8))
  sent = {}
  for accumulate in (1, 2):
    step = parallel.map_step(_step(AXIS, accumulate))
    program = Program(step.lower(state, batch).compile().as_text())
    sent[accumulate] = sum(one.bytes for one in program.collectives())
  # A loop's exchanges stand in the program once; more are a few counts.
  assert abs(sent[2] - sent[1]) < 64 < sent[1] / 100


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
