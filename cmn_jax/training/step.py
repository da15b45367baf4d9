"""The training step of one device, of whatever task."""

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

  Returns:
    The step; its metrics are {name: (sum, count)} over all devices, the
    gradient's norm among them.
  """

  def total(x):
    return x if axis is None else jax.lax.psum(x, axis)

  def step(state: TrainState, batch):
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    if axis is not None:
      key = jax.random.fold_in(key, jax.lax.axis_index(axis))

    def loss(params):
      outputs, updated = task.model.apply(
        state.with_params(params),
        batch,
        True,
        rngs={'dropout': key},
        mutable=['batch_stats'],
      )
      terms = task.losses(outputs, batch, state.step)
      metrics = {
        name: (loss_sum, total(count))
        for name, (_, loss_sum, count) in terms.items()
      }
      objective = sum(
        weight * metrics[name][0] / jnp.maximum(metrics[name][1], 1.0)
        for name, (weight, _, _) in terms.items()
        if weight is not None
      )
      return objective, (metrics, updated.get('batch_stats', {}))

    grads, (metrics, batch_stats) = jax.grad(loss, has_aux=True)(state.params)
    sums = {name: pair[0] for name, pair in metrics.items()}
    grads, sums = total((grads, sums))
    metrics = {name: (sums[name], metrics[name][1]) for name in metrics}
    metrics['gradient_norm'] = optax.global_norm(grads), jnp.ones(())
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    state = state.replace(
      step=state.step + 1,
      params=optax.apply_updates(state.params, updates),
      batch_stats=picked(batch_stats, state.batch_stats),
      opt_state=opt_state,
    )
    return state, metrics

  return step


def make_loss_step(task: Task, axis: str | None) -> Callable:
  """(variables, batch) -> the 'loss' of all devices as (sum, count)."""

  def step(variables, batch):
    outputs = task.model.apply(variables, batch, False)
    pair = task.losses(outputs, batch, jnp.zeros((), jnp.int32))['loss'][1:]
    return {'loss': pair if axis is None else jax.lax.psum(pair, axis)}

  return step
