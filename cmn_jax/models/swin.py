"""Swin visual encoder: attention within windows that shift.

Liu et al., "Swin Transformer: hierarchical vision transformer using shifted
windows" (2021), in the geometry of the authors' code. The classifier is left
out; the last norm is not.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cmn_jax.models.layers import dropout_mask, join_heads, split_heads
from input_pipeline.errors import UserError

_EPSILON = 1e-5
_PATCH = 4
# Added to the scores between regions that only the shift made neighbours.
_APART = -100.0
_start = nn.initializers.truncated_normal(0.02)


def _layer_norm(dtype, name: str) -> nn.LayerNorm:
  return nn.LayerNorm(_EPSILON, dtype=dtype, use_fast_variance=False, name=name)


def _dense(features: int, dtype, name: str, bias: bool = True) -> nn.Dense:
  return nn.Dense(
    features, use_bias=bias, dtype=dtype, kernel_init=_start, name=name
  )


def relative_places(window: int) -> np.ndarray:
  """Row of the bias table for each pair of a window's places, (P, P) int."""
  y, x = (
    axis.ravel() for axis in np.meshgrid(*[range(window)] * 2, indexing='ij')
  )
  dy, dx = y[:, None] - y, x[:, None] - x
  return (dy + window - 1) * (2 * window - 1) + dx + window - 1


def _regions(h: int, w: int, window: int, shift: int) -> np.ndarray:
  """Biases (windows, P, P) that keep apart what a shift has put together."""

  def region(side):
    at = np.arange(side)
    return (at >= side - window).astype(int) + (at >= side - shift)

  places = 3 * region(h)[:, None] + region(w)
  split = _to_windows(places[None, :, :, None], window)[..., 0]
  return np.where(split[:, :, None] == split[:, None], 0.0, _APART)


def _to_windows(x, window: int):
  """(b, h, w, C) to (b * windows, window * window, C)."""
  b, h, w, c = x.shape
  x = x.reshape(b, h // window, window, w // window, window, c)
  return x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, window * window, c)


def _from_windows(x, window: int, h: int, w: int):
  """The way back from `_to_windows`."""
  c = x.shape[-1]
  x = x.reshape(-1, h // window, w // window, window, window, c)
  return x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, h, w, c)


class WindowAttention(nn.Module):
  """Attention among the places of each window, with relative positions."""

  heads: int
  window: int
  shift: int
  dtype: Any

  @nn.compact
  def __call__(self, x_BxhxwxC):
    """Answers (b, h, w, C); maps are padded at the right and below."""
    b, h, w, c = x_BxhxwxC.shape
    window, shift = self.window, self.shift
    below, right = -h % window, -w % window
    x = jnp.pad(x_BxhxwxC, ((0, 0), (0, below), (0, right), (0, 0)))
    x = jnp.roll(x, (-shift, -shift), axis=(1, 2))
    x = _to_windows(x, window)
    qkv = _dense(3 * c, self.dtype, 'qkv')(x)
    q, k, v = (split_heads(y, self.heads) for y in jnp.split(qkv, 3, axis=-1))
    table = self.param(
      'relative_bias', _start, ((2 * window - 1) ** 2, self.heads)
    )
    bias_NxPxP = table[relative_places(window)].transpose(2, 0, 1)
    score = jnp.einsum(
      'xqne,xpne->xnqp', q, k, preferred_element_type=jnp.float32
    )
    score = score * (c // self.heads) ** -0.5 + bias_NxPxP
    if shift:
      apart = _regions(h + below, w + right, window, shift)[:, None]
      score = score.reshape(b, -1, *score.shape[1:]) + apart
      score = score.reshape(-1, *score.shape[2:])
    weight = jax.nn.softmax(score, axis=-1).astype(v.dtype)
    answer = join_heads(jnp.einsum('xnqp,xpne->xqne', weight, v))
    x = _dense(c, self.dtype, 'proj')(answer)
    x = _from_windows(x, window, h + below, w + right)
    return jnp.roll(x, (shift, shift), axis=(1, 2))[:, :h, :w]


class Block(nn.Module):
  """Attention in windows, then a perceptron, each on top of what came in."""

  heads: int
  window: int
  shift: int
  drop_path: float
  dtype: Any

  @nn.compact
  def __call__(self, x_BxhxwxC, train: bool):
    c = x_BxhxwxC.shape[-1]
    attention = WindowAttention(
      self.heads, self.window, self.shift, self.dtype, name='attn'
    )
    y = attention(_layer_norm(self.dtype, 'norm1')(x_BxhxwxC))
    x = x_BxhxwxC + self._drop(y, train)
    y = _layer_norm(self.dtype, 'norm2')(x)
    y = nn.gelu(_dense(4 * c, self.dtype, 'fc1')(y), approximate=False)
    return x + self._drop(_dense(c, self.dtype, 'fc2')(y), train)

  def _drop(self, y, train: bool):
    """Leaves a branch out for some films (stochastic depth)."""
    if not train or self.drop_path == 0:
      return y
    shape = (y.shape[0], *[1] * (y.ndim - 1))
    mask = dropout_mask(self.make_rng('dropout'), self.drop_path, shape)
    return y * mask.astype(y.dtype)


class Merging(nn.Module):
  """Four neighbours to one place of twice the width."""

  dtype: Any

  @nn.compact
  def __call__(self, x_BxhxwxC):
    _, h, w, c = x_BxhxwxC.shape
    x = jnp.pad(x_BxhxwxC, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)))
    x = jnp.concatenate(
      [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)], axis=-1
    )
    x = _layer_norm(self.dtype, 'norm')(x)
    return _dense(2 * c, self.dtype, 'reduction', bias=False)(x)


