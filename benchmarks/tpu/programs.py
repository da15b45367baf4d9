"""The programs of a config, compiled by libtpu."""

import dataclasses
import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from benchmarks.tpu.chips import CheckError
from cmn_jax.decoding.generate import Decoding, make_writer
from cmn_jax.losses.report import ReportObjective
from cmn_jax.models.alignment import AlignmentConfig
from cmn_jax.models.config import ModelConfig
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.training.optimizer import OptimConfig, make_optimizer
from cmn_jax.training.parallel import AXIS, Parallel
from cmn_jax.training.state import init_state, study_batch, variable_shapes
from cmn_jax.training.step import make_train_step

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

  def programs(self) -> dict[str, Callable]:
    """What compiles each for a batch of so many studies over all chips."""
    return {'train_step': self.train_step, 'write_reports': self.writer}

  def train_step(self, studies: int):
    """The training step for a batch of `studies` over all chips."""
    c = self.config
    findings = _FINDINGS if c.train.findings_weight else 0
    objective = ReportObjective(
      self._model(findings),
      AlignmentConfig(**c.alignment),
      c.train.findings_weight,
    )
    more = {'findings_BxL': ((findings,), jnp.float32)} if findings else {}
    variables = self._variables(objective.model)
    return self._compile_step(objective, variables, studies, more=more)

  def writer(self, studies: int):
    """The report writer for a batch of `studies` over all chips."""
    model = self._model()
    decoding = Decoding(**self.config.decode, seed=self.config.seed)
    write = make_writer(model, decoding)

    def write_batch(variables, batch):
      return write(
        variables, batch['images_BxIxHxW'], batch['mask_B'], batch['mask_BxI']
      )

    batch = self._batch(studies)
    del batch['ids_BxT']
    return compile_for(
      self.parallel.studies_program(write_batch),
      *self.parallel.describe(self._variables(model), batch),
    )

  def _compile_step(
    self, objective, variables, studies: int, frozen=(), more=None
  ):
    """The step of an objective; `more` of a batch by (shape, type)."""
    c = self.config
    optimizer = make_optimizer(
      OptimConfig(**c.optim), steps_per_epoch=100, epochs=c.train.epochs
    )
    step = make_train_step(
      objective, optimizer, c.seed, AXIS, c.train.accumulate
    )
    state = jax.eval_shape(
      lambda v: init_state(v, optimizer, frozen), variables
    )
    batch = self._batch(studies)
    for name, (shape, dtype) in (more or {}).items():
      batch[name] = _array((studies, *shape), dtype)
    mapped = self.parallel.map_step(step, donate_state=True)
    return compile_for(mapped, *self.parallel.describe(state, batch))

  def _model(self, findings: int = 0) -> ReportGenerator:
    targets = [''] * findings  # Their names say nothing to the network.
    return ReportGenerator(
      ModelConfig.of(self.config, self.words, targets), AXIS
    )

  def _variables(self, model: ReportGenerator):
    return variable_shapes(model.clone(axis_name=None), self._blank())

  def _blank(self) -> dict:
    c = self.config.data
    return study_batch(c.views, c.image_size, c.max_length)

  def _batch(self, studies: int) -> dict:
    return {
      name: _array((studies, *x.shape[1:]), x.dtype)
      for name, x in self._blank().items()
    }


def _array(shape, dtype):
  return jax.ShapeDtypeStruct(shape, dtype)


def compile_for(mapped, state, batch):
  """The program; raises OutOfMemory where it does not fit."""
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
  subject: Subject, shares: int, guess: int, log: Callable[[str], None]
) -> int:
  """The most studies at once whose training step compiles into the HBM.

  Moves from the guess by quarters until one fits and one does not, then
  halves the gap until it is an eighth; logs each.

  Args:
    subject: whose step it is.
    shares: chips, times the parts of a step; as many studies go into each.
    guess: where the search begins.
    log: is told of each number.
  """

  def fits(share: int) -> bool:
    try:
      subject.train_step(share * shares)
    except OutOfMemory as error:
      log(f'{share} studies at once per chip: {error}')
      return False
    log(f'{share} studies at once per chip fit')
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
