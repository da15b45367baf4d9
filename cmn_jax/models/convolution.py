"""Convolution and max-pooling whose gradients are fast on CPU too.

XLA's CPU backend has slow programs for the gradient of a convolution's weights
and for that of a max-pooling. Both are given another formulation there, which
is chosen when a program is lowered for a platform: TPU and GPU keep XLA's own.
"""

import functools

import jax
import jax.numpy as jnp

_DIMENSIONS = ('NHWC', 'HWIO', 'NHWC')
_POOL, _POOL_STRIDE, _POOL_PAD = 3, 2, 1


def _convolve(x_BxHxWxC, kernel, stride: int):
  pad = (kernel.shape[0] - 1) // 2
  return jax.lax.conv_general_dilated(
    x_BxHxWxC,
    kernel,
    window_strides=(stride, stride),
    padding=((pad, pad), (pad, pad)),
    dimension_numbers=_DIMENSIONS,
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x_BxHxWxC, kernel, stride: int):
  """A convolution padded symmetrically, as torch pads.

  Args:
    x_BxHxWxC: features.
    kernel: (size, size, channels in, channels out), of an odd size.
    stride: in both directions.
  """
  return _convolve(x_BxHxWxC, kernel, stride)


def _convolve_forward(x, kernel, stride):
  return _convolve(x, kernel, stride), (x, kernel)


def _convolve_backward(stride, kept, dy):
  x, kernel = kept
  _, back = jax.vjp(lambda x: _convolve(x, kernel, stride), x)
  dkernel = jax.lax.platform_dependent(
    x,
    dy,
    cpu=functools.partial(_kernel_gradient, size=len(kernel), stride=stride),
    default=lambda x, dy: jax.vjp(
      lambda kernel: _convolve(x, kernel, stride), kernel
    )[1](dy)[0],
  )
  return *back(dy), dkernel


convolve.defvjp(_convolve_forward, _convolve_backward)


def _kernel_gradient(x_BxHxWxC, dy_BxHxWxC, size: int, stride: int):
  """The gradient of the weights as matrix products, a kernel row at a time."""
  pad = (size - 1) // 2
  x = jnp.pad(x_BxHxWxC, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
  rows = []
  for row in range(size):
    shifted = [
      _window(x, row, column, dy_BxHxWxC.shape, stride)
      for column in range(size)
    ]
    # (B, H, W, size * C) against (B, H, W, channels out).
    rows.append(
      jnp.einsum('bhwi,bhwo->io', jnp.concatenate(shifted, -1), dy_BxHxWxC)
    )
  shape = (size, size, x_BxHxWxC.shape[-1], dy_BxHxWxC.shape[-1])
  return jnp.stack(rows).reshape(shape)


def _window(x, row: int, column: int, shape, stride: int):
  """What one element of the kernel meets, of the output's height and width."""
  height, width = shape[1:3]
  return x[
    :,
    row : row + stride * (height - 1) + 1 : stride,
    column : column + stride * (width - 1) + 1 : stride,
  ]


def max_pool(x_BxHxWxC):
  """The largest of 3 x 3 at stride 2, padded by 1."""
  if x_BxHxWxC.shape[1] % 2 or x_BxHxWxC.shape[2] % 2:
    return _pool_by_window(x_BxHxWxC)
  return jax.lax.platform_dependent(
    x_BxHxWxC, cpu=_pool_by_slices, default=_pool_by_window
  )


def _pool_by_window(x_BxHxWxC):
  pad = (_POOL_PAD, _POOL_PAD)
  return jax.lax.reduce_window(
    x_BxHxWxC,
    -jnp.inf,
    jax.lax.max,
    (1, _POOL, _POOL, 1),
    (1, _POOL_STRIDE, _POOL_STRIDE, 1),
    ((0, 0), pad, pad, (0, 0)),
  )


@jax.custom_vjp
def _pool_by_slices(x_BxHxWxC):
  return _pool_forward(x_BxHxWxC)[0]


def _pool_forward(x_BxHxWxC):
  """Also says which of the nine was the largest, the first one on ties.

  Height and width are even.
  """
  b, h, w, c = x_BxHxWxC.shape
  pad = ((0, 0), (_POOL_PAD, _POOL_PAD), (_POOL_PAD, _POOL_PAD), (0, 0))
  x = jnp.pad(x_BxHxWxC, pad, constant_values=-jnp.inf)
  shape = (b, h // 2, w // 2, c)
  best, where = _window(x, 0, 0, shape, _POOL_STRIDE), 0
  for n in range(1, _POOL**2):
    other = _window(x, *divmod(n, _POOL), shape, _POOL_STRIDE)
    where = jnp.where(other > best, jnp.uint8(n), where)
    best = jnp.maximum(best, other)
  return best, where


def _pool_backward(where, dy):
  """Sends each gradient to its largest; (B, h, w, C) to (B, 2h, 2w, C).

  An even row was seen by one row of windows, as their middle; an odd one by
  two, as the last of one and the first of the next. Columns likewise.
  """
  b, h, w, c = dy.shape
  # One more row and column of windows, which do not exist, after the last.
  dy = jnp.pad(dy, ((0, 0), (0, 1), (0, 1), (0, 0)))
  where = jnp.pad(where, ((0, 0), (0, 1), (0, 1), (0, 0)))
  seen = {0: ((1, 0),), 1: ((2, 0), (0, 1))}

  def phase(odd_row: int, odd_column: int):
    total = 0.0
    for row, down in seen[odd_row]:
      for column, right in seen[odd_column]:
        part = (slice(None), slice(down, down + h), slice(right, right + w))
        hit = where[part] == row * _POOL + column
        total += jnp.where(hit, dy[part], 0)
    return total

  dx = jnp.stack(
    [jnp.stack([phase(i, 0), phase(i, 1)], axis=3) for i in (0, 1)], axis=2
  )
  return (dx.reshape(b, 2 * h, 2 * w, c),)


_pool_by_slices.defvjp(_pool_forward, _pool_backward)
