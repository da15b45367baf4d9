"""The classifier's losses and their gradients against plain numpy."""

import jax
import numpy as np
import pytest

from cmn_jax.losses.classification import (
  balanced_shares,
  class_weights,
  classification_losses,
)
from cmn_jax.models.classifier import ClassifierConfig

WEIGHTS = (1.0, 3.0, 0.5)


def _objective(task='multi_label', **changes):
  fields = {
    'ce_weight': 0.7,
    'focal_weight': 1.3,
    'gamma': 2.0,
    'alpha': 0.25,
  }
  return ClassifierConfig(task=task, **{**fields, **changes})


def _probabilities(task, logits):
  """Of what is true: p for positives, 1 - p for negatives."""
  if task == 'single_label':
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
  return 1 / (1 + np.exp(-logits))


def _by_formula(objective, logits, labels, known):
  """Cross-entropy, focal loss and count, label by label."""
  p = _probabilities(objective.task, logits)
  single = objective.task == 'single_label'
  cross_entropy, focal, count = 0.0, 0.0, 0
  for b in range(len(logits)):
    if single and known[b].all():
      count += 1
    for c in range(logits.shape[1]):
      if not known[b, c] or (single and not labels[b, c]):
        continue
      count += not single
      true = p[b, c] if labels[b, c] else 1 - p[b, c]
      weight = WEIGHTS[c] if labels[b, c] else 1.0
      alpha = objective.alpha if labels[b, c] else 1 - objective.alpha
      cross_entropy -= weight * np.log(true)
      focal -= weight * alpha * (1 - true) ** objective.gamma * np.log(true)
  return cross_entropy, focal, count


def _inputs(task, seed=0):
  rng = np.random.default_rng(seed)
  logits = rng.normal(scale=2.0, size=(5, 3))
  known = np.ones((5, 3), bool)
  if task == 'single_label':
    labels = np.eye(3)[rng.integers(0, 3, 5)]
    known[4] = False
  else:
    labels = (rng.random((5, 3)) < 0.4).astype(float)
    known[2, 1] = known[4, 0] = False
  return logits, labels, known


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
@pytest.mark.parametrize('task', ['multi_label', 'single_label'])
def test_values_and_gradients_are_the_formula(task, gamma):
  objective = _objective(task, gamma=gamma)
  logits, labels, known = _inputs(task)

  def total(x):
    ce, focal, _ = _by_formula(objective, x, labels, known)
    return objective.ce_weight * ce + objective.focal_weight * focal

  got = classification_losses(objective, WEIGHTS, logits, labels, known)
  cross_entropy, focal, count = _by_formula(objective, logits, labels, known)
  for name, want in (
    ('cross_entropy', cross_entropy),
    ('focal', focal),
    ('loss', total(logits)),
  ):
    np.testing.assert_allclose(got[name], (want, count), rtol=1e-5)
  slope = np.zeros_like(logits)
  for index in np.ndindex(logits.shape):
    step = np.zeros_like(logits)
    step[index] = 1e-6
    slope[index] = (total(logits + step) - total(logits - step)) / 2e-6
  gradient = jax.grad(
    lambda x: classification_losses(objective, WEIGHTS, x, labels, known)[
      'loss'
    ][0]
  )(logits.astype(np.float32))
  np.testing.assert_allclose(gradient, slope, rtol=1e-3, atol=1e-4)


def test_without_focal_weight_it_is_the_cross_entropy():
  got = classification_losses(
    _objective(focal_weight=0.0, ce_weight=1.0),
    WEIGHTS,
    *_inputs('multi_label'),
  )
  assert float(got['loss'][0]) == float(got['cross_entropy'][0])


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
@pytest.mark.parametrize('task', ['multi_label', 'single_label'])
@pytest.mark.parametrize('size', [0.0, 30.0, 1e4])
def test_extreme_logits_give_finite_losses_and_gradients(task, gamma, size):
  objective = _objective(task, gamma=gamma)
  _, labels, known = _inputs(task)
  signs = np.where(np.arange(15).reshape(5, 3) % 2, 1.0, -1.0)
  for logits in (size * signs, size * (2 * labels - 1)):
    logits = logits.astype(np.float32)
    for rows in (slice(0, 1), slice(None)):  # a batch of one among them
      value, slope = jax.value_and_grad(
        lambda x, rows=rows: classification_losses(
          objective, WEIGHTS, x, labels[rows], known[rows]
        )['loss'][0]
      )(logits[rows])
      assert np.isfinite(value) and np.isfinite(slope).all()


@pytest.mark.parametrize('task', ['multi_label', 'single_label'])
def test_nothing_known_costs_nothing(task):
  logits, labels, known = _inputs(task)
  objective = _objective(task)
  for what in (labels, np.zeros_like(labels)):
    loss, slope = jax.value_and_grad(
      lambda x, what=what: classification_losses(
        objective, WEIGHTS, x, what, np.zeros_like(known)
      )['loss'][0]
    )(logits.astype(np.float32))
    assert float(loss) == 0 and not slope.any()


def test_weights_and_shares_lift_the_rare_classes():
  labels = np.zeros((12, 2), bool)
  labels[:9, 0], labels[9, 1] = True, True  # 9 common, 1 rare, 2 of nothing
  known = np.ones((12, 2), bool)
  assert class_weights(labels, known, 0.0) == (1.0, 1.0)
  assert class_weights(labels, known, 1.0) == (3 / 9, 11.0)
  assert class_weights(labels, known, 0.5)[1] == pytest.approx(11**0.5)
  shares = balanced_shares(labels, known)
  assert shares.sum() == pytest.approx(1)
  sums = shares[:9].sum(), shares[9], shares[10:].sum()
  np.testing.assert_allclose(sums, 1 / 3)
  known[0] = False  # of the common ones: never drawn
  assert balanced_shares(labels, known)[0] == 0
