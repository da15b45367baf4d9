"""A torch twin of base, mem and cmn, for the two the authors never published.

Written from the paper and from our own description of the model, apart from
both codes: it calls torch's attention kernels where the authors do not. Its
state dict has our names for arrays, in torch's order of axes.
"""

import math
import re

import torch
from torch import nn
from torch.nn import functional

from benchmarks import authors
from benchmarks.torch_resnet import TorchResNet
from cmn_jax.interop.names import Row, shapes_of
from cmn_jax.interop.r2gencmn import expected_variables
from cmn_jax.interop.resnets import TORCHVISION, resnet_rows
from cmn_jax.models.config import ModelConfig
from cmn_jax.models.report_generator import ReportGenerator


class Norm(nn.Module):
  """Layer norm with the unbiased deviation."""

  def __init__(self, width):
    super().__init__()
    self.scale = nn.Parameter(torch.ones(width))
    self.bias = nn.Parameter(torch.zeros(width))

  def forward(self, x):
    mean, std = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
    return self.scale * (x - mean) / (std + 1e-6) + self.bias


class Projections(nn.Module):
  """Query, key, value and output layers with their heads."""

  def __init__(self, width, heads):
    super().__init__()
    self.heads = heads
    for name in ('query', 'key', 'value', 'out'):
      setattr(self, name, nn.Linear(width, width))

  def split(self, x):
    """(B, T, D) to (B, N, T, E)."""
    b, t, d = x.shape
    return x.reshape(b, t, self.heads, d // self.heads).transpose(1, 2)

  def join(self, x):
    """(B, N, T, E) to (B, T, D), through the output layer."""
    return self.out(x.transpose(1, 2).flatten(2))


class Attention(Projections):
  """Attention of x to y."""

  def forward(self, x, y, mask=None):
    q, k, v = map(self.split, (self.query(x), self.key(y), self.value(y)))
    return self.join(
      functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    )


class Memory(Projections):
  """Querying and responding: a softmax over the best slots alone."""

  def __init__(self, shape: ModelConfig):
    super().__init__(shape.width, shape.heads)
    self.top_k = shape.memory_top_k

  def forward(self, x, memory):
    q = self.split(self.query(x))
    k, v = (self.split(f(memory[None])) for f in (self.key, self.value))
    score = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
    best, where = score.topk(self.top_k)
    weight = torch.zeros_like(score).scatter(3, where, best.softmax(-1))
    return self.join(weight @ v)


class Layer(nn.Module):
  """A pre-norm layer of the encoder, or of the decoder with `cross`."""

  def __init__(self, shape: ModelConfig, cross: bool):
    super().__init__()
    self.self_attention = Attention(shape.width, shape.heads)
    self.cross_attention = (
      Attention(shape.width, shape.heads) if cross else None
    )
    self.feed_in = nn.Linear(shape.width, shape.hidden)
    self.feed_out = nn.Linear(shape.hidden, shape.width)
    self.norms = nn.ModuleList(Norm(shape.width) for _ in range(2 + cross))

  def forward(self, x, mask=None, patches=None):
    norms = iter(self.norms)
    y = next(norms)(x)
    x = x + self.self_attention(y, y, mask)
    if self.cross_attention is not None:
      x = x + self.cross_attention(next(norms)(x), patches)
    y = torch.relu(self.feed_in(next(norms)(x)))
    return x + self.feed_out(y)


class Twin(nn.Module):
  """The report generator with memory 'none', 'separate' or 'shared'."""

  def __init__(self, shape: ModelConfig):
    super().__init__()
    self.shape = shape
    self.args = authors.arguments(shape, views=2)
    self.visual_extractor = TorchResNet(shape.encoder, shape.encoder_width)
    features = self.visual_extractor.fc.in_features
    self.visual_extractor.fc = nn.Identity()
    rest = {
      'patch_embed': nn.Linear(features, shape.width),
      'encoder': nn.ModuleList(
        Layer(shape, False) for _ in range(shape.layers)
      ),
      'decoder': nn.ModuleList(Layer(shape, True) for _ in range(shape.layers)),
      'encoder_norm': Norm(shape.width),
      'decoder_norm': Norm(shape.width),
      'logits': nn.Linear(shape.width, shape.vocabulary),
    }
    for name, module in rest.items():
      setattr(self, name, module)
    self.word_embed = nn.Parameter(torch.zeros(shape.vocabulary, shape.width))
    for kind in {'none': (), 'shared': ('',), 'separate': ('', 'text_')}[
      shape.memory
    ]:
      size = (shape.memory_slots, shape.width)
      setattr(self, f'{kind}memory', nn.Parameter(torch.zeros(size)))
      setattr(self, f'{kind}memory_query', Memory(shape))

  def forward(self, films_BxIxCxHxW, ids_BxT, mode='train'):
    """Teacher-forced log-probabilities (B, T - 1, V), the only mode."""
    assert mode == 'train'
    patches = torch.cat(
      [self._patches(films) for films in films_BxIxCxHxW.unbind(1)], 1
    )
    x = torch.relu(self.patch_embed(patches))
    x = self._remember(x, '')
    x = x + self.positions(x)
    for layer in self.encoder:
      x = layer(x)
    patches = self.encoder_norm(x)

    ids = ids_BxT[:, :-1]
    x = self.word_embed[ids] * math.sqrt(self.shape.width)
    x = x + self.positions(x)
    x = self._remember(x, 'text_' if self.shape.memory == 'separate' else '')
    length = ids.shape[1]
    real = (ids > 0) | (torch.arange(length) == 0)
    mask = torch.ones(length, length, dtype=torch.bool).tril()
    for layer in self.decoder:
      x = layer(x, mask & real[:, None, None], patches)
    return self.logits(self.decoder_norm(x)).log_softmax(-1)

  def _patches(self, films):
    net = self.visual_extractor
    x = net.maxpool(net.relu(net.bn1(net.conv1(films))))
    for stage in range(1, 5):
      x = getattr(net, f'layer{stage}')(x)
    return x.flatten(2).transpose(1, 2)

  def _remember(self, x, kind):
    if self.shape.memory == 'none':
      return x
    memory = getattr(self, f'{kind}memory')
    return x + getattr(self, f'{kind}memory_query')(x, memory)

  def positions(self, x):
    """Sines and cosines, (T, D)."""
    length, width = x.shape[1:]
    angle = torch.arange(length)[:, None] / 10000 ** (
      torch.arange(0, width, 2) / width
    )
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)


def twin_rows(shape: ModelConfig) -> list[Row]:
  """The table of the twin's arrays."""
  parts = {k: f'visual_extractor.{v}' for k, v in TORCHVISION.items()}
  rows = resnet_rows(shape.encoder, parts)
  known = {row.ours for row in rows}
  for path in shapes_of(expected_variables(ReportGenerator(shape))):
    if path in known:
      continue
    name = path.removeprefix('params/').replace('feed_forward/', 'feed_')
    name = re.sub(r'(encoder|decoder)_layers_', r'\1.', name)
    name = name.replace('norms_', 'norms.').replace('/', '.')
    if name.endswith('.kernel'):
      rows.append(Row(path, name.replace('kernel', 'weight'), 'linear'))
    else:
      rows.append(Row(path, name))
  return rows
