"""The contrastive loss of films and reports, over all devices' studies.

Every device compares its own studies with those of all devices, gathered by
all_gather, whose gradient goes back to the device that a feature came from: the
devices' sums add up to the loss of one device with the whole batch, and so do
their gradients.
"""

import jax
import jax.numpy as jnp

from cmn_jax.models.alignment import AlignmentConfig


def contrastive_loss(
  config: AlignmentConfig, aligned, ids_BxT, mask_B, axis=None
):
  """The two halves of the loss, each a mean to be.

  cosine: the mean of 1 - cos over studies, and over pairs of films and another
  study's report the mean of max(0, cos - margin). infonce: the mean cross-
  entropy of picking each study's report for its films among the others, and of
  picking its films for its report, both halved.

  Args:
    config: how to compare.
    aligned: what `Alignment` returns.
    ids_BxT: the reports; equal rows are the same report to the model.
    mask_B: False for padding studies, which match nothing and are no negative.
    axis: mapped axis of the devices, or None.

  Returns:
    {name: (sum, count)} over this device's studies. Differentiate the sums
    over the global counts, then add the devices' gradients up.
  """
  everyone = {
    'films_BxF': aligned['films_BxF'],
    'text_BxF': aligned['text_BxF'],
    'ids_BxT': jnp.asarray(ids_BxT),
    'mask_B': jnp.asarray(mask_B),
  }
  first = 0
  if axis is not None:
    first = jax.lax.axis_index(axis) * len(everyone['mask_B'])
    everyone = jax.lax.all_gather(everyone, axis, tiled=True)
  rows = jnp.arange(len(mask_B))[:, None] + first
  own_BxA = rows == jnp.arange(len(everyone['mask_B']))
  real_B = jnp.asarray(mask_B)
  negative_BxA = real_B[:, None] & everyone['mask_B'] & ~own_BxA
  if config.mask_identical:
    negative_BxA &= ~_same_rows(ids_BxT, everyone['ids_BxT'])
  films, texts = aligned['films_BxF'], aligned['text_BxF']
  to_text_BxA = films @ everyone['text_BxF'].T
  if config.form == 'cosine':
    own_B = jnp.sum(films * texts, axis=1)
    excess_BxA = jnp.maximum(to_text_BxA - config.margin, 0.0)
    return {
      'alignment_matching': _masked(1.0 - own_B, real_B),
      'alignment_others': _masked(excess_BxA, negative_BxA),
    }
  to_films_BxA = texts @ everyone['films_BxF'].T
  halves = {'films': to_text_BxA, 'reports': to_films_BxA}
  return {
    f'alignment_{name}': _masked(
      0.5 * _pick_own(cosines / aligned['temperature'], own_BxA, negative_BxA),
      real_B,
    )
    for name, cosines in halves.items()
  }


def _pick_own(logits_BxA, own_BxA, negative_BxA):
  """Cross-entropy of the own column among itself and the negatives, (B,)."""
  kept_BxA = own_BxA | negative_BxA
  logits_BxA = jnp.where(kept_BxA, logits_BxA, -jnp.inf)
  own_B = jnp.sum(jnp.where(own_BxA, logits_BxA, 0.0), axis=1)
  return jax.nn.logsumexp(logits_BxA, axis=1) - own_B


def _same_rows(ids_BxT, ids_AxT):
  return jnp.all(jnp.asarray(ids_BxT)[:, None] == ids_AxT, axis=-1)


def _masked(values, mask):
  return jnp.sum(jnp.where(mask, values, 0.0)), jnp.sum(mask).astype(float)