class Swin(nn.Module):
  """Films to a map of features, 32 times smaller. It has no batch statistics.

  Attributes:
    stage_sizes: blocks in each stage.
    heads: attention heads of the first stage; each stage doubles them.
    width: twice the width of a head, so that 64 is as published.
    window: side of a window.
    axis_name: for the interface; there are no batch statistics.
    dtype: type of the arithmetic.
    remat: recompute each block in the backward pass instead of storing it.
    drop_path: rate at which the last block is left out in training; the
      first's is 0 and those between rise evenly. Needs the 'dropout' key.
    shift_last_stage: shift windows also where one window is the whole map.
      EKAGen's classifier does; Microsoft's, timm's and torchvision's do not.
  """

  stage_sizes: Sequence[int]
  heads: int
  width: int
  window: int = 7
  axis_name: str | None = None
  dtype: Any = jnp.float32
  remat: bool = False
  drop_path: float = 0.1
  shift_last_stage: bool = False

  @nn.compact
  def __call__(self, images_BxIxHxWxC, mask_BxI, train: bool):
    """Returns feature maps, (B, I, h, w, F)."""
    del mask_BxI
    b, i, *sides, _ = images_BxIxHxWxC.shape
    if any(side % _PATCH for side in sides):
      raise UserError(
        f'films of {sides[0]} x {sides[1]} pixels do not divide into patches '
        f'of {_PATCH}: choose another data.image_size'
      )
    x = images_BxIxHxWxC.reshape(b * i, *images_BxIxHxWxC.shape[2:])
    x = nn.Conv(
      self.heads * self.width // 2,
      (_PATCH, _PATCH),
      (_PATCH, _PATCH),
      padding='VALID',
      dtype=self.dtype,
      name='patches',
    )(x.astype(self.dtype))
    x = _layer_norm(self.dtype, 'patches_norm')(x)
    block = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
    rates = iter(np.linspace(0, self.drop_path, sum(self.stage_sizes)))
    for stage, size in enumerate(self.stage_sizes):
      wide = min(x.shape[1:3]) > self.window
      for index in range(size):
        shifted = index % 2 and (wide or self.shift_last_stage)
        x = block(
          heads=self.heads * 2**stage,
          window=self.window,
          shift=self.window // 2 if shifted else 0,
          drop_path=float(next(rates)),
          dtype=self.dtype,
          name=f'layer{stage + 1}_{index}',
        )(x, train)
      if stage < len(self.stage_sizes) - 1:
        x = Merging(self.dtype, name=f'merging{stage + 1}')(x)
    x = _layer_norm(self.dtype, 'norm')(x)
    return x.reshape(b, i, *x.shape[1:])
