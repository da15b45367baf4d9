"""The programs of a config, compiled by libtpu."""

import dataclasses
import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from benchmarks import models
from benchmarks.tpu.chips import CheckError
from cmn_jax.training.parallel import AXIS, Parallel
from cmn_jax.training.state import init_state

# Targets of a findings head; their number depends on the data, its cost not.
_FINDINGS = 14


class OutOfMemory(CheckError):
  """The program does not fit into the chip's HBM."""


@dataclasses.dataclass(frozen=True)
class Subject:
  """What is compiled, for which chips.

  Attributes:
    config: the run's.
    parallel: over the topology's chips.
    words: of the vocabulary, the 0 included.
  """

  config: ConfigDict
  parallel: Parallel
  words: int

  def train_step(self, studies: int):
    """The training step for a batch of `studies` over all chips."""
    config = self.config
    findings = _FINDINGS if config.train.findings_weight else 0
    model = models.make_model(config, self.words, AXIS, findings)
    optimizer = models.optimizer_of(config)
    step = models.make_step(config, model, optimizer)
    variables = models.shapes_of(config, model)
    state = jax.eval_shape(lambda v: init_state(v, optimizer), variables)
    batch = self._batch(studies)
    if findings:
      batch['findings_BxL'] = _array((studies, findings), jnp.float32)
    mapped = self.parallel.map_step(step, donate_state=True)
    return _compile(mapped, *self.parallel.describe(state, batch))

  def writer(self, studies: int):
    """The report writer for a batch of `studies` over all chips."""
    model = models.make_model(self.config, self.words, AXIS)
    write = models.writer_of(self.config, model)

    def write_batch(variables, batch):
      return write(
        variables, batch['images_BxIxHxW'], batch['mask_B'], batch['mask_BxI']
      )

    batch = self._batch(studies)
    del batch['ids_BxT']
    variables = models.shapes_of(self.config, model)
    return _compile(
      self.parallel.studies_program(write_batch),
      *self.parallel.describe(variables, batch),
    )

  def _batch(self, studies: int) -> dict:
    data = self.config.data
    films = (studies, data.views, data.image_size, data.image_size)
    return {
      'images_BxIxHxW': _array(films, jnp.uint8),
      'ids_BxT': _array((studies, data.max_length), jnp.int32),
      'mask_B': _array((studies,), bool),
      'mask_BxI': _array((studies, data.views), bool),
    }


def _array(shape, dtype):
  return jax.ShapeDtypeStruct(shape, dtype)


def _compile(mapped, state, batch):
  try:
    return mapped.lower(state, batch).compile()
  except jax.errors.JaxRuntimeError as error:
    if 'RESOURCE_EXHAUSTED' in str(error):
      raise OutOfMemory(_needs(str(error))) from None
    raise


def _needs(message: str) -> str:
  used = re.search(r'Used (\S+) of (\S+) hbm', message)
  if used is None:
    return 'the program does not fit into HBM'
  return f'the program needs {used.group(1)} of {used.group(2)} HBM'


def largest_batch(
  subject: Subject, chips: int, guess: int, log: Callable[[str], None]
) -> int:
  """The most studies per chip whose training step compiles into the HBM.

  Moves from the guess by quarters until one fits and one does not, then
  halves the gap until it is an eighth; logs each.
  """

  def fits(share: int) -> bool:
    try:
      subject.train_step(share * chips)
    except OutOfMemory as error:
      log(f'{share} studies per chip: {error}')
      return False
    log(f'{share} studies per chip fit')
    return True

  low, high, share = 0, None, max(guess, 1)
  while high is None or high - low > max(low // 8, 1):
    if fits(share):
      low = share
    else:
      high = share
    if high is None:
      share = max(low * 5 // 4, low + 1)
    elif not low:
      share = max(high * 4 // 5, 1)
      if high == 1:
        break
    else:
      share = (low + high) // 2
  return low
