"""The authors' code on a CPU, in a time that a check can wait for."""

import contextlib

import torch
from torch import nn

from benchmarks import authors
from benchmarks.authors import films_for as films_for
from cmn_jax.models.config import ModelConfig

_shortcuts = {'on': True, 'writing': False}


def build_model(shape: ModelConfig, views: int, image_size: int, dropout: bool):
  """The authors' BaseCMNModel of our sizes, in evaluation mode."""
  model = authors.build_model(shape, views)
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


@contextlib.contextmanager
def as_written():
  """Within this, the authors' code runs without our shortcuts."""
  _shortcuts['on'] = False
  try:
    yield
  finally:
    _shortcuts['on'] = True


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
