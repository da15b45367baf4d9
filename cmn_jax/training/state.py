"""Training state and the training step of one device."""

from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax

from cmn_jax.losses.contrastive import Contrast, contrastive_loss
from cmn_jax.losses.words import findings_loss, language_model_loss
from cmn_jax.models.films import normalise_films
from cmn_jax.models.report_generator import ReportGenerator

# What a step reads of a batch, beside the targets of a findings head.
STEP_ARRAYS = ('images_BxIxHxW', 'ids_BxT', 'mask_B', 'mask_BxI')


@flax.struct.dataclass
class TrainState:
  """All that a training step changes. Keys derive from the seed and `step`."""

  step: jax.Array
  params: Any
  batch_stats: Any
  opt_state: optax.OptState

  @property
  def variables(self):
    """What the model's `apply` takes."""
    return {'params': self.params, 'batch_stats': self.batch_stats}


def init_variables(model: ReportGenerator, seed: int, views: int, size: int):
  """Parameters and batch statistics, random, the same on every machine."""
  # It runs once: a program quickly compiled beats a quick program.
  init = jax.jit(
    _initialiser(model, views, size),
    compiler_options={'xla_backend_optimization_level': 0},
  )
  return init(jax.random.key(seed))


def variable_shapes(model: ReportGenerator, views: int, size: int):
  """What `init_variables` gives, as shapes and types alone."""
  return jax.eval_shape(_initialiser(model, views, size), jax.random.key(0))


def _initialiser(model: ReportGenerator, views: int, size: int) -> Callable:
  """key -> variables, of a model for `views` films of `size` pixels."""
  images = jnp.zeros((1, views, size, size, 3))
  ids = jnp.zeros((1, model.shape.max_length), jnp.int32)
  local = model.clone(axis_name=None)

  def init(key):
    variables = local.init(
      key, images, ids, jnp.ones(1, bool), train=False, method='outputs'
    )
    # A ViT has no batch statistics.
    return {'batch_stats': {}, **variables}

  return init


def init_state(variables, optimizer: optax.GradientTransformation):
  """The state before the first step."""
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=variables['params'],
    batch_stats=variables['batch_stats'],
    opt_state=optimizer.init(variables['params']),
  )


def make_train_step(
  model: ReportGenerator,
  optimizer: optax.GradientTransformation,
  seed: int,
  findings_weight: float = 0.0,
  contrast: Contrast | None = None,
) -> Callable:
  """A pure step of one device: (state, batch) -> (state, metrics).

  The gradient is that of this device's sums over the global counts, summed
  over devices: exact whatever the devices' shares of tokens. Dropout differs
  by step and device. A findings head's loss joins the report's at
  findings_weight, an alignment's as `contrast` says. The metrics are {name:
  (sum, count)} over all devices, 'loss' the report's.
  """
  axis = model.axis_name

  def step(state: TrainState, batch):
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    if axis is not None:
      key = jax.random.fold_in(key, jax.lax.axis_index(axis))

    def total(x):
      return x if axis is None else jax.lax.psum(x, axis)

    def loss(params):
      outputs, updated = model.apply(
        {'params': params, 'batch_stats': state.batch_stats},
        normalise_films(batch['images_BxIxHxW']),
        batch['ids_BxT'],
        batch['mask_B'],
        True,
        batch['mask_BxI'],
        rngs={'dropout': key},
        mutable=['batch_stats'],
        method='outputs',
      )
      weights = findings_weight, contrast and contrast.weight_at(state.step)
      terms = _terms(outputs, batch, weights, contrast, axis)
      metrics = {
        name: (loss_sum, total(count))
        for name, (_, loss_sum, count) in terms.items()
      }
      objective = sum(
        weight * metrics[name][0] / jnp.maximum(metrics[name][1], 1.0)
        for name, (weight, _, _) in terms.items()
      )
      return objective, (metrics, updated.get('batch_stats', {}))

    grads, (metrics, batch_stats) = jax.grad(loss, has_aux=True)(state.params)
    sums = {name: pair[0] for name, pair in metrics.items()}
    grads, sums = total((grads, sums))
    metrics = {name: (sums[name], metrics[name][1]) for name in metrics}
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    state = state.replace(
      step=state.step + 1,
      params=optax.apply_updates(state.params, updates),
      batch_stats=batch_stats,
      opt_state=opt_state,
    )
    return state, metrics

  return step


def _terms(outputs, batch, weights, contrast, axis) -> dict:
  """Terms of the objective, {name: (weight, this device's sum, its count)}."""
  ids_BxT, mask_B = batch['ids_BxT'], batch['mask_B']
  findings_weight, alignment_weight = weights
  pair = language_model_loss(outputs['log_probs'], ids_BxT, mask_B)
  terms = {'loss': (1.0, *pair)}
  if 'findings' in outputs:
    pair = findings_loss(outputs['findings'], batch['findings_BxL'], mask_B)
    terms['findings_loss'] = (findings_weight, *pair)
  if 'alignment' in outputs:
    pairs = contrastive_loss(
      contrast, outputs['alignment'], ids_BxT, mask_B, axis
    )
    terms |= {name: (alignment_weight, *pair) for name, pair in pairs.items()}
  return terms


def make_loss_step(model: ReportGenerator) -> Callable:
  """(variables, batch) -> (sums and counts) of the loss, no dropout."""
  axis = model.axis_name

  def step(variables, batch):
    log_probs = model.apply(
      variables,
      normalise_films(batch['images_BxIxHxW']),
      batch['ids_BxT'],
      batch['mask_B'],
      False,
      batch['mask_BxI'],
    )
    pair = language_model_loss(log_probs, batch['ids_BxT'], batch['mask_B'])
    return {'loss': pair if axis is None else jax.lax.psum(pair, axis)}

  return step
