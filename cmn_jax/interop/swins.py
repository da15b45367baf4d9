"""Names of Swin-T: Microsoft's, which EKAGen shares, and timm's."""

from collections.abc import Iterable, Mapping

import numpy as np

from cmn_jax.interop.names import ConversionError, Row, layer_rows, norm_rows
from cmn_jax.models.swin import relative_places

SWINS = ('swin_t',)
_STAGES = (2, 2, 6, 2)
_PLACES = relative_places(7)
_LINEARS = {
  'attn/qkv': 'attn.qkv',
  'attn/proj': 'attn.proj',
  'fc1': 'mlp.fc1',
  'fc2': 'mlp.fc2',
}
_NORMS = {'norm1': 'norm1', 'norm2': 'norm2'}


def swin_rows(root: str = 'visual_encoder/') -> list[Row]:
  """The table of Swin-T without its head, as Microsoft names it.

  Args:
    root: where the encoder lies in our variables, with its last slash.
  """
  rows = [
    Row(f'params/{root}patches/kernel', 'patch_embed.proj.weight', 'conv'),
    Row(f'params/{root}patches/bias', 'patch_embed.proj.bias'),
    *norm_rows(f'params/{root}patches_norm', 'patch_embed.norm'),
  ]
  for stage, size in enumerate(_STAGES):
    for n in range(size):
      ours = f'{root}layer{stage + 1}_{n}'
      theirs = f'layers.{stage}.blocks.{n}'
      rows += layer_rows(f'params/{ours}', theirs, _LINEARS, _NORMS)
      table = f'{theirs}.attn.relative_position_bias_table'
      rows.append(Row(f'params/{ours}/attn/relative_bias', table))
    if stage < len(_STAGES) - 1:
      ours, theirs = f'{root}merging{stage + 1}', f'layers.{stage}.downsample'
      rows += norm_rows(f'params/{ours}/norm', f'{theirs}.norm')
      kernel = f'params/{ours}/reduction/kernel'
      rows.append(Row(kernel, f'{theirs}.reduction.weight', 'linear'))
  return rows + norm_rows(f'params/{root}norm', 'norm')


def swin_tensors(
  tensors: Mapping[str, np.ndarray], what: str
) -> tuple[dict[str, np.ndarray], list[str]]:
  """The state dict under Microsoft's names, and those that need no row.

  From version 0.9 on timm names a stage's merging after the stage that
  follows, and the head's layer 'fc'.

  Raises:
    ConversionError: the places of a window are numbered otherwise.
  """
  newer = 'layers.3.downsample.norm.weight' in tensors
  renamed = {}
  for name, array in tensors.items():
    parts = name.split('.')
    if newer and parts[0] == 'layers' and parts[2] == 'downsample':
      parts[1] = str(int(parts[1]) - 1)
    renamed['.'.join(parts).replace('head.fc.', 'head.')] = array
  places = [k for k in renamed if k.endswith('.relative_position_index')]
  _check_places(renamed, places, what)
  return renamed, [
    *places,
    *(k for k in renamed if k.endswith('.attn_mask')),
  ]


def place_buffers() -> dict[str, np.ndarray]:
  """The constants that EKAGen's file holds beside what is learned."""
  return {
    f'layers.{stage}.blocks.{n}.attn.relative_position_index': _PLACES
    for stage, size in enumerate(_STAGES)
    for n in range(size)
  }


def _check_places(
  tensors: Mapping[str, np.ndarray], names: Iterable[str], what: str
):
  for name in names:
    if not np.array_equal(tensors[name], _PLACES):
      raise ConversionError(
        f'{what} numbers the places of a window otherwise in {name}'
      )
