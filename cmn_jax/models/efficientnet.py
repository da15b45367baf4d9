"""EfficientNet-Lite visual encoder with TensorFlow's geometry.

Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural
networks" (2019), in the variant Lite of TensorFlow's models (2020): ReLU6, no
squeeze and excitation, a stem of fixed width. Stochastic depth and what comes
after the last stage (a 1x1 convolution, pooling, the classifier) are left out.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from cmn_jax.models.depthwise import depthwise_conv
from cmn_jax.models.images import IMAGENET_MEAN, IMAGENET_STD
from cmn_jax.models.normalization import BatchNorm
from cmn_jax.models.resnet import Conv, computed_once

# What the published weights subtract from pixels of 0 to 255 and divide by.
PIXEL_MEAN, PIXEL_STD = 127.0, 128.0
# The published widths are those of this `width`, as a ResNet's are.
PUBLISHED_WIDTH = 64
_STEM = 32
_EPSILON = 1e-3

_conv_init = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


class Stage(NamedTuple):
  """Blocks of one width.

  Attributes:
    blocks: how many.
    size: of the depthwise kernels.
    stride: of the first block.
    expansion: times by which a block widens its input.
    features: channels given on, at the published width.
  """

  blocks: int
  size: int
  stride: int
  expansion: int
  features: int


LITE0 = (
  Stage(1, 3, 1, 1, 16),
  Stage(2, 3, 2, 6, 24),
  Stage(2, 5, 2, 6, 40),
  Stage(3, 3, 2, 6, 80),
  Stage(3, 5, 1, 6, 112),
  Stage(4, 5, 2, 6, 192),
  Stage(1, 3, 1, 6, 320),
)


class Block(nn.Module):
  """Inverted bottleneck: wider, a depthwise convolution, narrow, a shortcut.

  Attributes:
    size: of the depthwise kernel.
    stride: of the depthwise convolution.
    expansion: times by which the input is widened; 1 leaves that step out.
    features: channels given on.
    axis_name: mapped axis over which batch statistics are shared, or None.
    dtype: type of the convolutions' arithmetic.
  """

  size: int
  stride: int
  expansion: int
  features: int
  axis_name: str | None
  dtype: Any

  @nn.compact
  def __call__(self, x, mask_BxI, train: bool):
    def norm(name, y):
      layer = BatchNorm(self.axis_name, epsilon=_EPSILON, name=name)
      return layer(y, mask_BxI, train)

    y, wide = x, x.shape[-1] * self.expansion
    if self.expansion != 1:
      y = Conv(wide, 1, 1, self.dtype, name='expand')(y)
      y = nn.relu6(norm('expand_bn', y))
    # Of a depthwise convolution fan_out is a channel's own.
    start = nn.initializers.normal((2 / self.size**2) ** 0.5)
    kernel = self.param('depthwise', start, (self.size, self.size, 1, wide))
    y = depthwise_conv(
      y.astype(self.dtype), kernel.astype(self.dtype), self.stride
    )
    y = nn.relu6(norm('depthwise_bn', y))
    y = Conv(self.features, 1, 1, self.dtype, name='project')(y)
    y = norm('project_bn', y)
    if x.shape == y.shape:
      y = x + y
    return computed_once(y, mask_BxI)


class EfficientNet(nn.Module):
  """Films to a map of features, 32 times smaller.

  The map is the last stage's, 320 channels, and not the 1280 that ImageNet's
  classifier reads: on IU X-Ray a linear probe of the former's averages finds
  as much (on validation a macro AUROC of .84 and .83) at a quarter the size.

  Attributes:
    stages: of blocks, one after the other.
    width: 64 is as published, another scales the channels of the stages in
      proportion; the paper's width coefficient is width / 64.
    axis_name: mapped axis over which batch statistics are shared, or None.
    dtype: type of the convolutions' arithmetic.
    remat: recompute each block in the backward pass instead of storing it.
  """

  stages: Sequence[Stage]
  width: int
  axis_name: str | None = None
  dtype: Any = jnp.float32
  remat: bool = False

  @nn.compact
  def __call__(
    self, images_BxIxHxWxC, mask_BxI, train: bool, stages: bool = False
  ):
    """Returns feature maps, (B, I, h, w, F), of films as all encoders take.

    With `stages`, those of all stages, a list.
    """
    maps = []
    b, i = images_BxIxHxWxC.shape[:2]
    x = images_BxIxHxWxC.reshape(b * i, *images_BxIxHxWxC.shape[2:])
    x = nn.Conv(
      _STEM,
      (3, 3),
      (2, 2),
      padding='SAME',
      use_bias=False,
      dtype=self.dtype,
      kernel_init=_conv_init,
      name='stem',
    )(take_pixels(x))
    norm = BatchNorm(self.axis_name, epsilon=_EPSILON, name='stem_bn')
    x = nn.relu6(norm(x, mask_BxI, train))
    block, index = Block, 0
    if self.remat:
      block = nn.remat(block, static_argnums=(3,))
    for stage in self.stages:
      for place in range(stage.blocks):
        x = block(
          size=stage.size,
          stride=stage.stride if place == 0 else 1,
          expansion=stage.expansion,
          features=scaled(stage.features, self.width),
          axis_name=self.axis_name,
          dtype=self.dtype,
          name=f'block_{index}',
        )(x, mask_BxI, train)
        index += 1
      maps.append(x.reshape(b, i, *x.shape[1:]))
    return maps if stages else maps[-1]


def take_pixels(images_BxHxWxC):
  """Films of ImageNet's mean and deviation to PIXEL_MEAN's and PIXEL_STD's.

  The kernel of a convolution with padding cannot make up for another mean:
  the zeros around a film would be another grey.
  """
  mean = jnp.array(IMAGENET_MEAN) * 255.0
  std = jnp.array(IMAGENET_STD) * 255.0
  x = images_BxHxWxC.astype(jnp.float32)
  return x * (std / PIXEL_STD) + (mean - PIXEL_MEAN) / PIXEL_STD


def scaled(features: int, width: int) -> int:
  """Channels in proportion to the width: the nearest multiple of 8.

  At least 8, and never less than 0.9 of the proportion, as in TensorFlow's.
  """
  exact = features * width / PUBLISHED_WIDTH
  nearest = max(8, int(exact + 4) // 8 * 8)
  return nearest + 8 if nearest < 0.9 * exact else nearest


EFFICIENTNETS = {'efficientnet_lite0': LITE0}
