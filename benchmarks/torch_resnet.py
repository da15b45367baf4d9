"""A ResNet in torch with torchvision's geometry and names.

Stands in for torchvision where the authors' code imports it: another width
than 64 is possible, and torchvision need not be installed.
"""

from collections.abc import Callable

import torch
from torch import nn

from cmn_jax.models.resnet import RESNETS


def _conv(inputs, outputs, size, stride=1, dilation=1):
  pad = size // 2 * dilation
  return nn.Conv2d(inputs, outputs, size, stride, pad, dilation, bias=False)


class Block(nn.Module):
  """A residual block: two 3x3 convolutions, or 1x1, 3x3, 1x1."""

  def __init__(self, inputs, width, stride, expansion, dilation, norm):
    super().__init__()
    outputs = width * expansion
    if expansion == 1:
      layers = [(inputs, width, 3, stride), (width, width, 3, 1)]
    else:
      layers = [
        (inputs, width, 1, 1),
        (width, width, 3, stride, dilation),
        (width, outputs, 1, 1),
      ]
    self.depth = len(layers)
    for n, sizes in enumerate(layers, start=1):
      setattr(self, f'conv{n}', _conv(*sizes))
      setattr(self, f'bn{n}', norm(sizes[1]))
    self.downsample = None
    if stride != 1 or inputs != outputs:
      self.downsample = nn.Sequential(
        _conv(inputs, outputs, 1, stride), norm(outputs)
      )

  def forward(self, x):
    """Returns x plus what the convolutions add, rectified."""
    y = x
    for n in range(1, self.depth + 1):
      y = getattr(self, f'bn{n}')(getattr(self, f'conv{n}')(y))
      if n < self.depth:
        y = torch.relu(y)
    return torch.relu(
      y + (x if self.downsample is None else self.downsample(x))
    )


class TorchResNet(nn.Module):
  """Its children come in torchvision's order; the authors drop the last two."""

  def __init__(
    self,
    arch: str,
    width: int,
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    dilated: bool = False,
  ):
    """Random weights.

    Args:
      arch: a key of RESNETS.
      width: channels of the first stage.
      norm: gives a norm of so many channels.
      dilated: the last stage of bottlenecks keeps its map's size, as
        torchvision's replace_stride_with_dilation has it.
    """
    super().__init__()
    block, sizes = RESNETS[arch]
    self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
    self.bn1 = norm(width)
    self.relu = nn.ReLU()
    self.maxpool = nn.MaxPool2d(3, 2, padding=1)
    inputs = width
    for stage, size in enumerate(sizes):
      outputs = width * 2**stage
      widened = dilated and stage == 3
      blocks = []
      for n in range(size):
        stride = 2 if stage > 0 and n == 0 and not widened else 1
        dilation = 2 if n > 0 and widened else 1
        blocks.append(
          Block(inputs, outputs, stride, block.expansion, dilation, norm)
        )
        inputs = outputs * block.expansion
      setattr(self, f'layer{stage + 1}', nn.Sequential(*blocks))
    self.avgpool = nn.AdaptiveAvgPool2d(1)
    self.fc = nn.Linear(inputs, 1000)
