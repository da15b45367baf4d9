"""Our model against numbers that the authors' code gave (tests/parity)."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cmn_jax.generation import Decoding, make_writer
from cmn_jax.interop.names import to_state_dict
from cmn_jax.interop.r2gencmn import from_r2gencmn, r2gencmn_rows
from cmn_jax.models.report_generator import ReportGenerator, normalise_films
from cmn_jax.training.losses import language_model_loss
from cmn_jax.training.optimizer import make_optimizer
from cmn_jax.training.state import init_state, make_train_step
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
  apply = jax.jit(model.apply, static_argnums=4)
  log_probs = apply(variables, images, ids_BxT, mask_B, False)
  expected = np.array(_GOLDEN[f'views_{views}']['log_probs'])
  assert np.max(np.abs(np.asarray(log_probs)[golden.KEPT] - expected)) < 1e-4
  assert expected.std() > 1  # A flat distribution would prove nothing.


@pytest.mark.parametrize('views', [1, 2])
@pytest.mark.parametrize(('method', 'beams'), [('beam', 3), ('greedy', 1)])
def test_ids(drawn, views, method, beams):
  model, variables = drawn
  images, _ = golden.inputs(views)
  write = jax.jit(make_writer(model, Decoding(method, beams, 1.0, 1.0, 0)))
  ids, _ = write(variables, images, np.ones(len(images), bool))
  np.testing.assert_array_equal(ids, _GOLDEN[f'views_{views}'][method])


def test_reports_end_early_and_at_the_limit():
  ids = np.concatenate(
    [np.array(_GOLDEN[f'views_{n}']['beam']) for n in (1, 2)]
  )
  lengths = (ids > 0).sum(1)
  assert lengths.min() < golden.SHAPE.max_length == lengths.max()


def test_gradients(drawn):
  model, variables = drawn
  batch = jax.tree.map(jnp.asarray, golden.training_batch())

  @jax.jit
  @jax.value_and_grad
  def loss(params):
    log_probs, _ = model.apply(
      {**variables, 'params': params},
      normalise_films(batch['images_BxIxHxW']),
      batch['ids_BxT'],
      batch['mask_B'],
      True,
      mutable=['batch_stats'],
    )
    total, count = language_model_loss(
      log_probs, batch['ids_BxT'], batch['mask_B']
    )
    return total / count

  value, grads = loss(variables['params'])
  expected = _GOLDEN['training']
  assert float(value) == pytest.approx(expected['loss'], rel=1e-5)
  norms = _norms(grads)
  largest = max(expected['gradient_norms'])
  np.testing.assert_allclose(
    norms, expected['gradient_norms'], rtol=1e-3, atol=1e-6 * largest
  )


def test_parameters_after_steps(drawn):
  model, variables = drawn
  optimizer = make_optimizer(
    lambda step: 1e-4,
    lambda step: 5e-4,
    b1=0.9,
    b2=0.98,
    epsilon=1e-9,
    weight_decay=5e-5,
    amsgrad=True,
    clip_norm=0.0,
  )
  state = init_state(variables, optimizer)
  step = jax.jit(make_train_step(model, optimizer, seed=0))
  batch = golden.training_batch()
  for _ in range(golden.STEPS):
    state, _ = step(state, batch)
  expected = _GOLDEN['training']['parameter_norms']
  np.testing.assert_allclose(_norms(state.params), expected, rtol=1e-4)


def _norms(params) -> list[float]:
  """Norms in the order of the authors' names, each array once."""
  table = [
    row for row in r2gencmn_rows(golden.SHAPE) if row.ours.startswith('params')
  ]
  arrays = to_state_dict(table, {'params': params})
  names = sorted(row.theirs for row in table)
  return [float(np.linalg.norm(arrays[name])) for name in names]
