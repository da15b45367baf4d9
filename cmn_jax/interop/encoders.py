"""Pretrained visual encoders: ResNets, ViT-B/16, Swin-T, EfficientNet-Lite0."""

import contextlib
import re
from pathlib import Path

import huggingface_hub
import jax
import jax.numpy as jnp
import numpy as np

from cmn_jax.interop.efficientnets import (
  PACKAGES,
  efficientnet_rows,
  ignored_names,
  packaged_weights,
)
from cmn_jax.interop.files import read_pth, read_safetensors, tensors_of
from cmn_jax.interop.names import (
  ConversionError,
  UnreachableError,
  check_fit,
  shapes_of,
  to_variables,
)
from cmn_jax.interop.resnets import TORCHVISION, batch_counters, resnet_rows
from cmn_jax.interop.swins import SWINS, swin_rows, swin_tensors
from cmn_jax.interop.vits import (
  VITS,
  read_pixel_scale,
  take_our_pixels,
  vit_tensors,
)
from cmn_jax.models.efficientnet import EFFICIENTNETS
from cmn_jax.models.encoders import ENCODERS
from cmn_jax.training import hub
from cmn_jax.training.checkpoints import find_step, load_model

# As published; weights for another width are nobody's.
WIDTH = 64
# Where each encoder's ImageNet weights are. The ResNets' are torchvision's,
# from which the authors start; EfficientNet-Lite0's are a pip package's.
IMAGENET = {
  'resnet18': 'timm/resnet18.tv_in1k',
  'resnet34': 'timm/resnet34.tv_in1k',
  'resnet50': 'timm/resnet50.tv_in1k',
  'resnet101': 'timm/resnet101.tv_in1k',
  'efficientnet_lite0': 'efficientnet_lite0',
  'vit_b16': 'timm/vit_base_patch16_224.augreg_in1k',
  'swin_t': 'timm/swin_tiny_patch4_window7_224.ms_in1k',
}
# Parts of a classifier and of an EKAGen captioner that hold the encoder.
_HOLDERS = ('report', 'captioner')
_CLASSIFIER = ('fc.weight', 'fc.bias')
_SWIN_CLASSIFIER = ('head.weight', 'head.bias')
_HUB_NAME = re.compile(r'[\w.-]+/[\w.-]+')
_FILE_ENDINGS = ('.pth', '.pt', '.safetensors')
# How a ViT's pixels were normalised: timm's file, and Hugging Face's.
_VIT_CONFIGS = ('config.json', 'preprocessor_config.json')


def load_encoder(source: str, arch: str, width: int = WIDTH) -> dict:
  """Variables of a pretrained visual encoder.

  Args:
    source: a .pth or .safetensors file, a folder that `convert encoder` wrote,
      the workdir or checkpoint of a model (its encoder is taken), a model on
      the Hugging Face hub ('timm/resnet101.tv_in1k'), which is downloaded once
      and kept, or 'efficientnet_lite0', whose weights a pip package brings.
    arch: a key of ENCODERS.
    width: `Shape.encoder_width`.

  Returns:
    {'params', 'batch_stats'} of the model's 'visual_encoder', numpy.

  Raises:
    UnreachableError: a model on the hub that cannot be downloaded, or a
      package that is not installed.
    ConversionError: not there, not readable, of another architecture.
  """
  if arch not in ENCODERS:
    raise ConversionError(
      f'no encoder {arch!r}; choose from {", ".join(ENCODERS)}'
    )
  source = str(hub.fetched(source))
  if Path(source).is_dir():
    return _load_converted(source, arch, width)
  path = _find_file(source, arch)
  tensors = _read(path)
  if arch in VITS:
    tensors, rows, ignored = vit_tensors(tensors)
  elif arch in EFFICIENTNETS:
    rows = efficientnet_rows(arch)
    ignored = (*batch_counters(rows), *ignored_names(tensors))
  elif arch in SWINS:
    tensors, ignored = swin_tensors(tensors, source)
    rows, ignored = swin_rows(root=''), [*ignored, *_SWIN_CLASSIFIER]
  else:
    rows = resnet_rows(arch, TORCHVISION, root='')
    ignored = (*batch_counters(rows), *_CLASSIFIER)
  shapes = shapes_of(encoder_shapes(arch, width))
  check_fit(rows, shapes, tensors, ignored, f'{source} as {arch}')
  variables = {'batch_stats': {}, **to_variables(rows, tensors)}
  if arch in VITS:
    scale = read_pixel_scale(path)
    variables['params'] = take_our_pixels(variables['params'], scale, source)
  return variables


