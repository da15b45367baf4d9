"""The authors' code from the user's checkout, made to run on a CPU."""

import contextlib
import sys
import types
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cmn_jax.models.report_generator import Shape
from tests.parity.torch_resnet import ARCHITECTURES, TorchResNet

# Sizes of the encoder's first stage by name, as the stub makes them.
_width = {'first_stage': 64}
_shortcuts = {'on': True, 'writing': False}


def install(checkout: Path):
  """Makes `import models.models` and `import modules...` find the checkout.

  Its code is used as it is. Three things around it are replaced: torchvision
  by a stub with our torch ResNet, cv2 (for drawing alone) by nothing, and
  `.cuda()` by no operation.
  """
  if not (checkout / 'modules' / 'base_cmn.py').is_file():
    raise SystemExit(f'error: {checkout} is no checkout of zhjohnchan/R2GenCMN')
  sys.path.insert(0, str(checkout))
  torchvision = types.ModuleType('torchvision')
  torchvision.models = types.ModuleType('torchvision.models')
  for arch in ARCHITECTURES:
    setattr(torchvision.models, arch, _builder(arch))
  sys.modules['torchvision'] = torchvision
  sys.modules['torchvision.models'] = torchvision.models
  sys.modules['cv2'] = types.ModuleType('cv2')
  torch.Tensor.cuda = lambda self, *args, **kwargs: self


def _builder(arch: str):
  def build(pretrained: bool):
    del pretrained
    return TorchResNet(arch, _width['first_stage'])

  return build


def build_model(shape: Shape, views: int, image_size: int, dropout: bool):
  """The authors' BaseCMNModel of our sizes, in evaluation mode."""
  from models.models import BaseCMNModel

  _width['first_stage'] = shape.encoder_width
  tokenizer = types.SimpleNamespace(
    idx2token={n: f'word{n}' for n in range(1, shape.vocabulary)}
  )
  model = BaseCMNModel(arguments(shape, views), tokenizer)
  if image_size != 224:  # Their pooling fits 224 pixels; nothing reads it.
    model.visual_extractor.avg_fnt = nn.AdaptiveAvgPool2d(1)
  _add_shortcuts(model)
  if not dropout:
    for module in model.modules():
      if isinstance(module, nn.Dropout):
        module.p = 0.0
  return model.eval()


def _add_shortcuts(model):
  """Leaves out work that the authors' decoding does and throws away.

  At each word they project the whole memory anew for every beam, and answer
  all words so far although only the last answer is used. Without that the
  results are the same (`as_written` shows it) and a CPU gets through.
  """
  memory = model.encoder_decoder.cmn
  for n in (1, 2):
    memory.linears[n] = _OncePerCall(memory.linears[n])

  class LastWord(type(memory)):
    def forward(self, query, key, value):
      if not _shortcuts['on'] or not _shortcuts['writing']:
        return super().forward(query, key, value)
      last = super().forward(query[:, -1:], key, value)
      return torch.cat([torch.zeros_like(query[:, :-1]), last], 1)

  text = object.__new__(LastWord)
  text.__dict__ = memory.__dict__  # One module, as it was, asked otherwise.
  model.encoder_decoder.model.cmn = text


class _OncePerCall(nn.Linear):
  """A Linear that projects one matrix once, however many rows show it."""

  def __init__(self, linear: nn.Linear):
    super().__init__(linear.in_features, linear.out_features)
    self.weight, self.bias = linear.weight, linear.bias

  def forward(self, x):
    """Projects x; an x that repeats along its first axis, once."""
    if x.stride(0) != 0 or not _shortcuts['on']:
      return super().forward(x)
    return super().forward(x[:1]).expand(x.shape[0], -1, -1)


def arguments(shape: Shape, views: int) -> types.SimpleNamespace:
  """What their command line would give, for our sizes."""
  expansion = ARCHITECTURES[shape.encoder][0]
  return types.SimpleNamespace(
    dataset_name='iu_xray' if views == 2 else 'mimic_cxr',
    visual_extractor=shape.encoder,
    visual_extractor_pretrained=False,
    max_seq_length=shape.max_length,
    d_model=shape.width,
    d_ff=shape.hidden,
    d_vf=shape.encoder_width * 8 * expansion,
    num_heads=shape.heads,
    num_layers=shape.layers,
    dropout=shape.dropout,
    drop_prob_lm=shape.patch_dropout,
    topk=shape.memory_top_k,
    cmm_size=shape.memory_slots,
    cmm_dim=shape.width,
    bos_idx=0,
    eos_idx=0,
    pad_idx=0,
    use_bn=0,
    sample_method='beam_search',
    beam_size=3,
    temperature=1.0,
    sample_n=1,
    group_size=1,
    output_logsoftmax=1,
    decoding_constraint=0,
    block_trigrams=1,
    optim='Adam',
    lr_ve=1e-4,
    lr_ed=5e-4,
    weight_decay=5e-5,
    adam_betas=(0.9, 0.98),
    adam_eps=1e-9,
    amsgrad=True,
    lr_scheduler='StepLR',
    step_size=10,
    gamma=0.8,
  )


@contextlib.contextmanager
def as_written():
  """Within this, the authors' code runs without our shortcuts."""
  _shortcuts['on'] = False
  try:
    yield
  finally:
    _shortcuts['on'] = True


def films_for(model, images_BxIxHxWxC):
  """Our normalised films as the authors' model takes them."""
  x = (
    torch.from_numpy(np.array(images_BxIxHxWxC))
    .permute(0, 1, 4, 2, 3)
    .contiguous()
  )
  return x if model.args.dataset_name == 'iu_xray' else x[:, 0]


def log_probs(model, images_BxIxHxWxC, ids_BxT):
  """Teacher-forced log-probabilities, (B, T - 1, V), numpy."""
  with torch.no_grad():
    films = films_for(model, images_BxIxHxWxC)
    return model(films, torch.from_numpy(ids_BxT), mode='train').numpy()


def write(model, images_BxIxHxWxC, method: str, beam_size: int):
  """Word ids (B, T) by their 'beam_search' or 'greedy', numpy.

  With a beam of 1 their greedy decoding also blocks trigrams unless told not
  to, which ours does not do.
  """
  options = {
    'sample_method': method,
    'beam_size': beam_size,
    'block_trigrams': 0,
  }
  films = films_for(model, images_BxIxHxWxC)
  _shortcuts['writing'] = True
  try:
    with torch.no_grad():
      ids, _ = model(films, mode='sample', update_opts=options)
  finally:
    _shortcuts['writing'] = False
  return ids.numpy()
