"""Training state: what a step changes, and what it leaves as it is."""

from collections.abc import Sequence
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

KINDS = ('params', 'batch_stats')


@flax.struct.dataclass
class TrainState:
  """All that a training step reads and writes.

  Dropout keys derive from the seed and `step`. `frozen` holds params and batch
  statistics of top-level names that are not trained, such as a teacher's.
  """

  step: jax.Array
  params: Any
  batch_stats: Any
  opt_state: optax.OptState
  frozen: Any

  @property
  def variables(self) -> dict:
    """What the model's `apply` takes, the frozen ones included."""
    return self.with_params(self.params)

  def with_params(self, params) -> dict:
    """`variables` with other trained parameters."""
    return {
      'params': {**self.frozen['params'], **params},
      'batch_stats': {**self.frozen['batch_stats'], **self.batch_stats},
    }


def init_state(
  variables,
  optimizer: optax.GradientTransformation,
  frozen: Sequence[str] = (),
) -> TrainState:
  """The state before the first step.

  Args:
    variables: {'params', 'batch_stats'}.
    optimizer: of the trained parameters.
    frozen: top-level names of what is not trained.
  """
  own, left = ({}, {})
  for kind in KINDS:
    tree = variables.get(kind, {})
    own[kind] = {k: v for k, v in tree.items() if k not in frozen}
    left[kind] = {k: v for k, v in tree.items() if k in frozen}
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=own['params'],
    batch_stats=own['batch_stats'],
    opt_state=optimizer.init(own['params']),
    frozen=left,
  )


def init_variables(model: nn.Module, seed: int, batch: dict) -> dict:
  """Parameters and batch statistics, random, the same on every machine.

  Args:
    model: called as `model(batch, train=False)`.
    seed: of the parameters.
    batch: arrays of a single study, of which only shapes matter.
  """
  # It runs once: a program quickly compiled beats a quick program.
  init = jax.jit(
    _initialiser(model, batch),
    compiler_options={'xla_backend_optimization_level': 0},
  )
  return init(jax.random.key(seed))


def variable_shapes(model: nn.Module, batch: dict):
  """What `init_variables` gives, as shapes and types alone."""
  return jax.eval_shape(_initialiser(model, batch), jax.random.key(0))


def study_batch(views: int, size: int, length: int) -> dict:
  """A batch of one blank study.

  Args:
    views: images of a study.
    size: side of an image in pixels.
    length: tokens of a report.
  """
  return {
    'images_BxIxHxW': jnp.zeros((1, views, size, size), jnp.uint8),
    'ids_BxT': jnp.zeros((1, length), jnp.int32),
    'mask_B': jnp.ones(1, bool),
    'mask_BxI': jnp.ones((1, views), bool),
  }


def _initialiser(model, batch):
  """key -> variables."""

  def init(key):
    # A ViT has no batch statistics.
    return {'batch_stats': {}, **model.init(key, batch, train=False)}

  return init