def load_imagenet(arch: str, width: int) -> dict:
  """As `load_encoder`, of IMAGENET's weights.

  Raises:
    UnreachableError: there are none of this width, no network or package.
    ConversionError: not what was expected.
  """
  if width != WIDTH:
    raise UnreachableError(
      f'ImageNet weights exist for model.encoder_width={WIDTH}, not {width}'
    )
  return load_encoder(IMAGENET[arch], arch, width)


def put_encoder(variables: dict, encoder: dict) -> dict:
  """`variables` of a report generator with its visual encoder replaced."""
  replaced = dict(variables)
  for kind in ('params', 'batch_stats'):
    if encoder[kind]:  # A ViT has no batch statistics.
      replaced[kind] = {**variables[kind], 'visual_encoder': encoder[kind]}
  return replaced


def encoder_shapes(arch: str, width: int) -> dict:
  """Abstract variables of an encoder."""
  encoder = ENCODERS[arch](width=width)
  images, mask = jnp.zeros((1, 1, 64, 64, 3)), jnp.ones((1, 1), bool)
  return jax.eval_shape(
    lambda: encoder.init(jax.random.key(0), images, mask, False)
  )


def _load_converted(folder: str, arch: str, width: int) -> dict:
  if hub.is_hub_folder(folder):
    variables, meta = hub.read_hub_folder(folder)
  else:
    variables, meta = load_model(find_step(folder))
  found = meta.get('encoder')
  if found is None:
    found, variables = _encoder_in(folder, variables, meta)
  if found != arch:
    raise ConversionError(f'{folder} holds {found}, not {arch}')
  if shapes_of(variables) != shapes_of(encoder_shapes(arch, width)):
    raise ConversionError(
      f'{folder} holds {arch} of another width than {width}'
    )
  return {'batch_stats': {}, **variables}


def _encoder_in(folder: str, variables: dict, meta: dict) -> tuple[str, dict]:
  """The name and the variables of the visual encoder in what was trained."""
  meta = meta.get('classifier', {}).get('report_model', meta)
  parts = [
    {kind: tree.get(name, {}) for kind, tree in variables.items()}
    for name in _HOLDERS
  ]
  for part in variables, *parts:
    if 'visual_encoder' in part['params']:
      return meta['config']['model']['encoder'], {
        kind: tree.get('visual_encoder', {}) for kind, tree in part.items()
      }
  raise ConversionError(
    f'{folder} holds no visual encoder: name the workdir of a model that reads '
    'films, or a file of weights'
  )


def _find_file(source: str, arch: str) -> Path:
  path = Path(source)
  if path.is_file():
    return path
  if source in PACKAGES:
    if source != arch:
      raise ConversionError(f'{source} names weights that do not fit {arch}')
    return packaged_weights(arch)
  if path.suffix in _FILE_ENDINGS or not _HUB_NAME.fullmatch(source):
    raise ConversionError(
      f'{source}: there is no such file: model.pretrained takes a file, a '
      f'model on the hub (ORG/NAME), or {", ".join(PACKAGES)}'
    )
  try:
    path = Path(huggingface_hub.hf_hub_download(source, 'model.safetensors'))
  except Exception as error:  # Of the network: its library raises all kinds.
    beside = f' {_VIT_CONFIGS[0]}' if arch in VITS else ''
    raise UnreachableError(
      f'{source} could not be downloaded ({type(error).__name__}): where there '
      f'is a network, run "hf download {source} model.safetensors{beside} '
      '--local-dir DIR", bring DIR here and set model.pretrained (or the '
      "converter's source) to DIR/model.safetensors"
    ) from error
  for name in _VIT_CONFIGS if arch in VITS else ():
    with contextlib.suppress(Exception):  # Its page has one or the other.
      huggingface_hub.hf_hub_download(source, name)
  return path


def _read(path: Path) -> dict[str, np.ndarray]:
  if path.suffix == '.safetensors':
    return read_safetensors(path)
  content = read_pth(path)
  return tensors_of(content.get('state_dict', content), path)
