"""Names and pixel scales of ViT-B/16, timm's and Hugging Face's."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cmn_jax.interop.names import ConversionError, Row, layer_rows, norm_rows
from cmn_jax.models.images import IMAGENET_MEAN, IMAGENET_STD

VITS = ('vit_b16',)
_LAYERS = 12
_PROJECTIONS = ('query', 'key', 'value')
# Their names of our layers' parts; timm's are those after `_split_qkv`.
_TIMM = {
  'class_token': 'cls_token',
  'positions': 'pos_embed',
  'patches': 'patch_embed.proj',
  'norm': 'norm',
  'layer': 'blocks.{}',
  'query': 'attn.q',
  'key': 'attn.k',
  'value': 'attn.v',
  'attention_out': 'attn.proj',
  'norm1': 'norm1',
  'norm2': 'norm2',
  'in': 'mlp.fc1',
  'out': 'mlp.fc2',
}
_HUGGING_FACE = {
  'class_token': 'embeddings.cls_token',
  'positions': 'embeddings.position_embeddings',
  'patches': 'embeddings.patch_embeddings.projection',
  'norm': 'layernorm',
  'layer': 'encoder.layer.{}',
  'query': 'attention.attention.query',
  'key': 'attention.attention.key',
  'value': 'attention.attention.value',
  'attention_out': 'attention.output.dense',
  'norm1': 'layernorm_before',
  'norm2': 'layernorm_after',
  'in': 'intermediate.dense',
  'out': 'output.dense',
}
# What classifies, beside the encoder.
_IGNORED = ('head.', 'fc_norm.', 'classifier.', 'pooler.')


def vit_tensors(
  tensors: Mapping[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], list[Row], list[str]]:
  """The state dict in the form of its table, the table, and what it ignores.

  Names may begin with 'vit.', as Hugging Face's classifiers have them.
  """
  tensors = {k.removeprefix('vit.'): v for k, v in tensors.items()}
  ignored = [k for k in tensors if k.startswith(_IGNORED)]
  hugging_face = any(k.startswith('embeddings.') for k in tensors)
  names = _HUGGING_FACE if hugging_face else _TIMM
  tensors = _split_qkv(tensors)
  for part in ('class_token', 'positions'):  # (1, 1, D) and (1, P, D) there.
    array = tensors.get(names[part])
    if np.ndim(array) == 3 and array.shape[0] == 1 and array.size:
      tensors[names[part]] = array[0, 0] if part == 'class_token' else array[0]
  return tensors, _rows(names), ignored


def _rows(names: Mapping[str, str]) -> list[Row]:
  rows = [
    Row('params/class_token', names['class_token']),
    Row('params/positions', names['positions']),
    Row('params/patches/kernel', f'{names["patches"]}.weight', 'conv'),
    Row('params/patches/bias', f'{names["patches"]}.bias'),
    *norm_rows('params/norm', names['norm']),
  ]
  linears = {f'self_attention/{part}': names[part] for part in _PROJECTIONS}
  linears['self_attention/out'] = names['attention_out']
  linears |= {part: names[part] for part in ('in', 'out')}
  norms = {part: names[part] for part in ('norm1', 'norm2')}
  for index in range(_LAYERS):
    rows += layer_rows(
      f'params/layer_{index}', names['layer'].format(index), linears, norms
    )
  return rows


def _split_qkv(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """timm's one layer of queries, keys and values as three."""
  split = {}
  for name, array in tensors.items():
    if '.attn.qkv.' not in name or array.ndim == 0 or array.shape[0] % 3:
      split[name] = array
      continue
    for part, third in zip('qkv', np.split(array, 3), strict=True):
      split[name.replace('.attn.qkv.', f'.attn.{part}.')] = third
  return split


def take_our_pixels(params: dict, scale: tuple, source: str) -> dict:
  """`params` of a ViT for films that are normalised as ours are.

  Pretrained ViTs want pixels minus their mean over their deviation, often 0.5
  and 0.5, where the model's films have ImageNet's. Patches have no padding, so
  that the patch embedding can make up for it exactly.

  Args:
    params: of the ViT.
    scale: mean and deviation of each channel that it was trained with.
    source: for messages.
  """
  mean, std = (np.array(values, np.float64) for values in scale)
  if mean.shape != (3,) or std.shape != (3,) or not np.all(std > 0):
    raise ConversionError(
      f'the mean and deviation beside {source} are {scale}: three numbers each '
      'were expected'
    )
  kernel = params['patches']['kernel'].astype(np.float64)
  gain = np.array(IMAGENET_STD) / std
  shift = (np.array(IMAGENET_MEAN) - mean) / std
  bias = params['patches']['bias'] + np.einsum('hwcd,c->d', kernel, shift)
  kernel = kernel * gain[:, None]
  patches = {'kernel': kernel, 'bias': bias}
  patches = {k: v.astype(np.float32) for k, v in patches.items()}
  return {**params, 'patches': patches}


def read_pixel_scale(weights: Path) -> tuple:
  """Mean and deviation of the pixels that a ViT's file was trained with.

  They stand beside the weights: in timm's config.json, or in Hugging Face's
  preprocessor_config.json.
  """
  for name, keys in (
    ('preprocessor_config.json', ('image_mean', 'image_std')),
    ('config.json', ('mean', 'std')),
  ):
    try:
      content = json.loads(weights.with_name(name).read_bytes())
      content = content.get('pretrained_cfg', content)
      return tuple(tuple(content[key]) for key in keys)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
      continue
  raise ConversionError(
    f'{weights} has neither config.json (timm) nor preprocessor_config.json '
    '(Hugging Face) beside it, which say how its pixels were normalised: bring '
    'the one that its page on the hub has'
  )
