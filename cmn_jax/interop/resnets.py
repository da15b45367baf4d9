"""Names of torchvision's ResNets, which timm's share."""

from collections.abc import Mapping

from cmn_jax.interop.names import Row
from cmn_jax.models.resnet import RESNETS

TORCHVISION = {
  name: name
  for name in ('conv1', 'bn1', 'layer1', 'layer2', 'layer3', 'layer4')
}
# The authors keep the network as a Sequential of its children; those between
# hold no arrays.
R2GENCMN = {
  'conv1': 'visual_extractor.model.0',
  'bn1': 'visual_extractor.model.1',
  'layer1': 'visual_extractor.model.4',
  'layer2': 'visual_extractor.model.5',
  'layer3': 'visual_extractor.model.6',
  'layer4': 'visual_extractor.model.7',
}


def resnet_rows(
  arch: str, parts: Mapping[str, str], root: str = 'visual_encoder/'
) -> list[Row]:
  """The table of one ResNet.

  Args:
    arch: a key of RESNETS.
    parts: how the state dict calls the stem and the four stages.
    root: where the encoder lies in our variables, with its last slash.
  """
  block, stage_sizes = RESNETS[arch]
  convolutions = 2 if block.expansion == 1 else 3

  def conv(ours, theirs):
    path = f'params/{root}{ours}/kernel'
    return [Row(path, f'{theirs}.weight', 'conv')]

  def norm(ours, theirs):
    params, stats = f'params/{root}{ours}', f'batch_stats/{root}{ours}'
    return [
      Row(f'{params}/scale', f'{theirs}.weight'),
      Row(f'{params}/bias', f'{theirs}.bias'),
      Row(f'{stats}/mean', f'{theirs}.running_mean'),
      Row(f'{stats}/var', f'{theirs}.running_var'),
    ]

  rows = conv('conv1', parts['conv1']) + norm('bn1', parts['bn1'])
  for stage, size in enumerate(stage_sizes, start=1):
    for index in range(size):
      ours, theirs = (
        f'layer{stage}_{index}',
        f'{parts[f"layer{stage}"]}.{index}',
      )
      for n in range(1, convolutions + 1):
        rows += conv(f'{ours}/conv{n}', f'{theirs}.conv{n}')
        rows += norm(f'{ours}/bn{n}', f'{theirs}.bn{n}')
      if index == 0 and (stage > 1 or block.expansion > 1):
        rows += conv(f'{ours}/downsample_conv', f'{theirs}.downsample.0')
        rows += norm(f'{ours}/downsample_bn', f'{theirs}.downsample.1')
  return rows


def batch_counters(rows: list[Row]) -> list[str]:
  """torch's counters of batches, one for each norm; nothing reads them."""
  mean = '.running_mean'
  return [
    row.theirs.removesuffix(mean) + '.num_batches_tracked'
    for row in rows
    if row.theirs.endswith(mean)
  ]
