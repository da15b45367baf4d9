"""Layers of EKAGen's captioner: films, places, and knowledge in a decoder.

After hnjzbss/EKAGen (CVPR 2024), which follows DETR: places and positions are
added to queries and keys in each layer, never to values.
"""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cmn_jax.models.layers import Linear
from cmn_jax.models.transformer import (
  Attention,
  EncoderLayer,
  heads_first,
  longer,
)

# Of all norms but the one on words, which has WORD_EPSILON.
EPSILON = 1e-5
WORD_EPSILON = 1e-12


def layer_norm(epsilon: float, dtype) -> nn.LayerNorm:
  """The usual layer norm, its biased variance computed from the mean."""
  return nn.LayerNorm(epsilon, dtype=dtype, use_fast_variance=False)


def places(h: int, w: int, width: int) -> np.ndarray:
  """DETR's sines and cosines of a map's places, (h * w, width) float32.

  The first half of the channels is of the row, the second of the column.
  """

  def angles(side):
    count = np.arange(1, side + 1, dtype=np.float32)
    count = count / np.float32(side + 1e-6) * np.float32(2 * math.pi)
    channel = np.arange(width // 2, dtype=np.float32)
    period = np.float32(10000) ** (2 * (channel // 2) / np.float32(width // 2))
    angle = count[:, None] / period
    even = np.arange(width // 2) % 2 == 0
    return np.where(even, np.sin(angle), np.cos(angle))

  rows = np.broadcast_to(angles(h)[:, None], (h, w, width // 2))
  columns = np.broadcast_to(angles(w)[None], (h, w, width // 2))
  return np.concatenate([rows, columns], axis=-1).reshape(h * w, width)


class PackedAttention(Attention):
  """Attention that starts as torch's: one packed matrix, biases of zero."""

  def setup(self):
    """Three projections within the packed matrix's bound, and one without."""
    bound = math.sqrt(6 / (4 * self.width))

    def packed(key, shape, dtype=jnp.float32):
      return jax.random.uniform(key, shape, dtype, -bound, bound)

    def dense(start):
      return nn.Dense(self.width, dtype=self.dtype, kernel_init=start)

    self.query, self.key, self.value = (dense(packed) for _ in range(3))
    self.out = dense(nn.initializers.xavier_uniform())

  def keys_values(self, x, place):
    """Keys of x + place and values of x, each (B, P, N, E)."""
    return tuple(
      y.reshape(*y.shape[:-1], self.heads, -1)
      for y in (self.key(x + place), self.value(x))
    )


class Films(NamedTuple):
  """What a decoder sees of the films.

  Attributes:
    tokens_BxPxD: the encoder's answers.
    places_PxD: added to tokens where they are keys.
    mask_Bx1x1xP: False for the tokens of films that a study does not have.
  """

  tokens_BxPxD: jax.Array
  places_PxD: jax.Array
  mask_Bx1x1xP: jax.Array

  def with_knowledge(self, tokens_BxTxD, places_TxD) -> 'Films':
    """Films with tokens of knowledge, (B, T, D), behind theirs, none hidden."""
    seen = jnp.ones((*self.mask_Bx1x1xP.shape[:3], len(places_TxD)), bool)
    return Films(
      jnp.concatenate([self.tokens_BxPxD, tokens_BxTxD], axis=1),
      jnp.concatenate([self.places_PxD, places_TxD]),
      jnp.concatenate([self.mask_Bx1x1xP, seen], axis=-1),
    )


class FilmLayer(EncoderLayer):
  """Self-attention over a film's tokens, then feed-forward."""

  @nn.nowrap
  def attention(self) -> PackedAttention:
    """See `EncoderLayer`, as for `norm`."""
    return PackedAttention(self.width, self.heads, self.dropout > 0, self.dtype)

  @nn.nowrap
  def norm(self) -> nn.LayerNorm:
    """The usual one."""
    return layer_norm(EPSILON, self.dtype)

  def __call__(self, x_BxPxD, places_PxD, mask_Bx1x1xP, train: bool):
    """Returns (B, P, D)."""
    y = self.norms[0](x_BxPxD)
    k, v = self.self_attention.keys_values(y, places_PxD)
    y = self.self_attention(y + places_PxD, k, v, mask_Bx1x1xP, train)
    x = x_BxPxD + self.drops[0](y, train)
    y = self.feed_forward(self.norms[1](x), train)
    return x + self.drops[1](y, train)


class KnowledgeLayer(FilmLayer):
  """A decoder layer whose outcome is fused with the study's knowledge.

  Attributes:
    knowledge: whether knowledge is fused in at all.
  """

  knowledge: bool = True
  attentions = ('self_attention', 'cross_attention')

  def setup(self):
    """As of any layer, and the fusion."""
    super().setup()
    if self.knowledge:
      self.fuse_text, self.fuse_knowledge, self.fuse = (
        Linear(self.width, 'xavier', self.dtype) for _ in range(3)
      )

  def __call__(
    self,
    x_BxTxD,
    positions_TxD,
    text_mask,
    films_kv,
    film_mask,
    knowledge_BxTxD,
    train: bool,
  ):
    """Whole reports at once; returns (B, T, D).

    Args:
      x_BxTxD: inputs.
      positions_TxD: added to queries, and to the text's keys.
      text_mask: where a word may look, (B, 1, T, T).
      films_kv: keys and values of the films' tokens, (B, P, N, E).
      film_mask: (B, 1, 1, P).
      knowledge_BxTxD: row t meets word t; not looked at without `knowledge`.
      train: dropout on.
    """
    y = self.norms[0](x_BxTxD)
    k, v = self.self_attention.keys_values(y, positions_TxD)
    y = self.self_attention(y + positions_TxD, k, v, text_mask, train)
    x = x_BxTxD + self.drops[0](y, train)
    y = self.norms[1](x) + positions_TxD
    y = self.cross_attention(y, *films_kv, film_mask, train)
    x = x + self.drops[1](y, train)
    y = self.feed_forward(self.norms[2](x), train)
    x = x + self.drops[2](y, train)
    if not self.knowledge:
      return x
    both = [self.fuse_text(x), self.fuse_knowledge(knowledge_BxTxD)]
    return self.fuse(jnp.concatenate(both, axis=-1))

  def fold(self, knowledge_BxTxD):
    """The fusion as one matrix (D, D) and one bias for each word (B, T, D)."""
    zeros_1xD = jnp.zeros((1, self.width), self.dtype)

    def fused(text, knowledge):
      shape = jnp.broadcast_shapes(text.shape, knowledge.shape)
      both = [jnp.broadcast_to(x, shape) for x in (text, knowledge)]
      return self.fuse(jnp.concatenate(both, axis=-1))

    # Affine in the text: what it makes of zeros is the bias.
    bias_BxTxD = fused(
      self.fuse_text(zeros_1xD), self.fuse_knowledge(knowledge_BxTxD)
    )
    nothing = fused(zeros_1xD, zeros_1xD)
    one = jnp.eye(self.width, dtype=self.dtype)
    of_text = self.fuse_text(one) - self.fuse_text(zeros_1xD)
    return fused(of_text, zeros_1xD) - nothing, bias_BxTxD

  def step(
    self, x_BxKxD, cache, position, seen, query_D, films_kv, film_mask, folded
  ):
    """One position of K beams per study, without dropout.

    Args:
      x_BxKxD: inputs at `position`.
      cache: keys and values of all beams so far, see `empty_cache`.
      position: index of this token.
      seen: True at the positions and beams of the cache that a beam goes back
        to, this position included, (B, 1, K, T * K).
      query_D: this position's row of the positions.
      films_kv: keys and values of the study's tokens, see `heads_first`.
      film_mask: (B, 1, 1, P).
      folded: from `fold`, or None without knowledge.

    Returns:
      Outputs (B, K, D), the longer cache, weights of tokens (B, N, K, P).
    """
    y = self.norms[0](x_BxKxD)
    new = heads_first(*self.self_attention.keys_values(y, query_D))
    cache = longer(cache, new, position)
    y, _ = self.self_attention.of_beams(y + query_D, *cache, seen)
    x = x_BxKxD + y
    y = self.norms[1](x) + query_D
    y, weight = self.cross_attention.of_beams(y, *films_kv, film_mask)
    x = x + y
    x = x + self.feed_forward(self.norms[2](x), False)
    if folded is not None:
      matrix_DxD, bias_BxTxD = folded
      x = x @ matrix_DxD + bias_BxTxD[:, position, None]
    return x, cache, weight
