"""Losses, each as a (sum, count) so that devices add up exactly."""

import jax.numpy as jnp
import optax


def language_model_loss(log_probs_BxTxV, ids_BxT, mask_B):
  """Negative log-likelihood of the words and of the 0 that ends them.

  Args:
    log_probs_BxTxV: row t predicts ids[t + 1]; one row fewer than ids.
    ids_BxT: [0] + words + [0] and zeros; a report cut at T has no last 0.
    mask_B: False for padding studies.

  Returns:
    Sum in nats over this device's predicted tokens, and their number.
  """
  target = jnp.asarray(ids_BxT)[:, 1:]
  weight = (target > 0).astype(jnp.float32)
  # The first 0 after the words counts; the zeros behind it are padding.
  weight = weight.at[:, 0].set(1.0)
  weight = weight.at[:, 1:].max((target[:, :-1] > 0).astype(jnp.float32))
  weight = weight * mask_B[:, None]
  picked = jnp.take_along_axis(log_probs_BxTxV, target[..., None], axis=2)
  return -jnp.sum(picked[..., 0] * weight), jnp.sum(weight)


def findings_loss(logits_BxL, labels_BxL, mask_B):
  """Binary cross-entropy of the findings head.

  Returns:
    Sum in nats over this device's studies and all findings, and the studies.
  """
  loss_BxL = optax.sigmoid_binary_cross_entropy(
    logits_BxL, labels_BxL.astype(jnp.float32)
  )
  weight_B = mask_B.astype(jnp.float32)
  return jnp.sum(loss_BxL * weight_B[:, None]), jnp.sum(weight_B)
