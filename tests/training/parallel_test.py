"""1, 2 and 8 devices, pmap and shard_map: one and the same training."""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from cmn_jax.losses.report import ReportObjective
from cmn_jax.models.alignment import FORMS
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.training.parallel import AXIS, KINDS, Parallel
from cmn_jax.training.state import init_state, init_variables, study_batch
from cmn_jax.training.step import make_train_step
from tests.made import small
from tests.made.parallel_program import DEVICES, make_model


@pytest.fixture(scope='module')
def results(tmp_path_factory):
  out = tmp_path_factory.mktemp('parallel') / 'results.npz'
  subprocess.run(
    [sys.executable, '-m', 'tests.made.parallel_program', str(out)],
    check=True,
    cwd=Path(__file__).parents[2],
  )
  with np.load(out) as arrays:
    return dict(arrays)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('devices', DEVICES)
def test_same_loss_parameters_statistics_and_reports(results, kind, devices):
  for key, got in results.items():
    if key.startswith(f'{kind}/{devices}/'):
      want = results['shard_map/1/' + key.split('/', 2)[2]]
      np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-5, err_msg=key)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('devices', DEVICES)
def test_contrastive_gradient_is_that_of_one_device(
  results, kind, devices, form
):
  assert np.abs(results[f'pmap/1/{form}_gradient']).max() > 0.01
  for key in (form, f'{form}_gradient'):
    np.testing.assert_allclose(
      results[f'{kind}/{devices}/{key}'],
      results[f'pmap/1/{key}'],
      rtol=1e-5,
      atol=1e-6,
    )


def test_the_steps_changed_every_parameter(results):
  before = small.variables(make_model(), noise=0.05)
  logits = results['pmap/2/params/logits/kernel']
  stem = results['pmap/2/params/visual_encoder/conv1/kernel']
  assert np.abs(logits - before['params']['logits']['kernel']).max() > 1e-4
  encoder = before['params']['visual_encoder']
  assert np.abs(stem - encoder['conv1']['kernel']).max() > 1e-5
  kernel = results['pmap/2/params/alignment/kernel']
  assert results['pmap/2/params/alignment/log_temperature'] != np.log(0.1)
  assert np.ptp(kernel) > 0


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('devices', DEVICES[1:])
def test_devices_exchange_gradients_statistics_and_features(
  results, kind, devices
):
  """Each of them once, and nothing more."""
  prefix = f'exchanged/{kind}/{devices}/'
  exchanged = {
    key.removeprefix(prefix): pair
    for key, pair in results.items()
    if key.startswith(prefix)
  }
  # Films, reports, their ids and mask; the gradients of the first two.
  assert exchanged['all-gather'][0] == 4
  assert exchanged['reduce-scatter'][0] == 2
  assert exchanged.keys() == {'all-gather', 'reduce-scatter', 'all-reduce'}
  sizes = {
    key: x.nbytes for key, x in results.items() if key.startswith('pmap/1/')
  }
  gradients = sum(n for key, n in sizes.items() if '/params/' in key)
  means = [n for key, n in sizes.items() if key.endswith('/mean')]
  # Sums and squares of each view, and the gradients of both.
  statistics = 4 * small.VIEWS * sum(means)
  count, size = exchanged['all-reduce']
  counts = size - gradients - statistics
  assert 0 < counts <= 8 * len(means) + 64
  # Those of a norm travel together, forwards and backwards; the gradients in
  # what the CPU's compiler makes of one exchange.
  assert count <= 2 * len(means) + 4


def test_dropout_differs_by_device_and_by_step():
  # Both devices hold the same study: only their noise can tell them apart.
  model = ReportGenerator(small.tiny(dropout=0.5, patch_dropout=0.5), AXIS)
  optimizer = optax.sgd(0.0)
  parallel = Parallel('shard_map')
  step = parallel.map_step(
    make_train_step(ReportObjective(model), optimizer, 0, AXIS)
  )
  state = parallel.replicate(init_state(small.variables(model), optimizer))
  one = small.batch(1)
  twice = {k: np.concatenate([v, v]) for k, v in one.items()}

  def loss(batch, state):
    total, count = step(state, parallel.split(batch))[1]['loss']
    return float(total) / float(count)

  first = {k: v.copy() for k, v in twice.items()}
  first['mask_B'][1] = False
  second = {k: v.copy() for k, v in twice.items()}
  second['mask_B'][0] = False
  assert abs(loss(first, state) - loss(second, state)) > 1e-4
  later = state.replace(step=state.step + 1)
  assert abs(loss(first, state) - loss(first, later)) > 1e-4
  assert loss(first, state) == loss(first, state)


def _started(model):
  """What training starts from, with noise: biases and memory matter."""
  batch = study_batch(1, small.SIZE, model.config.max_length)
  start, rng = init_variables(model, 0, batch), np.random.default_rng(0)
  params = jax.tree.map(
    lambda x: x + 0.05 * rng.normal(size=x.shape).astype(np.float32),
    start['params'],
  )
  return {**start, 'params': params}


def _losses(**changes):
  """Of three steps."""
  model = ReportGenerator(small.shape(**changes))
  optimizer = optax.sgd(0.1)
  state = init_state(_started(model), optimizer)
  step = jax.jit(make_train_step(ReportObjective(model), optimizer, 0, None))
  losses = []
  for seed in range(3):
    state, metrics = step(state, small.batch(4, seed))
    total, count = metrics['loss']
    losses.append(float(total) / float(count))
  return losses


GOLDEN_LOSSES = [3.9215, 3.46813, 3.33085]


def test_golden_training_step():
  """A step's loss and update, as first computed; a change must be meant."""
  losses = _losses()
  np.testing.assert_allclose(losses, GOLDEN_LOSSES, rtol=1e-4)


def test_bfloat16_follows_the_losses_of_float32():
  tiny = {'encoder': small.add_tiny_encoder(), 'layers': 1}
  whole, half = (_losses(**tiny, dtype=t) for t in ('float32', 'bfloat16'))
  assert np.max(np.abs(np.subtract(half, whole))) > 1e-4
  np.testing.assert_allclose(half, whole, rtol=1e-2)


def test_a_batch_that_devices_do_not_divide_is_refused():
  parallel = Parallel('pmap')
  with pytest.raises(ValueError, match='batch_size 3 is not divisible by 2'):
    parallel.check_batch_size(3, 'train.batch_size')


def test_an_unknown_kind_is_refused():
  with pytest.raises(ValueError, match=r'pjit.*pmap, shard_map'):
    Parallel('pjit')
