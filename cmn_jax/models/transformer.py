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
  Projections,
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


class Attention(Projections):
  """Multi-head attention with its projections apart, so caches can use them."""

  width: int
  heads: int
  dropout: bool
  dtype: Any = jnp.float32

  def __call__(self, x, k, v, mask, train: bool):
    """Queries from x against given keys and values."""
    dropout_key = self.make_rng('dropout') if train and self.dropout else None
    q = split_heads(self.query(x), self.heads)
    return self.out(join_heads(attend(q, k, v, mask, dropout_key)))

  def project_heads(self, x_BxPxD):
    """As `project`, of the axes that `of_beams` takes."""
    return heads_first(*self.project(x_BxPxD))

  def of_beams(self, x_BxKxD, k_BxNxExP, v_BxNxPxE, mask_Bx1xKxP):
    """Answers to the beams of each study, which share keys and values.

    Their axes are those of plain products of matrices: XLA's CPU compiler takes
    several times as long for any other order.

    Returns:
      (B, K, D), and the weights (B, N, K, P).
    """
    q_BxNxKxE = jnp.swapaxes(split_heads(self.query(x_BxKxD), self.heads), 1, 2)
    score = jnp.matmul(
      q_BxNxKxE, k_BxNxExP, preferred_element_type=jnp.float32
    ) / (q_BxNxKxE.shape[-1] ** 0.5)
    weight = jax.nn.softmax(jnp.where(mask_Bx1xKxP, score, -1e30), axis=-1)
    answer_BxNxKxE = jnp.matmul(weight.astype(v_BxNxPxE.dtype), v_BxNxPxE)
    answer = jnp.swapaxes(answer_BxNxKxE, 1, 2)
    return self.out(join_heads(answer)), weight


def heads_first(k_BxPxNxE, v_BxPxNxE) -> tuple:
  """Keys (B, N, E, P) and values (B, N, P, E), as `of_beams` takes them."""
  return jnp.transpose(k_BxPxNxE, (0, 2, 3, 1)), jnp.swapaxes(v_BxPxNxE, 1, 2)


def empty_cache(layers: int, size: tuple[int, ...], dtype) -> tuple:
  """What a decoder has written before its first step.

  A pair: the beam that each position of a beam was written by, (B, K, T),
  which follows the beams when these are dealt anew, and of each layer keys and
  values by the beam that wrote them, which stay where they are.

  Args:
    layers: of the decoder.
    size: B, N, T, K and E; keys are (B, N, E, T * K), values (B, N, T * K, E).
    dtype: of them.
  """
  b, n, length, beams, width = size
  keys = jnp.zeros((b, n, width, length * beams), dtype)
  values = jnp.swapaxes(keys, 2, 3)
  return jnp.zeros((b, beams, length), jnp.int32), [(keys, values)] * layers


def written_at(writers_BxKxT, position) -> tuple:
  """Each beam writes a position itself; what it then sees of `longer`'s keys.

  Returns:
    The writers, and bools (B, 1, K, T * K).
  """
  b, k, length = writers_BxKxT.shape
  beams = jnp.arange(k)
  writers_BxKxT = writers_BxKxT.at[:, :, position].set(beams)
  seen = (writers_BxKxT[..., None] == beams) & (
    jnp.arange(length)[:, None] <= position
  )
  return writers_BxKxT, seen.reshape(b, k, -1)[:, None]


def longer(cache, new, position) -> tuple:
  """A layer's cache with a position written.

  Args:
    cache: keys and values of all beams so far, see `empty_cache`.
    new: those of this position, (B, N, E, K) and (B, N, K, E).
    position: index of it.
  """
  beams = new[0].shape[-1]
  return tuple(
    jax.lax.dynamic_update_slice_in_dim(old, one, position * beams, axis)
    for old, one, axis in zip(cache, new, (3, 2), strict=True)
  )


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
  """Self-attention over patches, then feed-forward.

  Attributes:
    width: D.
    heads: N.
    hidden: width inside the feed-forward.
    dropout: rate; attention weights have ATTENTION_DROPOUT unless it is 0.
    dtype: type of the arithmetic.
    attentions: their names, in order; each has a norm before it.
  """

  width: int
  heads: int
  hidden: int
  dropout: float
  dtype: Any = jnp.float32
  attentions = ('self_attention',)

  def setup(self):
    for name in self.attentions:
      setattr(self, name, self.attention())
    self.feed_forward = FeedForward(self.hidden, self.dropout, self.dtype)
    sublayers = len(self.attentions) + 1
    self.norms = [self.norm() for _ in range(sublayers)]
    self.drops = [Dropout(self.dropout) for _ in range(sublayers)]

  @nn.nowrap
  def attention(self) -> Attention:
    """One of the attentions."""
    return Attention(self.width, self.heads, self.dropout > 0, self.dtype)

  @nn.nowrap
  def norm(self) -> nn.Module:
    """One of the norms."""
    return LayerNorm()

  def __call__(self, x_BxPxD, mask_Bx1x1xP, train: bool):
    """Returns (B, P, D)."""
    y = self.norms[0](x_BxPxD)
    k, v = self.self_attention.project(y)
    y = self.self_attention(y, k, v, mask_Bx1x1xP, train)
    x_BxPxD = x_BxPxD + self.drops[0](y, train)
    y = self.feed_forward(self.norms[1](x_BxPxD), train)
    return x_BxPxD + self.drops[1](y, train)


class DecoderLayer(EncoderLayer):
  """Causal self-attention, attention to the patches, feed-forward."""

  attentions = ('self_attention', 'cross_attention')

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
      cache: keys and values of all beams so far, see `empty_cache`.
      position: index of this token.
      seen_Bx1xKxTK: True at the positions and beams of the cache that a beam
        goes back to, this position included.
      patches_kv: keys and values of the study's patches, see `heads_first`.
      mask: of the patches, (B, 1, 1, P).

    Returns:
      Outputs (B, K, D), the longer cache, patch weights (B, N, K, P).
    """
    y = self.norms[0](x_BxKxD)
    new = self.self_attention.project_heads(y)
    cache = longer(cache, new, position)
    y, _ = self.self_attention.of_beams(y, *cache, seen_Bx1xKxTK)
    x = x_BxKxD + y
    y, weight = self.cross_attention.of_beams(
      self.norms[1](x), *patches_kv, mask
    )
    x = x + y
    return x + self.feed_forward(self.norms[2](x), False), cache, weight
