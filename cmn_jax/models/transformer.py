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
    q: (B, ..., Q, N, E); any axes between B and Q share keys and values.
    k: keys, (B, P, N, E).
    v: values, (B, P, N, E).
    mask: True where a query may look, broadcast against (B, ..., N, Q, P).
    dropout_key: drops weights at ATTENTION_DROPOUT when given.

  Returns:
    Answers (B, ..., Q, N, E) and weights (B, ..., N, Q, P).
  """
  score = jnp.einsum(
    'b...qne,bpne->b...nqp', q, k, preferred_element_type=jnp.float32
  ) / (q.shape[-1] ** 0.5)
  score = jnp.where(mask, score, -1e30)
  weight = jax.nn.softmax(score, axis=-1)
  dropped = weight
  if dropout_key is not None:
    dropped = weight * dropout_mask(
      dropout_key, ATTENTION_DROPOUT, weight.shape
    )
  answer = jnp.einsum('b...nqp,bpne->b...qne', dropped.astype(v.dtype), v)
  return answer, weight


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
    """Queries from x against given keys and values; also the weights."""
    dropout_key = self.make_rng('dropout') if train and self.dropout else None
    q = split_heads(self.query(x), self.heads)
    answer, weight = attend(q, k, v, mask, dropout_key)
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
    y, _ = self.self_attention(y, k, v, mask_Bx1x1xP, train)
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
    y, _ = self.self_attention(y, k, v, text_mask, train)
    x, _ = self._after_self(x_BxTxD, y, patches_kv, patch_mask, train)
    return x

  def step(self, x_BxKxD, cache, position, patches_kv, patch_mask):
    """One position of K beams per study.

    Args:
      x_BxKxD: inputs at `position`.
      cache: keys and values so far, each (B, K, T, N, E).
      position: index of this token.
      patches_kv: keys and values of the study's patches, (B, P, N, E).
      patch_mask: (B, 1, 1, 1, P).

    Returns:
      Outputs (B, K, D), the longer cache, patch weights (B, K, N, P).
    """
    b, k = x_BxKxD.shape[:2]
    y = self.norms[0](x_BxKxD)
    new = self.self_attention.project(y)
    cache = tuple(
      jax.lax.dynamic_update_index_in_dim(old, one[:, :, None], position, 2)
      for old, one in zip(cache, new, strict=True)
    )
    keys, values = (c.reshape(b * k, *c.shape[2:]) for c in cache)
    seen = jnp.arange(keys.shape[1]) <= position
    y, _ = self.self_attention(
      y.reshape(b * k, 1, -1), keys, values, seen, False
    )
    x, weight = self._after_self(
      x_BxKxD[:, :, None], y.reshape(b, k, 1, -1), patches_kv, patch_mask, False
    )
    return x[:, :, 0], cache, weight[:, :, :, 0]

  def _after_self(self, x, y, patches_kv, patch_mask, train: bool):
    x = x + self.drops[0](y, train)
    y, weight = self.cross_attention(
      self.norms[1](x), *patches_kv, patch_mask, train
    )
    x = x + self.drops[1](y, train)
    y = self.feed_forward(self.norms[2](x), train)
    return x + self.drops[2](y, train), weight
