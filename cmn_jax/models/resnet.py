"""ResNet visual encoders with torchvision's geometry.

He et al., "Deep residual learning for image recognition" (2015), in the
variant that torchvision ships: the stride of a bottleneck sits in its 3x3
convolution, and paddings are symmetric. The last pooling and the classifier
are left out.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cmn_jax.models.normalization import BatchNorm

# torchvision draws convolution weights from N(0, 2 / fan_out).
_conv_init = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


def computed_once(x, mask_BxI):
  """x, which XLA's CPU compiler then computes once.

  It fuses a chain of residual blocks into whatever reads one of them, so that
  each later block computes the chain anew. A condition that holds always, but
  not to its knowledge, ends the chain. Other devices see nothing of it.
  """

  def kept(x, mask_BxI):
    return jax.lax.cond(jnp.sum(mask_BxI) >= 0, lambda x: x, jnp.zeros_like, x)

  return jax.lax.platform_dependent(
    x, mask_BxI, cpu=kept, default=lambda x, _: x
  )


def _product(x_BxHxWxC, kernel_CxF):
  """x @ kernel. On CPU of two axes: XLA transposes more for the gradient."""

  def rows(x, kernel):
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], -1)

  return jax.lax.platform_dependent(
    x_BxHxWxC, kernel_CxF, cpu=rows, default=jnp.matmul
  )


class Conv(nn.Module):
  """A convolution without bias, padded symmetrically as torch pads.

  A 1x1 convolution is written as a matrix product: the same arithmetic, and
  on CPU XLA's backward pass of it is several times faster.
  """

  features: int
  size: int
  stride: int = 1
  dtype: Any = jnp.float32
  dilation: int = 1

  @nn.compact
  def __call__(self, x_BxHxWxC):
    shape = (self.size, self.size, x_BxHxWxC.shape[-1], self.features)
    kernel = self.param('kernel', _conv_init, shape).astype(self.dtype)
    x_BxHxWxC = x_BxHxWxC.astype(self.dtype)
    if self.size == 1:
      x_BxHxWxC = x_BxHxWxC[:, :: self.stride, :: self.stride]
      return _product(x_BxHxWxC, kernel[0, 0])
    pad = self.dilation * (self.size - 1) // 2
    return jax.lax.conv_general_dilated(
      x_BxHxWxC,
      kernel,
      window_strides=(self.stride, self.stride),
      padding=((pad, pad), (pad, pad)),
      rhs_dilation=(self.dilation, self.dilation),
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )


class BasicBlock(nn.Module):
  """Two 3x3 convolutions and a shortcut (ResNet-18 and -34).

  Attributes:
    features: of all convolutions, but of a bottleneck's last.
    stride: of the shortcut and of one 3x3 convolution.
    axis_name: see `ResNet`, as for `dtype` and `frozen`.
    dtype: likewise.
    dilation: of the 3x3 convolutions.
    frozen: likewise.
  """

  features: int
  stride: int
  axis_name: str | None
  dtype: Any
  dilation: int = 1
  frozen: bool = False
  expansion = 1

  @property
  def convolutions(self) -> tuple[tuple[int, int, int], ...]:
    """(features, size, stride) of each."""
    return (self.features, 3, self.stride), (self.features, 3, 1)

  @nn.compact
  def __call__(self, x, mask_BxI, train: bool):
    def norm(y, name):
      layer = BatchNorm(self.axis_name, frozen=self.frozen, name=name)
      return layer(y, mask_BxI, train)

    y = x
    for n, (features, size, stride) in enumerate(self.convolutions, 1):
      y = y if n == 1 else nn.relu(y)
      dilation = 1 if size == 1 else self.dilation
      y = Conv(features, size, stride, self.dtype, dilation, name=f'conv{n}')(y)
      y = norm(y, f'bn{n}')
    if x.shape != y.shape:
      x = Conv(y.shape[-1], 1, self.stride, self.dtype, name='downsample_conv')(
        x
      )
      x = norm(x, 'downsample_bn')
    return computed_once(nn.relu(x + y), mask_BxI)


class Bottleneck(BasicBlock):
  """1x1, 3x3 and 1x1 convolutions and a shortcut (ResNet-50 and -101)."""

  expansion = 4

  @property
  def convolutions(self) -> tuple[tuple[int, int, int], ...]:
    """(features, size, stride) of each."""
    inner, out = self.features, self.features * self.expansion
    return (inner, 1, 1), (inner, 3, self.stride), (out, 1, 1)


class ResNet(nn.Module):
  """Films to a map of features, 32 times smaller, or 16 if dilated.

  Attributes:
    block: BasicBlock or Bottleneck.
    stage_sizes: blocks in each of the four stages.
    width: channels of the first stage; torchvision's is 64.
    axis_name: mapped axis over which batch statistics are shared, or None.
    dtype: type of the convolutions' arithmetic.
    remat: recompute each block in the backward pass instead of storing it.
    dilated: the last stage keeps its map's size; its blocks but the first look
      two places far (torchvision's `replace_stride_with_dilation`).
    frozen: norms are constants, and so are the stem and the first stage: no
      gradient comes to them, whatever `train` says.
  """

  block: type[nn.Module]
  stage_sizes: Sequence[int]
  width: int
  axis_name: str | None = None
  dtype: Any = jnp.float32
  remat: bool = False
  dilated: bool = False
  frozen: bool = False

  @nn.compact
  def __call__(self, images_BxIxHxWxC, mask_BxI, train: bool):
    """Returns feature maps, (B, I, h, w, F)."""
    b, i = images_BxIxHxWxC.shape[:2]
    x = images_BxIxHxWxC.reshape(b * i, *images_BxIxHxWxC.shape[2:])
    x = Conv(self.width, 7, 2, self.dtype, name='conv1')(x)
    norm = BatchNorm(self.axis_name, frozen=self.frozen, name='bn1')
    x = nn.relu(norm(x, mask_BxI, train))
    x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
    block = self.block
    if self.remat:
      block = nn.remat(block, static_argnums=(3,))
    for stage, size in enumerate(self.stage_sizes):
      dilated = self.dilated and stage == len(self.stage_sizes) - 1
      for index in range(size):
        x = block(
          features=self.width * 2**stage,
          stride=2 if stage > 0 and index == 0 and not dilated else 1,
          axis_name=self.axis_name,
          dtype=self.dtype,
          # The first block looks one place far, as in torchvision.
          dilation=2 if dilated and index > 0 else 1,
          frozen=self.frozen,
          name=f'layer{stage + 1}_{index}',
        )(x, mask_BxI, train)
      if self.frozen and stage == 0:
        x = jax.lax.stop_gradient(x)
    return x.reshape(b, i, *x.shape[1:])


RESNETS = {
  'resnet18': (BasicBlock, (2, 2, 2, 2)),
  'resnet34': (BasicBlock, (3, 4, 6, 3)),
  'resnet50': (Bottleneck, (3, 4, 6, 3)),
  'resnet101': (Bottleneck, (3, 4, 23, 3)),
}
