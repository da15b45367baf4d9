"""The training step of one device, of whatever task."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from cmn_jax.training.state import TrainState, picked
from cmn_jax.training.task import Task


def make_train_step(
  task: Task,
  optimizer: optax.GradientTransformation,
  seed: int,
  axis: str | None,
  accumulate: int = 1,
) -> Callable:
  """A pure step of one device: (state, batch) -> (state, metrics).

  The gradient is that of this device's sums over the global counts, summed
  over devices: exact whatever the devices' shares of tokens. Dropout differs
  by step and device.

  Args:
    task: its model and losses.
    optimizer: of the trained parameters.
    seed: of the dropout.
    axis: mapped axis of the devices, or None.
    accumulate: parts of a device's studies that go through the network one
      after the other, see `_Gradient.of_parts`.

  Returns:
    The step; its metrics are {name: (sum, count)} over all devices, the
    gradient's norm among them.
  """
  gradient = _Gradient(task, axis)

  def step(state: TrainState, batch):
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    if axis is not None:
      key = jax.random.fold_in(key, jax.lax.axis_index(axis))
    if accumulate == 1:
      grads, metrics, batch_stats = gradient.of(state, batch, key)
    else:
      grads, metrics, batch_stats = gradient.of_parts(
        state, batch, key, accumulate
      )
    sums = {name: pair[0] for name, pair in metrics.items()}
    grads, sums = gradient.total((grads, sums))
    metrics = {name: (sums[name], metrics[name][1]) for name in metrics}
    metrics['gradient_norm'] = optax.global_norm(grads), jnp.ones(())
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    state = state.replace(
      step=state.step + 1,
      params=optax.apply_updates(state.params, updates),
      batch_stats=batch_stats,
      opt_state=opt_state,
    )
    return state, metrics

  return step


@dataclasses.dataclass(frozen=True)
class _Gradient:
  """A task's gradient by one device's studies, over the counts of all."""

  task: Task
  axis: str | None

  def total(self, x):
    """Summed over devices."""
    return x if self.axis is None else jax.lax.psum(x, self.axis)

  def of(self, state: TrainState, batch: dict, key, counts: dict | None = None):
    """Returns the gradient, {name: (sum, count)} and new batch statistics.

    Args:
      state: at which it is taken.
      batch: of this device.
      key: of the dropout.
      counts: by name; None takes those of this batch, of all devices.
    """

    def loss(params):
      terms, batch_stats = self._forward(state, params, batch, key)
      metrics = {
        name: (loss_sum, counts[name] if counts else self.total(count))
        for name, (_, loss_sum, count) in terms.items()
      }
      objective = sum(
        weight * metrics[name][0] / jnp.maximum(metrics[name][1], 1.0)
        for name, (weight, _, _) in terms.items()
        if weight is not None
      )
      return objective, (metrics, batch_stats)

    grads, (metrics, batch_stats) = jax.grad(loss, has_aux=True)(state.params)
    return grads, metrics, picked(batch_stats, state.batch_stats)

  def of_parts(self, state: TrainState, batch: dict, key, parts: int):
    """As `of`, the studies in so many parts, one after the other.

    It takes the memory of a part. Batch norms, which keep the statistics of
    each part in turn, and contrastive losses see a part alone, with those of
    the other devices.
    """
    batch = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)
    keys = jax.random.split(key, parts)

    # Counts depend on no parameter, so the compiler removes all else of this.
    def count(_, part):
      terms, _ = self._forward(state, state.params, *part)
      return None, {name: term[2] for name, term in terms.items()}

    _, counts = jax.lax.scan(count, None, (batch, keys))
    counts = {name: self.total(jnp.sum(x)) for name, x in counts.items()}

    def add(carry, part):
      grads, batch_stats = carry
      now = state.replace(batch_stats=batch_stats)
      more, metrics, batch_stats = self.of(now, *part, counts)
      sums = {name: pair[0] for name, pair in metrics.items()}
      return (jax.tree.map(jnp.add, grads, more), batch_stats), sums

    start = jax.tree.map(jnp.zeros_like, state.params), state.batch_stats
    (grads, batch_stats), sums = jax.lax.scan(add, start, (batch, keys))
    metrics = {name: (jnp.sum(x), counts[name]) for name, x in sums.items()}
    return grads, metrics, batch_stats

  def _forward(self, state, params, batch, key):
    """{name: (weight, sum, count)} of this device, and batch statistics."""
    outputs, updated = self.task.model.apply(
      state.with_params(params),
      batch,
      True,
      rngs={'dropout': key},
      mutable=['batch_stats'],
    )
    terms = self.task.losses(outputs, batch, state.step)
    return terms, updated.get('batch_stats', {})


def make_loss_step(task: Task, axis: str | None) -> Callable:
  """(variables, batch) -> the 'loss' of all devices as (sum, count)."""

  def step(variables, batch):
    outputs = task.model.apply(variables, batch, False)
    pair = task.losses(outputs, batch, jnp.zeros((), jnp.int32))['loss'][1:]
    return {'loss': pair if axis is None else jax.lax.psum(pair, axis)}

  return step
