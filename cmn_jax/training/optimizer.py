"""The optimizer: Adam as torch computes it, two learning rates."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from input_pipeline.errors import check_choice, check_least, check_rate

VISUAL = 'visual_encoder'
SCHEDULES = ('step', 'cosine')
_NOT_NEGATIVE = (
  *('visual_rate', 'rate', 'gamma', 'warmup_steps'),
  *('epsilon', 'weight_decay', 'clip_norm'),
)


class TorchAdamState(NamedTuple):
  """Steps taken, moments, and the largest second moment (AMSGrad only)."""

  count: jax.Array
  mean: optax.Params
  square: optax.Params
  largest: optax.Params | None


def scale_by_torch_adam(
  b1: float, b2: float, epsilon: float, amsgrad: bool
) -> optax.GradientTransformation:
  """torch.optim.Adam's direction, with or without AMSGrad.

  torch keeps the maximum of the raw second moment and corrects its bias
  afterwards; optax's AMSGrad takes the maximum of the corrected one. Both
  add epsilon to the corrected root.
  """

  def init(params):
    def zeros():
      return jax.tree.map(jnp.zeros_like, params)

    largest = zeros() if amsgrad else None
    return TorchAdamState(jnp.zeros((), jnp.int32), zeros(), zeros(), largest)

  def update(grads, state, params=None):
    del params
    count = state.count + 1
    mean = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mean, grads)
    square = jax.tree.map(
      lambda v, g: b2 * v + (1 - b2) * g * g, state.square, grads
    )
    largest = None
    if amsgrad:
      largest = jax.tree.map(jnp.maximum, state.largest, square)
    correct1 = 1 - b1**count
    root2 = jnp.sqrt(1 - b2**count)
    updates = jax.tree.map(
      lambda m, v: (m / correct1) / (jnp.sqrt(v) / root2 + epsilon),
      mean,
      largest if amsgrad else square,
    )
    return updates, TorchAdamState(count, mean, square, largest)

  return optax.GradientTransformation(init, update)


@dataclasses.dataclass(frozen=True)
class OptimConfig:
  """The `optim` section of a config; configs/fields/ explains each."""

  visual_rate: float
  rate: float
  schedule: str
  step_epochs: int
  gamma: float
  warmup_steps: int
  b1: float
  b2: float
  epsilon: float
  weight_decay: float
  decoupled: bool
  amsgrad: bool
  clip_norm: float

  def __post_init__(self):
    check_choice('optim.schedule', self.schedule, SCHEDULES)
    check_least('optim.step_epochs', self.step_epochs, 1)
    for field in _NOT_NEGATIVE:
      check_least(f'optim.{field}', getattr(self, field), 0)
    for field in ('b1', 'b2'):
      check_rate(f'optim.{field}', getattr(self, field))

  def schedules(
    self, steps_per_epoch: int, epochs: int
  ) -> tuple[optax.Schedule, optax.Schedule]:
    """Learning rates by step: of the visual encoder, and of the rest.

    'step' multiplies by gamma every step_epochs epochs (torch's StepLR, called
    once an epoch); 'cosine' falls to zero at the last step. Both rise linearly
    over the first warmup_steps.
    """
    total = max(steps_per_epoch * epochs, 1)

    def factor(step):
      if self.schedule == 'step':
        part = self.gamma ** (step // (steps_per_epoch * self.step_epochs))
      else:
        part = 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(step / total, 1.0)))
      return part, jnp.minimum((step + 1) / max(self.warmup_steps, 1), 1.0)

    def scheduled(rate):
      def schedule(step):
        part, warm = factor(step)
        return rate * part * warm

      return schedule

    return scheduled(self.visual_rate), scheduled(self.rate)


def make_optimizer(
  config: OptimConfig, steps_per_epoch: int, epochs: int
) -> optax.GradientTransformation:
  """One rate for the visual encoder, one for the rest.

  Weight decay is coupled, as in R2GenCMN: added to the gradient before Adam;
  or decoupled, as in torch's AdamW: added to the step, times the rate.
  clip_norm bounds the gradient's global norm; 0 leaves it alone.
  """
  visual, rest = config.schedules(steps_per_epoch, epochs)

  def labels(params):
    return jax.tree_util.tree_map_with_path(
      lambda path, _: 'visual' if VISUAL in _names(path) else 'rest', params
    )

  c = config
  clip = [optax.clip_by_global_norm(c.clip_norm)] if c.clip_norm else []
  decay = optax.add_decayed_weights(c.weight_decay)
  adam = scale_by_torch_adam(c.b1, c.b2, c.epsilon, c.amsgrad)
  return optax.chain(
    *clip,
    *((adam, decay) if c.decoupled else (decay, adam)),
    optax.multi_transform(
      {
        'visual': optax.scale_by_learning_rate(visual),
        'rest': optax.scale_by_learning_rate(rest),
      },
      labels,
    ),
  )


def _names(path) -> list[str]:
  return [entry.key for entry in path]
