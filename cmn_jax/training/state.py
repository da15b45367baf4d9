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
  statistics of what is not trained, such as a teacher.
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
      'params': _joined(self.frozen['params'], params),
      'batch_stats': _joined(self.frozen['batch_stats'], self.batch_stats),
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
    frozen: paths of what is not trained, such as 'teacher' or 'a/b'.
  """
  own, left = ({}, {})
  for kind in KINDS:
    own[kind], left[kind] = _parted(variables.get(kind, {}), frozen)
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=own['params'],
    batch_stats=own['batch_stats'],
    opt_state=optimizer.init(own['params']),
    frozen=left,
  )


def picked(tree: dict, like: dict) -> dict:
  """The part of a tree of dicts that another one names."""
  if not isinstance(like, dict):
    return tree
  return {name: picked(tree[name], like[name]) for name in like}


def _parted(tree: dict, frozen: Sequence[str], root: str = '') -> tuple:
  """A tree of dicts without some paths, and these paths alone."""
  own, left = {}, {}
  for name, value in tree.items():
    path = f'{root}{name}'
    if path in frozen:
      left[name] = value
    elif any(other.startswith(f'{path}/') for other in frozen):
      mine, rest = _parted(value, frozen, f'{path}/')
      own |= {name: mine} if mine else {}
      left |= {name: rest} if rest else {}
    else:
      own[name] = value
  return own, left


def _joined(one: dict, other: dict) -> dict:
  """Two trees of dicts as one; they share no path to its end."""
  both = one.keys() & other.keys()
  return {**one, **other, **{k: _joined(one[k], other[k]) for k in both}}


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


def flatten(variables) -> dict:
  """Variables by path, 'params/patch_embed/kernel'."""
  return flax.traverse_util.flatten_dict(variables, sep='/')


def shapes_of(variables) -> dict[str, tuple[int, ...]]:
  """Shapes of arrays, abstract ones too, by path."""
  return {path: tuple(x.shape) for path, x in flatten(variables).items()}
