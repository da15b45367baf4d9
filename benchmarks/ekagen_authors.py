"""The authors' EKAGen (hnjzbss/EKAGen) from a checkout, on a CPU.

Imports torch. Their code is used as it is; torchvision, of which they take a
ResNet, is replaced by one with the same geometry and names.
"""

import argparse
import pickle
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.torch_resnet import TorchResNet
from cmn_jax.models.ekagen import CaptionerShape
from cmn_jax.models.resnet import RESNETS
from input_pipeline.errors import UserError

_width = {'first_stage': 64}
CLASSES = 14


def install(checkout: Path):
  """Makes `import models.caption`, `utils.stloss` and `ADM` find the checkout.

  Raises:
    UserError: it is no checkout of EKAGen.
  """
  if not (checkout / 'models' / 'caption.py').is_file():
    raise UserError(
      f'{checkout} is no checkout of hnjzbss/EKAGen: models/caption.py is '
      'missing'
    )
  # `utils` and `datasets` have no __init__: another package would win.
  sys.path[:0] = [str(checkout), str(checkout / 'ADM')]
  torchvision = types.ModuleType('torchvision')
  torchvision.models = types.ModuleType('torchvision.models')
  torchvision.models._utils = types.ModuleType('torchvision.models._utils')
  torchvision.models._utils.IntermediateLayerGetter = _UpToLayer4
  torchvision.models.__getattr__ = _builder
  sys.modules['torchvision'] = torchvision
  sys.modules['torchvision.models'] = torchvision.models
  sys.modules['torchvision.models._utils'] = torchvision.models._utils


class _UpToLayer4(nn.ModuleDict):
  """torchvision's, for the one use that they make of it."""

  def __init__(self, model, return_layers):
    assert return_layers == {'layer4': '0'}
    super().__init__(
      {k: v for k, v in model.named_children() if k not in ('avgpool', 'fc')}
    )

  def forward(self, x):
    """Returns the last layer's map."""
    for layer in self.values():
      x = layer(x)
    return {'0': x}


def _builder(arch: str):
  """Of a ResNet; the module has no other attribute, such as a __file__."""
  if arch not in RESNETS:
    raise AttributeError(arch)

  def build(replace_stride_with_dilation, pretrained, norm_layer):
    del pretrained
    assert replace_stride_with_dilation[:2] == [False, False]
    dilated = replace_stride_with_dilation[2]
    return TorchResNet(arch, _width['first_stage'], norm_layer, dilated)

  return build


def build_captioner(shape: CaptionerShape, knowledge_SxTxD: np.ndarray):
  """Their Caption of our sizes, in evaluation mode.

  Study n's labels are the bits of n (`labels_of`), and its knowledge row n.
  """
  from models import caption

  _width['first_stage'] = shape.encoder_width
  with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / 'knowledge.pkl'
    write_knowledge(path, knowledge_SxTxD)
    model, _ = caption.build_model(_config(shape, path))
  channels = shape.encoder_width * 32  # Theirs takes it to be 2048.
  model.input_proj = nn.Conv2d(channels, shape.width, 1)
  return model.eval()


def _config(shape: CaptionerShape, knowledge_path: Path):
  return argparse.Namespace(
    backbone=shape.encoder,
    position_embedding='sine',
    dilation=shape.dilated,
    lr_backbone=1e-5,
    hidden_dim=shape.width,
    pad_token_id=0,
    max_position_embeddings=shape.max_length,
    layer_norm_eps=1e-12,
    dropout=shape.dropout,
    vocab_size=shape.vocabulary,
    enc_layers=shape.layers,
    dec_layers=shape.layers,
    dim_feedforward=shape.hidden,
    nheads=shape.heads,
    pre_norm=True,
    knowledge_prompt_path=str(knowledge_path),
  )


def labels_of(studies: int) -> np.ndarray:
  """Another label vector for each study, (S, 14) int."""
  return (np.arange(studies)[:, None] >> np.arange(CLASSES)) & 1


def write_knowledge(path: Path, knowledge_SxTxD: np.ndarray):
  """Their kind of pickle: label vectors to tensors."""
  keys = [tuple(map(int, row)) for row in labels_of(len(knowledge_SxTxD))]
  tensors = [torch.from_numpy(x) for x in knowledge_SxTxD]
  path.write_bytes(pickle.dumps(dict(zip(keys, tensors, strict=True))))


def films_for(images_BxIxHxWxC):
  """Our normalised films as their NestedTensor."""
  from models.utils import NestedTensor

  x = torch.from_numpy(np.array(images_BxIxHxWxC[:, 0]))
  mask = torch.zeros(x.shape[:3], dtype=torch.bool)
  return NestedTensor(x.permute(0, 3, 1, 2).contiguous(), mask)


def logits(model, films, ids_BxT, studies):
  """Their training call on ids of one more than positions; with gradients."""
  ids = torch.from_numpy(np.asarray(ids_BxT, np.int64))
  labels = labels_of(max(studies) + 1)[list(studies)]
  return model(films, ids[:, :-1], (ids == 0)[:, :-1], [labels, None])


def losses(student, teacher, ids_BxT):
  """Their cross-entropy and their distillation, without its delta."""
  target = torch.from_numpy(np.asarray(ids_BxT, np.int64))[:, 1:]
  words = nn.CrossEntropyLoss()(student.permute(0, 2, 1), target)
  return words, distillation(student, teacher)


def distillation(student, teacher):
  """Their distillation without its delta."""
  from utils.stloss import SoftTarget

  return SoftTarget(4.0)(student, teacher.detach())


def share_encoding(model):
  """Encodes a batch of films once, not anew at each of its words."""
  transformer, backbone = model.transformer, model.backbone
  encode, see = transformer.encoder.forward, backbone.forward
  seen, encoded = {}, {}

  def films_once(nested):
    # The films are held: another batch may get the id of freed ones.
    if seen.get('films') is not nested.tensors:
      encoded.clear()
      seen.update(films=nested.tensors, map=see(nested))
    return seen['map']

  def tokens_once(src, **options):
    if 'memory' not in encoded:
      encoded['memory'] = encode(src, **options)
    return encoded['memory']

  backbone.forward, transformer.encoder.forward = films_once, tokens_once


def write(model, films, studies, length: int):
  """Ids as their greedy loop leaves them in its buffer, (B, length)."""
  batch, positions = len(studies), model.transformer.embeddings
  positions = positions.position_embeddings.num_embeddings
  ids = torch.zeros((batch, positions), dtype=torch.long)
  hidden = torch.ones((batch, positions), dtype=torch.bool)
  ids[:, 0], hidden[:, 0] = 1, False
  labels = labels_of(max(studies) + 1)[list(studies)]
  with torch.no_grad():
    for i in range(length):
      found = model(films, ids, hidden, [labels, None])
      ids[:, i + 1] = found[:, i].argmax(-1)
      hidden[:, i + 1] = False
  return ids[:, 1 : length + 1].numpy()


def build_diagnosis_bot():
  """Their Swin-T with 14 probabilities, in evaluation mode."""
  from models.model import swin_tiny_patch4_window7_224

  return swin_tiny_patch4_window7_224(num_classes=CLASSES).eval()


def build_locator():
  """Their ResNet-34 with 14 probabilities, in evaluation mode."""
  from model import resnet34

  return resnet34(num_classes=CLASSES).eval()
