"""Layers shared by the memory and the Transformer."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


def torch_uniform(fan_in: int):
  """torch.nn.Linear's own start: uniform within 1 / sqrt(fan_in)."""
  bound = 1.0 / math.sqrt(fan_in)

  def init(key, shape, dtype=jnp.float32):
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return init


class Linear(nn.Module):
  """x W + b, started as R2GenCMN starts it.

  Attributes:
    features: output width.
    start: 'xavier' for weights inside the Transformer and the memory, 'torch'
      for those outside, which keep torch's default.
    dtype: type of the arithmetic.
  """

  features: int
  start: str
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    fan_in = x.shape[-1]
    kernel_init = {
      'xavier': nn.initializers.xavier_uniform(),
      'torch': torch_uniform(fan_in),
    }[self.start]
    kernel = self.param('kernel', kernel_init, (fan_in, self.features))
    bias = self.param('bias', torch_uniform(fan_in), (self.features,))
    x = x.astype(self.dtype)
    return x @ kernel.astype(self.dtype) + bias.astype(self.dtype)


class Projections(nn.Module):
  """The four of an attention; a subclass has width, heads and dtype."""

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


def _mix(x):
  """A bijection of uint32 that spreads each bit over all (MurmurHash3's)."""
  x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
  x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
  return x ^ (x >> 16)


def dropout_mask(key, rate: float, shape):
  """Zeros at `rate`, 1 / (1 - rate) elsewhere.

  Each element hashes its own index with two words of the key: a few integer
  operations that fuse with what uses the mask, where jax.random would take
  more than half of a small model's training step on CPU.
  """
  return seeded_mask(jax.random.bits(key, (2,), jnp.uint32), rate, shape)


def seeded_mask(seeds_2, rate: float, shape):
  """`dropout_mask` of two random words."""
  index = jnp.zeros((), jnp.uint32)
  for axis, size in enumerate(shape):
    index = index * jnp.uint32(size) + jax.lax.broadcasted_iota(
      jnp.uint32, shape, axis
    )
  bits = _mix(_mix(index ^ seeds_2[0]) + seeds_2[1])
  threshold = round(rate * 2**32)
  kept = 1.0 - threshold / 2**32
  return jnp.where(bits >= jnp.uint32(threshold), 1.0 / kept, 0.0)


class Dropout(nn.Module):
  """Dropout; needs the 'dropout' key when training at a rate above 0."""

  rate: float

  @nn.compact
  def __call__(self, x, train: bool):
    if not train or self.rate == 0:
      return x
    mask = dropout_mask(self.make_rng('dropout'), self.rate, x.shape)
    return x * mask.astype(x.dtype)


def split_heads(x, heads: int):
  """(..., D) to (..., N, E)."""
  return x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads)


def join_heads(x):
  """(..., N, E) to (..., D)."""
  return x.reshape(*x.shape[:-2], -1)


def sinusoids(length: int, width: int):
  """Sine and cosine position table (length, width), interleaved."""
  position = np.arange(length)[:, None]
  rate = np.exp(np.arange(0, width, 2) * -(math.log(10000.0) / width))
  table = np.zeros((length, width), np.float32)
  table[:, 0::2] = np.sin(position * rate)
  table[:, 1::2] = np.cos(position * rate)
  return table
