"""Adam as torch documents it, written out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cmn_jax.training.optimizer import VISUAL, OptimConfig, make_optimizer
from configs import iu_xray
from input_pipeline.errors import UserError

ADAM = {'b1': 0.9, 'b2': 0.98, 'epsilon': 1e-9, 'weight_decay': 5e-2}


def _config(**changes):
  return OptimConfig(**{**iu_xray.get_config('cmn').optim, **changes})


def _torch_adam(
  params, grads, rates, amsgrad, decoupled, b1, b2, epsilon, weight_decay
):
  """The update rule of torch.optim.Adam's documentation, or of AdamW's."""
  m, v, largest = (np.zeros_like(params) for _ in range(3))
  for t, (g, rate) in enumerate(zip(grads, rates, strict=True), 1):
    if decoupled:
      params = params - rate * weight_decay * params
    else:
      g = g + weight_decay * params
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g**2
    largest = np.maximum(largest, v)
    root = np.sqrt(largest if amsgrad else v) / np.sqrt(1 - b2**t)
    params = params - rate * (m / (1 - b1**t)) / (root + epsilon)
  return params


@pytest.mark.parametrize(
  'amsgrad, decoupled', [(True, False), (False, False), (False, True)]
)
def test_equals_torch_adam_over_an_epochs_edge(amsgrad, decoupled):
  rng = np.random.default_rng(0)
  start = rng.normal(size=12).astype(np.float32)
  # Shrinking gradients are what AMSGrad's maximum is about.
  grads = (
    rng.normal(size=(20, 12)).astype(np.float32)
    * np.linspace(3, 0.1, 20, dtype=np.float32)[:, None]
  )
  config = _config(
    visual_rate=1e-2,
    rate=5e-2,
    step_epochs=2,
    amsgrad=amsgrad,
    decoupled=decoupled,
    **ADAM,
  )
  optimizer = make_optimizer(config, steps_per_epoch=4, epochs=9)
  params = {VISUAL: jnp.array(start), 'rest': {'w': jnp.array(start)}}
  state = optimizer.init(params)
  update = jax.jit(optimizer.update)
  for g in grads:
    updates, state = update({VISUAL: g, 'rest': {'w': g}}, state, params)
    params = optax.apply_updates(params, updates)
  for got, rate in ((params[VISUAL], 1e-2), (params['rest']['w'], 5e-2)):
    rates = rate * 0.8 ** (np.arange(20) // 8)
    want = _torch_adam(start, grads, rates, amsgrad, decoupled, **ADAM)
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


def test_cosine_rises_then_falls_to_zero():
  config = _config(rate=1.0, schedule='cosine', warmup_steps=5)
  _, schedule = config.schedules(steps_per_epoch=10, epochs=10)
  assert float(schedule(0)) == pytest.approx(0.2)
  assert float(schedule(50)) == pytest.approx(0.5)
  assert float(schedule(100)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
  'changes, says',
  [
    ({'schedule': 'linear'}, r"optim.schedule is 'linear'.*step, cosine"),
    ({'step_epochs': 0}, r'optim.step_epochs is 0.*1 or more'),
    # Meant as none, it would turn the gradient round.
    ({'clip_norm': -1.0}, r'optim.clip_norm is -1.*0 or more'),
    ({'b1': 1.0}, r'optim.b1 is 1.*less than 1'),
  ],
)
def test_wrong_fields_are_named(changes, says):
  with pytest.raises(UserError, match=says):
    _config(**changes)
