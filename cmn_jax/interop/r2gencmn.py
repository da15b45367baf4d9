"""R2GenCMN's state dict (zhjohnchan/R2GenCMN) and our variables."""

from collections.abc import Mapping

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
from cmn_jax.interop.resnets import R2GENCMN, batch_counters, resnet_rows
from cmn_jax.models.config import ModelConfig
from cmn_jax.models.layers import sinusoids
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.models.resnet import RESNETS
from cmn_jax.training.state import study_batch, variable_shapes

_ROOT = 'encoder_decoder'
# Their tables of sines and cosines, (1, POSITIONS, D): buffers, not learned.
POSITION_NAMES = (
  f'{_ROOT}.model.src_embed.0.pe',
  f'{_ROOT}.model.tgt_embed.1.pe',
)
POSITIONS = 5000
_LOGITS = f'{_ROOT}.logit.weight'
# torch computes the angles in float32, which at position 5000 costs this much.
_POSITION_TOLERANCE = 1e-3
_NORM = ('a_2', 'b_2')  # names of a layer norm's scale and bias
_PROJECTIONS = ('query', 'key', 'value', 'out')


def r2gencmn_rows(config: ModelConfig) -> list[Row]:
  """The table of all arrays of the authors' model."""
  rows = resnet_rows(config.encoder, R2GENCMN)
  rows += linear_rows('params/patch_embed', f'{_ROOT}.att_embed.0')
  rows.append(Row('params/memory', f'{_ROOT}.memory_matrix'))
  for n, name in enumerate(_PROJECTIONS):
    rows += linear_rows(
      f'params/memory_query/{name}',
      f'{_ROOT}.cmn.linears.{n}',
      f'{_ROOT}.model.cmn.linears.{n}',
    )
  embedding = f'{_ROOT}.model.tgt_embed.0.lut.weight'
  rows.append(Row('params/word_embed', embedding))
  encoder = {'self_attention': 'self_attn'}
  decoder = {'self_attention': 'self_attn', 'cross_attention': 'src_attn'}
  for layer in range(config.layers):
    rows += _layer_rows('encoder', layer, encoder)
    rows += _layer_rows('decoder', layer, decoder)
  for stack in ('encoder', 'decoder'):
    rows += norm_rows(
      f'params/{stack}_norm', f'{_ROOT}.model.{stack}.norm', _NORM
    )
  return rows + linear_rows('params/logits', f'{_ROOT}.logit')


def _layer_rows(stack: str, n: int, attentions: dict[str, str]) -> list[Row]:
  linears = {
    'feed_forward/in': 'feed_forward.w_1',
    'feed_forward/out': 'feed_forward.w_2',
  }
  for here, there in attentions.items():
    for i, name in enumerate(_PROJECTIONS):
      linears[f'{here}/{name}'] = f'{there}.linears.{i}'
  sublayers = range(len(attentions) + 1)
  norms = {f'norms_{i}': f'sublayer.{i}.norm' for i in sublayers}
  theirs = f'{_ROOT}.model.{stack}.layers.{n}'
  return layer_rows(f'params/{stack}_layers_{n}', theirs, linears, norms, _NORM)


def from_r2gencmn(
  model: ReportGenerator, tensors: Mapping[str, np.ndarray], what: str
) -> dict:
  """Our variables of the authors' state dict.

  Args:
    model: that the weights are for.
    tensors: the state dict as numpy arrays.
    what: the file, for messages.

  Raises:
    ConversionError: lists all that is missing, surplus or mis-shaped.
  """
  _check_theirs(model.config)
  if model.config.alignment:
    raise ConversionError(
      'R2GenCMN has no alignment of films and reports: use a config without '
      '(variant cmn)'
    )
  # A model that was trained on several GPUs has this before each name.
  tensors = {k.removeprefix('module.'): v for k, v in tensors.items()}
  _check_vocabulary(model.config, tensors, what)
  rows = r2gencmn_rows(model.config)
  ignored = (*batch_counters(rows), *POSITION_NAMES)
  shapes = shapes_of(expected_variables(model))
  check_fit(rows, shapes, tensors, ignored, what)
  for name in POSITION_NAMES:
    _check_positions(model.config, tensors.get(name), name, what)
  return to_variables(rows, tensors)


def to_r2gencmn(
  config: ModelConfig, variables, batches: Mapping[str, int]
) -> dict[str, np.ndarray]:
  """The authors' state dict of our variables, without the position tables.

  Args:
    config: of the model.
    variables: ours.
    batches: torch's batch counters by name; those not given are 0.

  Raises:
    ConversionError: the authors have no such model.
  """
  _check_theirs(config)
  rows = r2gencmn_rows(config)
  arrays = to_state_dict(rows, variables)
  for name in batch_counters(rows):
    arrays[name] = np.array(batches.get(name, 0), np.int64)
  return arrays


def batches_tracked(tensors: Mapping[str, np.ndarray]) -> dict[str, int]:
  """torch's batch counters, kept so that the way back restores them."""
  return {
    name.removeprefix('module.'): int(array)
    for name, array in tensors.items()
    if name.endswith('.num_batches_tracked') and array.size == 1
  }


def expected_variables(model: ReportGenerator) -> dict:
  """The model's variables, abstract."""
  return variable_shapes(model, study_batch(1, 64, model.config.max_length))


def _check_theirs(config: ModelConfig):
  if config.memory != 'shared':
    raise ConversionError(
      f"R2GenCMN has one memory, model.memory='shared' (variant cmn), and "
      f'this config says {config.memory!r}'
    )
  if config.prompts:
    raise ConversionError(
      f'R2GenCMN knows no prompts, and this config has model.prompts='
      f'{config.prompts!r}'
    )
  if config.encoder not in RESNETS:
    raise ConversionError(
      f'R2GenCMN has ResNets alone, not model.encoder={config.encoder!r}'
    )


def _check_vocabulary(config: ModelConfig, tensors, what: str):
  if _LOGITS in tensors and tensors[_LOGITS].ndim == 2:
    words = tensors[_LOGITS].shape[0]
    if words != config.vocabulary:
      raise ConversionError(
        f'{what} has {words} logits, the annotation gives '
        f'{config.vocabulary} ({config.vocabulary - 1} words and the 0): its '
        'training split, or the threshold data.min_count or the cleaning '
        'data.clean, differs from what the checkpoint was trained with'
      )


def _check_positions(config: ModelConfig, table, name: str, what: str):
  """The tables are computed, not learned: they must be the ones we compute."""
  if table is None:
    return
  fits = table.ndim == 3 and table.shape[::2] == (1, config.width)
  if fits:
    ours = sinusoids(table.shape[1], config.width)
    fits = np.max(np.abs(ours - table[0])) < _POSITION_TOLERANCE
  if not fits:
    raise ConversionError(
      f'{what} has other positions than sines and cosines of width '
      f'{config.width} in {name}'
    )
