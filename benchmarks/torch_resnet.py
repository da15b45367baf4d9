"""A ResNet in torch with torchvision's geometry and names.

Stands in for torchvision where the authors' code imports it: another width
than 64 is possible, and torchvision need not be installed.
"""

import torch
from torch import nn

ARCHITECTURES = {
  'resnet18': (1, (2, 2, 2, 2)),
  'resnet34': (1, (3, 4, 6, 3)),
  'resnet50': (4, (3, 4, 6, 3)),
  'resnet101': (4, (3, 4, 23, 3)),
}


def _conv(inputs, outputs, size, stride=1):
  pad = size // 2
  return nn.Conv2d(inputs, outputs, size, stride, padding=pad, bias=False)


class Block(nn.Module):
  """A residual block: two 3x3 convolutions, or 1x1, 3x3, 1x1."""

  def __init__(self, inputs, width, stride, expansion):
    super().__init__()
    outputs = width * expansion
    if expansion == 1:
      layers = [(inputs, width, 3, stride), (width, width, 3, 1)]
    else:
      layers = [
        (inputs, width, 1, 1),
        (width, width, 3, stride),
        (width, outputs, 1, 1),
      ]
    self.depth = len(layers)
    for n, sizes in enumerate(layers, start=1):
      setattr(self, f'conv{n}', _conv(*sizes))
      setattr(self, f'bn{n}', nn.BatchNorm2d(sizes[1]))
    self.downsample = None
    if stride != 1 or inputs != outputs:
      self.downsample = nn.Sequential(
        _conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
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

  def __init__(self, arch: str, width: int):
    super().__init__()
    expansion, sizes = ARCHITECTURES[arch]
    self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
    self.bn1 = nn.BatchNorm2d(width)
    self.relu = nn.ReLU()
    self.maxpool = nn.MaxPool2d(3, 2, padding=1)
    inputs = width
    for stage, size in enumerate(sizes):
      outputs = width * 2**stage
      blocks = []
      for n in range(size):
        stride = 2 if stage > 0 and n == 0 else 1
        blocks.append(Block(inputs, outputs, stride, expansion))
        inputs = outputs * expansion
      setattr(self, f'layer{stage + 1}', nn.Sequential(*blocks))
    self.avgpool = nn.AdaptiveAvgPool2d(1)
    self.fc = nn.Linear(inputs, 1000)
