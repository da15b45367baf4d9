"""Cross-modal memory: a learned matrix that features query and are answered by.

Chen et al., "Cross-modal memory networks for radiology report generation"
(ACL 2021), section 2.2. Each query takes the K most similar slots of each
head; their values, weighted by a softmax over those K, are the response.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cmn_jax.models.layers import Linear, dropout_mask, join_heads, split_heads


def kth_largest(scores, k: int):
  """The exact k-th largest float32 along the last axis, kept as size 1.

  Builds the answer's bits from the highest down on an integer view of the
  floats that preserves their order: 32 passes of compare and count, where a
  top-k on CPU would sort. Every value must be finite.
  """
  bits = jax.lax.bitcast_convert_type(scores.astype(jnp.float32), jnp.uint32)
  sign = jnp.uint32(0x80000000)
  ordered = jnp.where(bits & sign, ~bits, bits | sign)

  def add_bit(i, answer):
    trial = answer | (sign >> i.astype(jnp.uint32))
    count = jnp.sum(ordered >= trial, axis=-1, keepdims=True)
    return jnp.where(count >= k, trial, answer)

  start = jnp.zeros((*scores.shape[:-1], 1), jnp.uint32)
  answer = jax.lax.fori_loop(0, 32, add_bit, start)
  bits = jnp.where(answer & sign, answer ^ sign, ~answer)
  return jax.lax.bitcast_convert_type(bits, jnp.float32)


def topk_attention(
  q_BxQxNxE,
  k_MxNxE,
  v_MxNxE,
  top_k: int,
  dropout_rate: float = 0.0,
  dropout_key=None,
):
  """Answers each query with its `top_k` best slots, head by head.

  Scores below the K-th largest get weight zero, so the response is one matrix
  product with all values: nothing is gathered and no (B, N, Q, K, E) array
  exists. The backward pass keeps which slots were chosen, one byte each, and
  computes their weights anew. Slots that tie exactly with the K-th all stay.

  Returns:
    Responses, (B, Q, N, E).
  """
  slots = k_MxNxE.shape[0]
  scale = q_BxQxNxE.shape[-1] ** -0.5

  def scores(q, k):
    return (
      jnp.einsum('bqne,mne->bnqm', q, k, preferred_element_type=jnp.float32)
      * scale
    )

  chosen_BxNxQxM = None
  if top_k < slots:
    score = jax.lax.stop_gradient(scores(q_BxQxNxE, k_MxNxE))
    chosen_BxNxQxM = score >= kth_largest(score, top_k)

  def respond(q, k, v, chosen):
    score_BxNxQxM = scores(q, k)
    if chosen is not None:
      score_BxNxQxM = jnp.where(chosen, score_BxNxQxM, -jnp.inf)
    weight_BxNxQxM = jax.nn.softmax(score_BxNxQxM, axis=-1)
    if dropout_key is not None:
      weight_BxNxQxM = weight_BxNxQxM * dropout_mask(
        dropout_key, dropout_rate, weight_BxNxQxM.shape
      )
    return jnp.einsum('bnqm,mne->bqne', weight_BxNxQxM.astype(v.dtype), v)

  return jax.checkpoint(respond)(q_BxQxNxE, k_MxNxE, v_MxNxE, chosen_BxNxQxM)


class MemoryQuery(nn.Module):
  """Querying and responding: four projections around `topk_attention`.

  Attributes:
    heads: attention heads N.
    top_k: slots that answer a query, K in the paper.
    dropout: rate on the weights of those slots.
    dtype: type of the arithmetic; scores and softmax are float32 always.
  """

  heads: int
  top_k: int
  dropout: float
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x_BxQxD, memory_MxD, train: bool):
    """Returns the memory's responses, (B, Q, D), to be added to x."""
    width = x_BxQxD.shape[-1]

    def linear(name):
      return Linear(width, 'xavier', self.dtype, name=name)

    q = split_heads(linear('query')(x_BxQxD), self.heads)
    k = split_heads(linear('key')(memory_MxD), self.heads)
    v = split_heads(linear('value')(memory_MxD), self.heads)
    active = train and self.dropout > 0
    key = self.make_rng('dropout') if active else None
    response = topk_attention(q, k, v, self.top_k, self.dropout, key)
    return linear('out')(join_heads(response))
