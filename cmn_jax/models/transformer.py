"""Pre-norm Transformer encoder and decoder, the decoder with a cache.

After the Annotated Transformer, as R2GenCMN configures it: layer norms with
the unbiased deviation, a final norm on both stacks, dropout on attention
weights, inside the feed-forward and after each sublayer.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cmn_jax.models.layers import (
  Dropout,
  Linear,
  dropout_mask,
  join_heads,
  split_heads,
)
from cmn_jax.models.normalization import LayerNorm

# R2GenCMN leaves attention's own dropout at its default, whatever the rest.
ATTENTION_DROPOUT = 0.1


def attend(q, k, v, mask, dropout_key=None):
  """Scaled dot-product attention.

  Args:
    q: (B, Q, N, E).
    k: keys, (B, P, N, E).
    v: values, (B, P, N, E).
    mask: True where a query may look, broadcast against (B, N, Q, P).
    dropout_key: drops weights at ATTENTION_DROPOUT when given.

  Returns:
    Answers (B, Q, N, E).
  """
  score = jnp.einsum(
    'bqne,bpne->bnqp', q, k, preferred_element_type=jnp.float32
  ) / (q.shape[-1] ** 0.5)
  score = jnp.where(mask, score, -1e30)
  weight = jax.nn.softmax(score, axis=-1)
  if dropout_key is not None:
    weight = weight * dropout_mask(dropout_key, ATTENTION_DROPOUT, weight.shape)
  return jnp.einsum('bnqp,bpne->bqne', weight.astype(v.dtype), v)


class Attention(nn.Module):
  """Multi-head attention with its projections apart, so caches can use them."""

  width: int
  heads: int
  dropout: bool
  dtype: Any = jnp.float32

  def setup(self):
    self.query = Linear(self.width, 'xavier', self.dtype)
    self.key = Linear(self.width, 'xavier', self.dtype)
    self.value = Linear(self.width, 'xavier', self.dtype)
    self.out = Linear(self.width, 'xavier', self.dtype)

  def project(self, x):
    """Keys and values of x, each (..., N, E)."""
    return (
      split_heads(self.key(x), self.heads),
      split_heads(self.value(x), self.heads),
    )

  def __call__(self, x, k, v, mask, train: bool):
    """Queries from x against given keys and values."""
    dropout_key = self.make_rng('dropout') if train and self.dropout else None
    q = split_heads(self.query(x), self.heads)
    return self.out(join_heads(attend(q, k, v, mask, dropout_key)))

  def project_heads(self, x_BxPxD):
    """As `project`, heads first: what `of_beams` takes, (B, N, P, E)."""
    return tuple(jnp.swapaxes(y, 1, 2) for y in self.project(x_BxPxD))

  def of_beams(self, x_BxKxD, k_BxNxPxE, v_BxNxPxE, mask_Bx1xKxP):
    """Answers to the beams of each study, which share keys and values.

    Heads stand before positions, so that decoding transposes no cache.

    Returns:
      (B, K, D), and the weights (B, N, K, P).
    """
    q_BxKxNxE = split_heads(self.query(x_BxKxD), self.heads)
    score = jnp.einsum(
      'bkne,bnpe->bnkp',
      q_BxKxNxE,
      k_BxNxPxE,
      preferred_element_type=jnp.float32,
    ) / (q_BxKxNxE.shape[-1] ** 0.5)
    weight = jax.nn.softmax(jnp.where(mask_Bx1xKxP, score, -1e30), axis=-1)
    answer = jnp.einsum(
      'bnkp,bnpe->bkne', weight.astype(v_BxNxPxE.dtype), v_BxNxPxE
    )
    return self.out(join_heads(answer)), weight


class FeedForward(nn.Module):
  """Two linear layers with a rectifier and dropout between them."""

  hidden: int
  dropout: float
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x, train: bool):
    y = nn.relu(Linear(self.hidden, 'xavier', self.dtype, name='in')(x))
    y = Dropout(self.dropout)(y, train)
    return Linear(x.shape[-1], 'xavier', self.dtype, name='out')(y)


class EncoderLayer(nn.Module):
  """Self-attention over patches, then feed-forward."""

  width: int
  heads: int
  hidden: int
  dropout: float
  dtype: Any = jnp.float32

  def setup(self):
    self.self_attention = Attention(
      self.width, self.heads, self.dropout > 0, self.dtype
    )
    self.feed_forward = FeedForward(self.hidden, self.dropout, self.dtype)
    self.norms = [LayerNorm() for _ in range(2)]
    self.drops = [Dropout(self.dropout) for _ in range(2)]

  def __call__(self, x_BxPxD, mask_Bx1x1xP, train: bool):
    y = self.norms[0](x_BxPxD)
    k, v = self.self_attention.project(y)
    y = self.self_attention(y, k, v, mask_Bx1x1xP, train)
    x_BxPxD = x_BxPxD + self.drops[0](y, train)
    y = self.feed_forward(self.norms[1](x_BxPxD), train)
    return x_BxPxD + self.drops[1](y, train)


class DecoderLayer(nn.Module):
  """Causal self-attention, attention to the patches, feed-forward."""

  width: int
  heads: int
  hidden: int
  dropout: float
  dtype: Any = jnp.float32

  def setup(self):
    def attention():
      return Attention(self.width, self.heads, self.dropout > 0, self.dtype)

    self.self_attention = attention()
    self.cross_attention = attention()
    self.feed_forward = FeedForward(self.hidden, self.dropout, self.dtype)
    self.norms = [LayerNorm() for _ in range(3)]
    self.drops = [Dropout(self.dropout) for _ in range(3)]

  def __call__(self, x_BxTxD, patches_kv, text_mask, patch_mask, train: bool):
    """Whole reports at once; returns (B, T, D)."""
    y = self.norms[0](x_BxTxD)
    k, v = self.self_attention.project(y)
    y = self.self_attention(y, k, v, text_mask, train)
    x = x_BxTxD + self.drops[0](y, train)
    y = self.cross_attention(self.norms[1](x), *patches_kv, patch_mask, train)
    x = x + self.drops[1](y, train)
    y = self.feed_forward(self.norms[2](x), train)
    return x + self.drops[2](y, train)

  def step(self, x_BxKxD, cache, position, seen_Bx1xKxTK, patches_kv, mask):
    """One position of K beams per study, without dropout.

    Args:
      x_BxKxD: inputs at `position`.
      cache: keys and values of all beams so far, each (B, N, T, K, E).
      position: index of this token.
      seen_Bx1xKxTK: True at the positions and beams of the cache that a beam
        goes back to, this position included.
      patches_kv: keys and values of the study's patches, (B, N, P, E).
      mask: of the patches, (B, 1, 1, P).

    Returns:
      Outputs (B, K, D), the longer cache, patch weights (B, N, K, P).
    """
    y = self.norms[0](x_BxKxD)
    new = (jnp.swapaxes(one, 1, 2) for one in self.self_attention.project(y))
    cache = tuple(
      jax.lax.dynamic_update_index_in_dim(old, one[:, :, None], position, 2)
      for old, one in zip(cache, new, strict=True)
    )
    keys, values = (c.reshape(*c.shape[:2], -1, c.shape[-1]) for c in cache)
    y, _ = self.self_attention.of_beams(y, keys, values, seen_Bx1xKxTK)
    x = x_BxKxD + y
    y, weight = self.cross_attention.of_beams(
      self.norms[1](x), *patches_kv, mask
    )
    x = x + y
    return x + self.feed_forward(self.norms[2](x), False), cache, weight
