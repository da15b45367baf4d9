"""The training step of a classifier, of one device."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from cmn_jax.losses.classification import (
  MULTI_LABEL,
  SINGLE_LABEL,
  Objective,
  check_task,
  classification_losses,
)
from cmn_jax.models.classifier import FEATURES, Classifier
from cmn_jax.models.films import normalise_films
from cmn_jax.training.state import TrainState


def logits_of(model: Classifier, variables, batch, train: bool, key=None):
  """Logits of a batch, and what the batch statistics become in training.

  Args:
    model: the classifier.
    variables: {'params': {'head', and 'report' unless frozen}, 'batch_stats'}.
    batch: films and reports, or the features of a frozen report model.
    train: dropout and batch statistics on.
    key: of the dropout, where `train`.
  """
  rngs = {'dropout': key} if train else None
  features = {name: batch[name] for name in FEATURES if name in batch}
  if features:
    logits = model.apply(
      variables, features, train, rngs=rngs, method='classify'
    )
    return logits, variables['batch_stats']
  inputs = (
    normalise_films(batch['images_BxIxHxW']),
    batch['ids_BxT'],
    batch['mask_B'],
    train,
    batch['mask_BxI'],
  )
  if not train:
    return model.apply(variables, *inputs), variables['batch_stats']
  logits, updated = model.apply(
    variables, *inputs, rngs=rngs, mutable=['batch_stats']
  )
  return logits, updated.get('batch_stats', {})


def make_probabilities(model: Classifier, task: str) -> Callable:
  """(variables, batch) -> probability of each class, (B, C)."""
  check_task(task)
  squash = {MULTI_LABEL: jax.nn.sigmoid, SINGLE_LABEL: jax.nn.softmax}[task]

  def probabilities(variables, batch):
    return squash(logits_of(model, variables, batch, False)[0])

  return probabilities


def make_classifier_step(
  model: Classifier,
  objective: Objective,
  optimizer: optax.GradientTransformation,
  seed: int,
  axis: str | None,
) -> Callable:
  """A pure step of one device: (state, batch) -> (state, metrics).

  The gradient is that of this device's sum over the global count, summed over
  devices. The metrics are {name: (sum, count)} over all devices.
  """

  def step(state: TrainState, batch):
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    if axis is not None:
      key = jax.random.fold_in(key, jax.lax.axis_index(axis))

    def total(x):
      return x if axis is None else jax.lax.psum(x, axis)

    def loss(params):
      logits, batch_stats = logits_of(
        model, {**state.variables, 'params': params}, batch, True, key
      )
      metrics = classification_losses(
        objective,
        logits,
        batch['labels_BxC'],
        batch['known_BxC'] & batch['mask_B'][:, None],
      )
      count = jnp.maximum(total(metrics['loss'][1]), 1.0)
      return metrics['loss'][0] / count, (metrics, batch_stats)

    grads, (metrics, batch_stats) = jax.grad(loss, has_aux=True)(state.params)
    grads, metrics = total((grads, metrics))
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    state = state.replace(
      step=state.step + 1,
      params=optax.apply_updates(state.params, updates),
      batch_stats=batch_stats,
      opt_state=opt_state,
    )
    return state, metrics

  return step
