"""Our model against numbers that the authors' code gave (tests/parity)."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cmn_jax.decoding.generate import Decoding, make_writer
from cmn_jax.interop.names import to_state_dict
from cmn_jax.interop.r2gencmn import from_r2gencmn, r2gencmn_rows
from cmn_jax.losses.report import ReportObjective
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.training.optimizer import OptimConfig, make_optimizer
from cmn_jax.training.state import init_state
from cmn_jax.training.step import make_train_step
from configs import iu_xray
from tests.parity import draw, golden

_GOLDEN = json.loads(golden.PATH.read_text())


@pytest.fixture(scope='module')
def drawn():
  """The model and the weights that the authors' code was given."""
  model = ReportGenerator(golden.SHAPE)
  table = r2gencmn_rows(golden.SHAPE)
  tensors = draw.draw_state_dict(
    golden.SHAPE, table, golden.SEED, golden.END_BIAS
  )
  return model, from_r2gencmn(model, tensors, 'the drawn weights')


@pytest.mark.parametrize('views', [1, 2])
def test_log_probs(drawn, views):
  model, variables = drawn
  images, ids_BxT = golden.inputs(views)
  mask_B = np.ones(len(images), bool)
  apply = jax.jit(functools.partial(model.apply, method='log_probs'))
  log_probs = apply(variables, images, ids_BxT, mask_B)
  expected = np.array(_GOLDEN[f'views_{views}']['log_probs'])
  assert np.max(np.abs(np.asarray(log_probs)[golden.KEPT] - expected)) < 1e-4
  assert expected.std() > 1  # A flat distribution would prove nothing.


@pytest.mark.parametrize(('method', 'beams'), [('beam', 3), ('greedy', 1)])
def test_ids(drawn, method, beams):
  model, variables = drawn
  images, _ = golden.inputs(2)
  write = jax.jit(make_writer(model, Decoding(method, beams, 1.0, 1.0, 0)))
  ids, _ = write(variables, images, np.ones(len(images), bool))
  np.testing.assert_array_equal(ids, _GOLDEN['views_2'][method])


def test_golden_reports_end_early_and_at_the_limit():
  lengths = (np.array(_GOLDEN['views_2']['beam']) > 0).sum(1)
  assert lengths.min() < golden.SHAPE.max_length == lengths.max()


def test_training(drawn):
  model, variables = drawn
  optimizer = optax.chain(
    _keep_gradient(),
    make_optimizer(
      OptimConfig(**iu_xray.get_config('cmn').optim),
      steps_per_epoch=golden.STEPS,
      epochs=1,
    ),
  )
  state = init_state(variables, optimizer)
  step = jax.jit(make_train_step(ReportObjective(model), optimizer, 0, None))
  batch = golden.training_batch()
  expected = _GOLDEN['training']
  for number in range(golden.STEPS):
    state, metrics = step(state, batch)
    if number == 0:
      loss_sum, count = metrics['loss']
      loss = float(loss_sum / count)
      gradient_norms = _norms(state.opt_state[0])
  assert loss == pytest.approx(expected['loss'], rel=1e-5)
  # Where the gradient is 0 in truth both hold rounding.
  rounding = 1e-6 * max(expected['gradient_norms'])
  np.testing.assert_allclose(
    gradient_norms, expected['gradient_norms'], rtol=1e-3, atol=rounding
  )
  np.testing.assert_allclose(
    _norms(state.params), expected['parameter_norms'], rtol=1e-4
  )


def _keep_gradient() -> optax.GradientTransformation:
  """Passes the gradient on, and keeps it as its state."""
  return optax.GradientTransformation(
    lambda params: jax.tree.map(jnp.zeros_like, params),
    lambda grads, state, params=None: (grads, grads),
  )


def _norms(params) -> list[float]:
  """Norms in the order of the authors' names, each array once."""
  table = [
    row for row in r2gencmn_rows(golden.SHAPE) if row.ours.startswith('params')
  ]
  arrays = to_state_dict(table, {'params': params})
  names = sorted(row.theirs for row in table)
  return [float(np.linalg.norm(arrays[name])) for name in names]
