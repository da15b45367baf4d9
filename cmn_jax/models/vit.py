"""ViT visual encoder with timm's geometry.

Dosovitskiy et al., "An image is worth 16x16 words" (2020): pre-norm layers, a
class token and learnt positions. The classifier is left out, and of the
tokens the patches alone are given on, after the last norm.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cmn_jax.models.layers import Linear
from cmn_jax.models.transformer import Attention
from input_pipeline.errors import UserError

# Positions are stored for the patches of 224 pixels, whatever the films are.
STORED_GRID = 14
# timm's; Hugging Face's configs say 1e-12, which differs by less than 1e-5.
_EPSILON = 1e-6


def _layer_norm(dtype, name: str) -> nn.LayerNorm:
  return nn.LayerNorm(_EPSILON, dtype=dtype, use_fast_variance=False, name=name)


class Layer(nn.Module):
  """Self-attention, then two linear layers with a GELU between them.

  Attributes:
    heads: attention heads N.
    dtype: type of the arithmetic.
  """

  heads: int
  dtype: Any

  @nn.compact
  def __call__(self, x_BxPxD):
    width = x_BxPxD.shape[-1]
    attention = Attention(
      width, self.heads, False, self.dtype, name='self_attention'
    )
    y = _layer_norm(self.dtype, 'norm1')(x_BxPxD)
    k, v = attention.project(y)
    y = attention(y, k, v, jnp.ones((), bool), False)
    x = x_BxPxD + y
    y = _layer_norm(self.dtype, 'norm2')(x)
    y = Linear(4 * width, 'xavier', self.dtype, name='in')(y)
    y = nn.gelu(y, approximate=False)
    return x + Linear(width, 'xavier', self.dtype, name='out')(y)


class ViT(nn.Module):
  """Films to a map of features, one for each patch.

  It has neither batch statistics nor dropout, as timm's has no dropout.

  Attributes:
    layers: number of layers L.
    heads: attention heads N.
    patch: side of a patch in pixels.
    width: of one head; timm's is 64.
    axis_name: for the interface; there are no batch statistics.
    dtype: type of the arithmetic.
    remat: recompute each layer in the backward pass instead of storing it.
  """

  layers: int
  heads: int
  patch: int
  width: int
  axis_name: str | None = None
  dtype: Any = jnp.float32
  remat: bool = False

  @nn.compact
  def __call__(self, images_BxIxHxWxC, mask_BxI, train: bool):
    """Returns feature maps, (B, I, h, w, F)."""
    del mask_BxI, train
    b, i, *sides, _ = images_BxIxHxWxC.shape
    if any(side % self.patch for side in sides):
      raise UserError(
        f'films of {sides[0]} x {sides[1]} pixels do not divide into patches '
        f'of {self.patch}: choose another data.image_size'
      )
    width = self.heads * self.width
    x = images_BxIxHxWxC.reshape(b * i, *images_BxIxHxWxC.shape[2:])
    x = nn.Conv(
      width,
      (self.patch, self.patch),
      (self.patch, self.patch),
      padding='VALID',
      dtype=self.dtype,
      name='patches',
    )(x)
    h, w = x.shape[1:3]
    start = nn.initializers.normal(0.02)
    stored = 1 + STORED_GRID**2
    first_D = self.param('class_token', start, (width,))
    positions = self.param('positions', start, (stored, width))
    x = x.reshape(b * i, h * w, width) + _resize(positions[1:], h, w)
    first = jnp.broadcast_to(first_D + positions[0], (b * i, 1, width))
    x = jnp.concatenate([first.astype(x.dtype), x], axis=1).astype(self.dtype)
    layer = nn.remat(Layer) if self.remat else Layer
    for index in range(self.layers):
      x = layer(self.heads, self.dtype, name=f'layer_{index}')(x)
    x = _layer_norm(self.dtype, 'norm')(x)[:, 1:]
    return x.reshape(b, i, h, w, width)


def _resize(positions_PxD, h: int, w: int):
  """Positions of STORED_GRID's patches to those of an (h, w) grid, cubic."""
  if h == w == STORED_GRID:
    return positions_PxD
  width = positions_PxD.shape[1]
  grid = positions_PxD.reshape(STORED_GRID, STORED_GRID, width)
  return jax.image.resize(grid, (h, w, width), 'cubic').reshape(h * w, width)
