"""The authors' code (zhjohnchan/R2GenCMN) from the user's checkout.

Imports torch: import this where it is needed, not at the top of a verb. The
code is used as it is. Three things around it are replaced: torchvision by our
torch ResNet and five transforms, cv2 (for drawing alone) by nothing and, on a
machine without CUDA, `.cuda()` by no operation.
"""

import argparse
import random
import sys
import types
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from benchmarks.torch_resnet import TorchResNet
from cmn_jax.models.config import ModelConfig
from cmn_jax.models.resnet import RESNETS
from input_pipeline.errors import UserError

# Sizes of the encoder's first stage by name, as the stub makes them.
_width = {'first_stage': 64}


def install(checkout: Path):
  """Makes `import models.models` and `import modules...` find the checkout.

  Raises:
    UserError: it is no checkout of R2GenCMN.
  """
  if not (checkout / 'modules' / 'base_cmn.py').is_file():
    raise UserError(
      f'{checkout} is no checkout of zhjohnchan/R2GenCMN: modules/base_cmn.py '
      'is missing'
    )
  sys.path.insert(0, str(checkout))
  torchvision = types.ModuleType('torchvision')
  torchvision.models = types.ModuleType('torchvision.models')
  for arch in RESNETS:
    setattr(torchvision.models, arch, _builder(arch))
  torchvision.transforms = types.ModuleType('torchvision.transforms')
  for transform in _TRANSFORMS:
    setattr(torchvision.transforms, transform.__name__, transform)
  sys.modules['torchvision'] = torchvision
  sys.modules['torchvision.models'] = torchvision.models
  sys.modules['torchvision.transforms'] = torchvision.transforms
  sys.modules['cv2'] = types.ModuleType('cv2')
  if not torch.cuda.is_available():
    torch.Tensor.cuda = lambda self, *args, **kwargs: self


def _builder(arch: str):
  def build(pretrained: bool):
    del pretrained
    return TorchResNet(arch, _width['first_stage'])

  return build


def build_model(
  config: ModelConfig, views: int, words: list[str] | None = None
):
  """The authors' BaseCMNModel of our sizes, as published.

  Args:
    config: our sizes.
    views: films of a study.
    words: their vocabulary; made-up words without it.
  """
  from models.models import BaseCMNModel
  from modules.tokenizers import Tokenizer

  _width['first_stage'] = config.encoder_width
  tokenizer = object.__new__(Tokenizer)
  words = words or [f'word{n}' for n in range(1, config.vocabulary)]
  tokenizer.idx2token = dict(enumerate(words, start=1))
  tokenizer.token2idx = {word: n for n, word in enumerate(words, start=1)}
  return BaseCMNModel(arguments(config, views), tokenizer)


def arguments(config: ModelConfig, views: int) -> argparse.Namespace:
  """What their command line would give, for our sizes."""
  expansion = RESNETS[config.encoder][0].expansion
  return argparse.Namespace(
    dataset_name='iu_xray' if views == 2 else 'mimic_cxr',
    visual_extractor=config.encoder,
    visual_extractor_pretrained=False,
    max_seq_length=config.max_length,
    d_model=config.width,
    d_ff=config.hidden,
    d_vf=config.encoder_width * 8 * expansion,
    num_heads=config.heads,
    num_layers=config.layers,
    dropout=config.dropout,
    drop_prob_lm=config.patch_dropout,
    topk=config.memory_top_k,
    cmm_size=config.memory_slots,
    cmm_dim=config.width,
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


def films_for(model, images_BxIxHxWxC):
  """Our normalised films as the authors' model takes them."""
  x = (
    torch.from_numpy(np.array(images_BxIxHxWxC))
    .permute(0, 1, 4, 2, 3)
    .contiguous()
  )
  return x if model.args.dataset_name == 'iu_xray' else x[:, 0]


def loss_of(model, films, ids_BxT):
  """Their training loss; the mask covers the report with both its zeros.

  Args:
    model: theirs, in the mode that is wanted.
    films: as `films_for` gives them.
    ids_BxT: [0] + words + [0], then zeros; int64, on the model's device.
  """
  from modules.loss import compute_loss

  length = ids_BxT.shape[1]
  lengths_B = torch.clamp((ids_BxT > 0).sum(1) + 2, max=length)
  mask_BxT = torch.arange(length, device=ids_BxT.device) < lengths_B[:, None]
  return compute_loss(
    model(films, ids_BxT, mode='train'), ids_BxT, mask_BxT.float()
  )


class Compose:
  """torchvision's, as are the five below: what the authors use of them."""

  def __init__(self, transforms):
    self.transforms = transforms

  def __call__(self, image):
    for transform in self.transforms:
      image = transform(image)
    return image


class Resize:
  """Bilinear, of the short side for one number, of both for a pair."""

  def __init__(self, size):
    self.size = size

  def __call__(self, image):
    size = self.size
    if isinstance(size, int):
      short, long = sorted(image.size)
      scaled = int(size * long / short)
      wide = image.size[0] > image.size[1]
      height, width = (size, scaled) if wide else (scaled, size)
    else:
      height, width = size
    if image.size == (width, height):
      return image
    return image.resize((width, height), Image.Resampling.BILINEAR)


class RandomCrop:
  """A square at a random place."""

  def __init__(self, size):
    self.size = size

  def __call__(self, image):
    left, top = (random.randint(0, n - self.size) for n in image.size)
    return image.crop((left, top, left + self.size, top + self.size))


class RandomHorizontalFlip:
  """Left and right swapped, every other time."""

  def __call__(self, image):
    return ImageOps.mirror(image) if random.random() < 0.5 else image


class ToTensor:
  """PIL image to float32 (C, H, W) in [0, 1]."""

  def __call__(self, image):
    pixels = torch.from_numpy(np.array(image))
    return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)


class Normalize:
  """Minus the mean, over the deviation, of each channel."""

  def __init__(self, mean, std):
    self.mean, self.std = (torch.tensor(x)[:, None, None] for x in (mean, std))

  def __call__(self, x):
    return x.clone().sub_(self.mean).div_(self.std)


_TRANSFORMS = (
  Compose,
  Resize,
  RandomCrop,
  RandomHorizontalFlip,
  ToTensor,
  Normalize,
)
