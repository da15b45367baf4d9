"""Losses of a classifier, each as a (sum, count) so that devices add up."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cmn_jax.models.classifier import (
  MULTI_LABEL,
  SINGLE_LABEL,
  ClassifierConfig,
)


def classification_losses(
  config: ClassifierConfig,
  weights_C: Sequence[float],
  logits_BxC: jax.Array,
  labels_BxC: jax.Array,
  known_BxC: jax.Array,
) -> dict:
  """The weighted sum of both losses as 'loss', and each one alone.

  With a softmax a row of `labels_BxC` holds a single 1. Focal loss: Lin et
  al. 2017, equation 5, -alpha (1 - p)^gamma log(p), p being the probability
  of what is true.

  Args:
    config: weights of the two losses, and exponents.
    weights_C: of each class's positives, in both losses.
    logits_BxC: any floats.
    labels_BxC: 1 where a study has a class, else 0.
    known_BxC: False where nobody knows, and in padding studies.

  Returns:
    {'loss', 'cross_entropy', 'focal'}: sums in nats over this device's known
    labels (studies, with a softmax), and their number.
  """
  form = {MULTI_LABEL: _sigmoid_terms, SINGLE_LABEL: _softmax_terms}
  log_p, log_rest, positive, known = form[config.task](
    logits_BxC.astype(jnp.float32), labels_BxC, known_BxC
  )
  weights = jnp.asarray(weights_C, jnp.float32)
  weight = known * (positive * weights + (1.0 - positive))
  if config.task == SINGLE_LABEL:
    balance = config.alpha * positive
    weight = weight * positive
  else:
    balance = jnp.where(positive > 0, config.alpha, 1.0 - config.alpha)
  # (1 - p)^gamma by way of its logarithm: no slope is infinite, at no gamma.
  easy = jnp.exp(config.gamma * log_rest)
  cross_entropy = -jnp.sum(weight * log_p)
  focal = -jnp.sum(weight * balance * easy * log_p)
  count = jnp.sum(known)
  total = config.ce_weight * cross_entropy + config.focal_weight * focal
  return {
    'loss': (total, count),
    'cross_entropy': (cross_entropy, count),
    'focal': (focal, count),
  }


def _sigmoid_terms(logits_BxC, labels_BxC, known_BxC):
  """log p and log(1 - p) of what is true, what is positive, what counts."""
  positive = labels_BxC.astype(jnp.float32)
  signed = jnp.where(positive > 0, logits_BxC, -logits_BxC)
  return (
    jax.nn.log_sigmoid(signed),
    jax.nn.log_sigmoid(-signed),
    positive,
    known_BxC.astype(jnp.float32),
  )


def _softmax_terms(logits_BxC, labels_BxC, known_BxC):
  """As above; a study counts once, in a column of its own."""
  positive = labels_BxC.astype(jnp.float32)
  total_Bx1 = jax.nn.logsumexp(logits_BxC, axis=1, keepdims=True)
  others_BxC = jnp.where(positive > 0, -1e30, logits_BxC)
  rest_Bx1 = jax.nn.logsumexp(others_BxC, axis=1, keepdims=True)
  known_Bx1 = jnp.all(known_BxC, axis=1, keepdims=True)
  known_Bx1 &= jnp.any(positive > 0, axis=1, keepdims=True)
  return (
    logits_BxC - total_Bx1,
    rest_Bx1 - total_Bx1,
    positive,
    known_Bx1.astype(jnp.float32),
  )


def class_weights(labels_NxC, known_NxC, exponent: float) -> tuple[float, ...]:
  """(negatives / positives)^exponent of each class; ones at exponent 0."""
  positives_C = (labels_NxC * known_NxC).sum(axis=0)
  negatives_C = known_NxC.sum(axis=0) - positives_C
  ratio_C = np.maximum(negatives_C, 1) / np.maximum(positives_C, 1)
  return tuple(float(x) for x in ratio_C**exponent)


def balanced_shares(labels_NxC, known_NxC) -> np.ndarray:
  """How often each study is drawn if all classes are to come up alike.

  A class is drawn evenly, then one of its studies; a study of no class counts
  as of one more.

  Returns:
    (N,), summing to 1; 0 for a study of which nothing is known.
  """
  present_NxC = labels_NxC * known_NxC
  nothing_Nx1 = (present_NxC.sum(1, keepdims=True) == 0) & known_NxC.any(
    1, keepdims=True
  )
  present = np.concatenate([present_NxC, nothing_Nx1], axis=1)
  shares_N = (present / np.maximum(present.sum(axis=0), 1)).sum(axis=1)
  return shares_N / shares_N.sum()
