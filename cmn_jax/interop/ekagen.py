"""The state dict of EKAGen's captioner (hnjzbss/EKAGen) and our variables."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from cmn_jax.interop.names import (
  ConversionError,
  Row,
  check_fit,
  layer_rows,
  linear_rows,
  norm_rows,
  shapes_of,
  to_state_dict,
  to_variables,
)
from cmn_jax.interop.resnets import TORCHVISION, resnet_rows
from cmn_jax.models.ekagen import SPECIAL, Captioner, CaptionerShape
from cmn_jax.models.resnet import RESNETS

_PROJECTIONS = ('query', 'key', 'value')
_BODY = 'backbone.0.body'
_WORDS = 'mlp.layers.2.weight'
# Fields of a shape that are ours alone.
_OURS = {
  'attend_knowledge': 'attention to knowledge',
  'placed_tokens': 'places in the tokens of films',
}


def captioner_rows(shape: CaptionerShape) -> list[Row]:
  """The table of all arrays of a captioner, its packed matrices split."""
  parts = {name: f'{_BODY}.{name}' for name in TORCHVISION}
  rows = resnet_rows(shape.encoder, parts)
  rows += linear_rows('params/patch_embed', 'input_proj')
  root = 'transformer.embeddings'
  for ours, theirs in (('word_embed', 'word'), ('positions', 'position')):
    rows.append(Row(f'params/{ours}', f'{root}.{theirs}_embeddings.weight'))
  rows += norm_rows('params/word_norm', f'{root}.LayerNorm')
  attention = {'self_attention': 'self_attn'}
  for n in range(shape.layers):
    rows += _layer_rows('encoder', n, attention)
    rows += _layer_rows(
      'decoder', n, {**attention, 'cross_attention': 'multihead_attn'}
    )
    if shape.knowledge:
      for ours, theirs in (
        ('fuse_text', 'fc1'),
        ('fuse_knowledge', 'fc2'),
        ('fuse', 'fc3'),
      ):
        rows += linear_rows(
          f'params/decoder_layers_{n}/{ours}',
          f'transformer.decoder.{theirs}.{n}',
        )
  for stack in ('encoder', 'decoder'):
    rows += norm_rows(f'params/{stack}_norm', f'transformer.{stack}.norm')
  for n in range(3):
    rows += linear_rows(f'params/logits_{n}', f'mlp.layers.{n}')
  return rows


def _layer_rows(stack: str, n: int, attentions: dict[str, str]) -> list[Row]:
  linears = {'feed_forward/in': 'linear1', 'feed_forward/out': 'linear2'}
  for here, there in attentions.items():
    linears |= {f'{here}/{name}': f'{there}.{name}' for name in _PROJECTIONS}
    linears[f'{here}/out'] = f'{there}.out_proj'
  norms = {f'norms_{i}': f'norm{i + 1}' for i in range(len(attentions) + 1)}
  return layer_rows(
    f'params/{stack}_layers_{n}',
    f'transformer.{stack}.layers.{n}',
    linears,
    norms,
  )


def split_packed(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Their state dict with attention's packed matrices as three, and the 1x1
  convolution as a matrix: the form that `captioner_rows` names."""
  split = {}
  for name, array in tensors.items():
    root, _, kind = name.rpartition('.in_proj_')
    if root and array.ndim and array.shape[0] % 3 == 0:
      parts = zip(_PROJECTIONS, np.split(array, 3), strict=True)
      split.update({f'{root}.{part}.{kind}': third for part, third in parts})
    elif name == 'input_proj.weight' and array.shape[2:] == (1, 1):
      split[name] = array[:, :, 0, 0]
    else:
      split[name] = array
  return split


def join_packed(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """The way back from `split_packed`."""
  joined = {}
  for name, array in tensors.items():
    root, part, kind = name.rsplit('.', 2) if name.count('.') > 1 else 3 * ('',)
    if part == 'query':
      thirds = [tensors[f'{root}.{p}.{kind}'] for p in _PROJECTIONS]
      joined[f'{root}.in_proj_{kind}'] = np.concatenate(thirds)
    elif name == 'input_proj.weight':
      joined[name] = array[:, :, None, None]
    elif part not in _PROJECTIONS:
      joined[name] = array
  return joined


def captioner_variables(model: Captioner) -> dict:
  """The captioner's variables, abstract."""
  s = model.shape
  knowledge = jnp.zeros((1, s.max_length, s.width))
  return jax.eval_shape(
    lambda: model.init(
      jax.random.key(0),
      jnp.zeros((1, 1, 64, 64, 3)),
      jnp.zeros((1, s.max_length + 1), jnp.int32),
      jnp.ones(1, bool),
      False,
      knowledge_BxTxD=knowledge if s.knowledge else None,
    )
  )


def from_captioner(
  model: Captioner, tensors: Mapping[str, np.ndarray], what: str
) -> dict:
  """Our variables of their captioner's state dict ('model' in the file).

  A model without knowledge leaves their fusion out.

  Raises:
    ConversionError: lists all that is missing, surplus or mis-shaped.
  """
  _check_shape(model.shape)
  tensors = {k.removeprefix('module.'): v for k, v in tensors.items()}
  words = tensors.get(_WORDS)
  if np.ndim(words) and len(words) != model.shape.vocabulary:
    found, want = len(words), model.shape.vocabulary
    raise ConversionError(
      f'{what} has {found} logits, the annotation gives {want} '
      f'({want - SPECIAL} words and {SPECIAL} ids that are none): give the '
      'vocabulary that it was trained with (--vocabulary)'
    )
  tensors = split_packed(tensors)
  rows = captioner_rows(model.shape)
  ignored = [] if model.shape.knowledge else _fusion_names(tensors)
  shapes = shapes_of(captioner_variables(model))
  check_fit(rows, shapes, tensors, ignored, what)
  return to_variables(rows, tensors)


def to_captioner(shape: CaptionerShape, variables) -> dict[str, np.ndarray]:
  """Their captioner's state dict of our variables.

  Raises:
    ConversionError: their code has no such model.
  """
  _check_shape(shape)
  if not shape.knowledge:
    raise ConversionError(
      "EKAGen's captioner has knowledge, and this model was trained without "
      "(ekagen.knowledge='')"
    )
  return join_packed(to_state_dict(captioner_rows(shape), variables))


def _fusion_names(tensors) -> list[str]:
  root = 'transformer.decoder.fc'
  return [name for name in tensors if name.startswith(root)]


def _check_shape(shape: CaptionerShape):
  if shape.encoder not in RESNETS:
    raise ConversionError(
      f'EKAGen has ResNets alone, not model.encoder={shape.encoder!r}'
    )
  for name, what in _OURS.items():
    if getattr(shape, name):
      raise ConversionError(f'EKAGen has no {what} (ekagen.{name})')
