"""Depthwise convolutions that are fast on CPU too.

XLA's CPU compiler has only a slow loop for grouped convolutions, and a far
slower one for their gradients. There a depthwise convolution is a sum of
shifted products, which it turns into one loop over contiguous channels.
Elsewhere it is the compiler's own.
"""

import functools

import jax
import jax.numpy as jnp


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise_conv(x_BxHxWxC, kernel, stride: int):
  """Each channel convolved by itself, padded as TensorFlow's 'SAME'.

  Args:
    x_BxHxWxC: any floats.
    kernel: (size, size, 1, C), of x's type.
    stride: along both axes.

  Returns:
    (B, h, w, C) of h = ceil(H / stride) rows, w alike; of x's type.
  """
  return jax.lax.platform_dependent(
    x_BxHxWxC,
    kernel,
    cpu=functools.partial(shifted, stride=stride),
    default=functools.partial(plain, stride=stride),
  )


def plain(x_BxHxWxC, kernel, stride: int):
  """As `depthwise_conv`, by the compiler's grouped convolution."""
  return jax.lax.conv_general_dilated(
    x_BxHxWxC,
    kernel,
    window_strides=(stride, stride),
    padding='SAME',
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=x_BxHxWxC.shape[-1],
  )


def plain_gradients(x_BxHxWxC, kernel, dy_BxhxwxC, stride: int):
  """Gradients of x and kernel by differentiating `plain`."""
  _, pull = jax.vjp(functools.partial(plain, stride=stride), x_BxHxWxC, kernel)
  return pull(dy_BxhxwxC)


def shifted(x_BxHxWxC, kernel, stride: int):
  """As `depthwise_conv`, as a sum of shifted products in float32."""
  size, h, w = kernel.shape[0], *_sides(x_BxHxWxC, stride)
  x = _padded(x_BxHxWxC, size, stride).astype(jnp.float32)
  y = 0.0
  for i in range(size):
    rows = x[:, i : i + (h - 1) * stride + 1 : stride]
    for j in range(size):
      y += rows[:, :, j : j + (w - 1) * stride + 1 : stride] * kernel[i, j]
  return y.astype(x_BxHxWxC.dtype)


def shifted_gradients(x_BxHxWxC, kernel, dy_BxhxwxC, stride: int):
  """Gradients of x and kernel, as sums of shifted products too."""
  return (
    _gradient_of_films(x_BxHxWxC, kernel, dy_BxhxwxC, stride),
    _gradient_of_kernel(x_BxHxWxC, kernel, dy_BxhxwxC, stride),
  )


def _gradient_of_films(x_BxHxWxC, kernel, dy_BxhxwxC, stride: int):
  """The gradient of x, phase by phase.

  Of the padded film's rows those with one remainder by the stride, a phase,
  meet the same rows of the kernel; so do columns. Each pair of phases is a
  convolution of dy without stride.
  """
  size = kernel.shape[0]
  b, h, w, channels = dy_BxhxwxC.shape
  sides = x_BxHxWxC.shape[1:3]
  before, after = zip(*(_padding(n, size, stride) for n in sides), strict=True)
  tall, wide = (
    -(-(n + lo + hi) // stride)
    for n, lo, hi in zip(sides, before, after, strict=True)
  )
  reach = -(-size // stride) - 1  # Taps of a phase, but one.
  around = ((reach, max(tall - h, 0)), (reach, max(wide - w, 0)))
  dy = jnp.pad(dy_BxhxwxC.astype(jnp.float32), ((0, 0), *around, (0, 0)))

  def phase(row, column):
    total = jnp.zeros((b, tall, wide, channels), jnp.float32)
    for i in range(row, size, stride):
      top = reach - i // stride
      for j in range(column, size, stride):
        left = reach - j // stride
        part = dy[:, top : top + tall, left : left + wide]
        total += part * kernel[i, j]
    return total

  dx = jnp.stack(
    [
      jnp.stack([phase(row, column) for column in range(stride)], axis=3)
      for row in range(stride)
    ],
    axis=2,
  ).reshape(b, tall * stride, wide * stride, channels)
  top, left = before
  dx = dx[:, top : top + sides[0], left : left + sides[1]]
  return dx.astype(x_BxHxWxC.dtype)


def _gradient_of_kernel(x_BxHxWxC, kernel, dy_BxhxwxC, stride: int):
  """The gradient of the kernel, row after row of all films.

  What is added up, one (w, C) for each tap, stays in the processor's cache,
  and nothing is reduced but at the end: XLA's reductions of products of
  slices walk through memory channel by channel.
  """
  size = kernel.shape[0]
  b, h, w, channels = dy_BxhxwxC.shape
  x = _padded(x_BxHxWxC, size, stride)

  def row_of(array, film, row):
    start, extent = (film, row, 0, 0), (1, 1, *array.shape[2:])
    row = jax.lax.dynamic_slice(array, start, extent)[0, 0]
    return row.astype(jnp.float32)

  def add(step, totals):
    film, row = step // h, step % h
    dy_wxC = row_of(dy_BxhxwxC, film, row)
    added = []
    for i in range(size):
      x_WxC = row_of(x, film, row * stride + i)
      for j in range(size):
        part_wxC = x_WxC[j : j + (w - 1) * stride + 1 : stride]
        added.append(totals[i * size + j] + part_wxC * dy_wxC)
    return tuple(added)

  start = (jnp.zeros((w, channels), jnp.float32),) * size**2
  totals = jax.lax.fori_loop(0, b * h, add, start)
  dk = jnp.stack([jnp.sum(total, axis=0) for total in totals])
  return dk.reshape(kernel.shape).astype(kernel.dtype)


def _padding(side: int, size: int, stride: int) -> tuple[int, int]:
  """Zeros before and after a side; the odd one stands after."""
  total = max((-(-side // stride) - 1) * stride + size - side, 0)
  return total // 2, total - total // 2


def _padded(x_BxHxWxC, size: int, stride: int):
  around = (_padding(side, size, stride) for side in x_BxHxWxC.shape[1:3])
  return jnp.pad(x_BxHxWxC, ((0, 0), *around, (0, 0)))


def _sides(x_BxHxWxC, stride: int) -> tuple[int, int]:
  """Height and width of the result."""
  height, width = x_BxHxWxC.shape[1:3]
  return -(-height // stride), -(-width // stride)


def _forward(x_BxHxWxC, kernel, stride: int):
  return depthwise_conv(x_BxHxWxC, kernel, stride), (x_BxHxWxC, kernel)


def _backward(stride: int, kept, dy_BxhxwxC):
  return jax.lax.platform_dependent(
    *kept,
    dy_BxhxwxC,
    cpu=functools.partial(shifted_gradients, stride=stride),
    default=functools.partial(plain_gradients, stride=stride),
  )


depthwise_conv.defvjp(_forward, _backward)
