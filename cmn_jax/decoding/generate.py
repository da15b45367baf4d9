"""Writing reports with a trained generator: encode once, decode in a loop."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cmn_jax.decoding.beam_search import (
  END,
  attention_while_writing,
  beam_search,
)
from cmn_jax.decoding.sampling import sample
from input_pipeline.errors import UserError, check_choice

METHODS = ('beam', 'greedy', 'sample')


@dataclasses.dataclass(frozen=True)
class Decoding:
  """How words are chosen.

  Attributes:
    method: 'beam', 'greedy' or 'sample'.
    beam_size: beams of a study, for 'beam'.
    temperature: divides log-probabilities, for 'sample'.
    top_p: probability that the words drawn from must reach, for 'sample'.
    seed: of the draws, for 'sample'.
  """

  method: str
  beam_size: int
  temperature: float
  top_p: float
  seed: int = 0

  def __post_init__(self):
    check_choice('decode.method', self.method, METHODS)
    if self.beam_size < 1:
      raise UserError(f'decode.beam_size is {self.beam_size}; at least 1')
    if self.method == 'sample' and self.temperature <= 0:
      raise UserError(
        f'decode.temperature is {self.temperature}; it must be above 0 '
        "(decode.method='greedy' takes the best word)"
      )
    if self.method == 'sample' and not 0 < self.top_p <= 1:
      raise UserError(
        f'decode.top_p is {self.top_p}; it must be above 0 and at most 1'
      )


def make_writer(model: nn.Module, decoding: Decoding) -> Callable:
  """(variables, images_BxIxHxWxC, mask_B, mask_BxI) -> (ids, log_probs_B).

  mask_BxI is False for the films that a study does not have; the ids are
  (B, T), zero after the end.
  """
  length = model.config.max_length
  beams = decoding.beam_size if decoding.method == 'beam' else 1

  def write(module: nn.Module, images_BxIxHxWxC, mask_B, mask_BxI):
    patches, patch_mask = module.encode(
      images_BxIxHxWxC, mask_B, mask_BxI=mask_BxI
    )
    shared, cache = module.start_decoding(patches, patch_mask, beams)

    def step(ids_BxK, position, cache):
      return module.decode_step(ids_BxK, position, cache, shared)[:2]

    if decoding.method == 'beam':
      return beam_search(step, cache, mask_B, beams, length)
    temperature = 0 if decoding.method == 'greedy' else decoding.temperature
    key = jax.random.key(decoding.seed)
    if model.axis_name is not None:
      key = jax.random.fold_in(key, jax.lax.axis_index(model.axis_name))
    return sample(step, cache, mask_B, length, key, temperature, decoding.top_p)

  def run(variables, images_BxIxHxWxC, mask_B, mask_BxI=None):
    return model.apply(
      variables, images_BxIxHxWxC, mask_B, mask_BxI, method=write
    )

  return run


class BucketedWriter:
  """Writes any number of studies with a few compiled programs.

  Studies are padded to the next power of two, so one pays for one; more than
  `largest` are written in turns.
  """

  def __init__(
    self, write: Callable, largest: int, jit: Callable[[Callable], Callable]
  ):
    """Takes a writer of `make_writer` and the most studies of a program.

    Args:
      write: see `make_writer`.
      largest: studies.
      jit: compiles it.
    """
    self._write = jit(write)
    self._largest = largest

  def __call__(self, variables, images_BxIxHxWxC, mask_B, *more):
    """As the writer; `more` are its other arrays, numpy or None."""
    studies = len(mask_B)
    parts = []
    for start in range(0, studies, self._largest):
      part = slice(start, start + self._largest)
      size = len(mask_B[part])
      bucket = min(1 << (size - 1).bit_length(), self._largest)
      padding = bucket - size
      images, *rest = (
        x if x is None else _padded(x[part], padding)
        for x in (images_BxIxHxWxC, *more)
      )
      mask = np.concatenate([mask_B[part], np.zeros(padding, bool)])
      ids, log_probs = self._write(variables, images, mask, *rest)
      parts.append((np.asarray(ids)[:size], np.asarray(log_probs)[:size]))
    return tuple(np.concatenate(rows) for rows in zip(*parts, strict=True))


def _padded(x, rows: int):
  """x and so many more rows that are like its first."""
  return np.concatenate([x, np.repeat(x[:1], rows, axis=0)])


def attention_of_words(model: nn.Module) -> Callable:
  """(variables, images_BxIxHxWxC, ids_BxT, mask_BxI) -> attention_BxTxP.

  Row t is what the last decoder layer looked at, averaged over heads, when
  it chose ids[t] (ids as written: no leading 0). Films that a study does not
  have (mask_BxI False) get none.
  """

  def look(module: nn.Module, images_BxIxHxWxC, ids_BxT, mask_BxI):
    real_B = jnp.ones(len(ids_BxT), bool)
    patches, mask = module.encode(images_BxIxHxWxC, real_B, mask_BxI=mask_BxI)
    start = module.start_decoding(patches, mask, 1)
    return attention_while_writing(module, *start, ids_BxT, END)

  def run(variables, images_BxIxHxWxC, ids_BxT, mask_BxI=None):
    return model.apply(
      variables, images_BxIxHxWxC, ids_BxT, mask_BxI, method=look
    )

  return run
