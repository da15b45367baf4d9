"""Pretrained visual encoders: torchvision's and timm's ResNets."""

import re
from pathlib import Path

import huggingface_hub
import jax
import jax.numpy as jnp
import numpy as np

from cmn_jax.interop.files import read_pth, read_safetensors, tensors_of
from cmn_jax.interop.names import (
  ConversionError,
  check_fit,
  shapes_of,
  to_variables,
)
from cmn_jax.interop.resnets import TORCHVISION, batch_counters, resnet_rows
from cmn_jax.models.resnet import RESNETS, ResNet
from cmn_jax.training.checkpoints import find_step, load_model

# torchvision's own; weights for another width are nobody's.
WIDTH = 64
_CLASSIFIER = ('fc.weight', 'fc.bias')
_HUB_NAME = re.compile(r'[\w.-]+/[\w.-]+')
_FILE_ENDINGS = ('.pth', '.pt', '.safetensors')


def load_encoder(source: str, arch: str, width: int = WIDTH) -> dict:
  """Variables of a pretrained visual encoder.

  Args:
    source: a .pth or .safetensors file, a folder that `convert encoder` wrote,
      the workdir or checkpoint of a report model (its encoder is taken), or a
      model on the Hugging Face hub ('timm/resnet101.tv_in1k'), which is
      downloaded once and kept.
    arch: a key of RESNETS.
    width: channels of its first stage.

  Returns:
    {'params', 'batch_stats'} of the model's 'visual_encoder', numpy.

  Raises:
    ConversionError: not there, not readable, of another architecture.
  """
  if arch not in RESNETS:
    raise ConversionError(
      f'no encoder {arch!r}; choose from {", ".join(RESNETS)}'
    )
  if Path(source).is_dir():
    return _load_converted(source, arch, width)
  tensors = _read(_find_file(source))
  rows = resnet_rows(arch, TORCHVISION, root='')
  shapes = shapes_of(encoder_shapes(arch, width))
  ignored = (*batch_counters(rows), *_CLASSIFIER)
  check_fit(rows, shapes, tensors, ignored, f'{source} as {arch}')
  return to_variables(rows, tensors)


def put_encoder(variables: dict, encoder: dict) -> dict:
  """`variables` of a report generator with its visual encoder replaced."""
  return {
    kind: {**variables[kind], 'visual_encoder': encoder[kind]}
    for kind in ('params', 'batch_stats')
  }


def encoder_shapes(arch: str, width: int) -> dict:
  """Abstract variables of an encoder."""
  block, stage_sizes = RESNETS[arch]
  encoder = ResNet(block, stage_sizes, width)
  images, mask = jnp.zeros((1, 1, 64, 64, 3)), jnp.ones((1, 1), bool)
  return jax.eval_shape(
    lambda: encoder.init(jax.random.key(0), images, mask, False)
  )


def _load_converted(folder: str, arch: str, width: int) -> dict:
  variables, meta = load_model(find_step(folder))
  found = meta.get('encoder')
  if found is None:  # A report model: its encoder is one of its parts.
    found = meta['config']['model']['encoder']
    variables = {
      kind: tree['visual_encoder'] for kind, tree in variables.items()
    }
  if found != arch:
    raise ConversionError(f'{folder} holds {found}, not {arch}')
  if shapes_of(variables) != shapes_of(encoder_shapes(arch, width)):
    raise ConversionError(
      f'{folder} holds {arch} of another width than {width}'
    )
  return variables


def _find_file(source: str) -> Path:
  path = Path(source)
  if path.is_file():
    return path
  if path.suffix in _FILE_ENDINGS or not _HUB_NAME.fullmatch(source):
    raise ConversionError(f'{source}: there is no such file')
  try:
    return Path(huggingface_hub.hf_hub_download(source, 'model.safetensors'))
  except Exception as error:  # Of the network: its library raises all kinds.
    raise ConversionError(
      f'{source} could not be downloaded ({type(error).__name__}): where there '
      f'is a network, run "hf download {source} model.safetensors '
      '--local-dir DIR", bring the file here and name '
      'DIR/model.safetensors instead'
    ) from error


def _read(path: Path) -> dict[str, np.ndarray]:
  if path.suffix == '.safetensors':
    return read_safetensors(path)
  content = read_pth(path)
  return tensors_of(content.get('state_dict', content), path)
