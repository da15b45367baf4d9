"""What one run needs: compiled functions, batches, where it is saved."""

import math
from collections.abc import Iterator
from pathlib import Path

import optax
from ml_collections import ConfigDict

from cmn_jax.training import goodput
from cmn_jax.training.checkpoints import make_meta
from cmn_jax.training.distributed import log
from cmn_jax.training.film_look import film_meta
from cmn_jax.training.meta_fields import FILM_STATISTICS
from cmn_jax.training.optimizer import OptimConfig, make_optimizer
from cmn_jax.training.parallel import AXIS, Parallel
from cmn_jax.training.program import Program
from cmn_jax.training.progress import mean
from cmn_jax.training.saving import Checkpoints
from cmn_jax.training.state import TrainState
from cmn_jax.training.step import make_loss_step, make_train_step
from cmn_jax.training.studies import OverStudies, StudyBatches, place
from cmn_jax.training.task import Task
from cmn_jax.training.trace import StepTrace
from input_pipeline import stopping
from input_pipeline.augmentation import Augmentation
from input_pipeline.errors import UserError, check_least


class Run:
  """One run: the compiled functions and batches that its epochs need.

  Attributes:
    task: what is trained.
    config: the whole config.
    workdir: where checkpoints and TensorBoard rows go.
    parallel: the devices.
    studies: training studies.
    steps_per_epoch: steps that see every training study once.
    optimizer: of the trained parameters.
    schedule: learning rate by step, of all but the visual encoder.
    program: the compiled step; None before the first.
    trace: of the steps that train.profile names.
  """

  def __init__(
    self,
    task: Task,
    data,
    config: ConfigDict,
    augmentation: Augmentation,
    workdir: Path,
    parallel: Parallel,
  ):
    c = config.train
    parallel.check_batch_size(c.batch_size, 'train.batch_size', c.accumulate)
    parallel.check_batch_size(config.eval.batch_size, 'eval.batch_size')
    if c.select_by not in task.selectable:
      raise UserError(
        f'train.select_by is {c.select_by!r}; choose from '
        f'{", ".join(task.selectable)}'
      )
    for field in ('log_every', 'validate_every'):
      check_least(f'train.{field}', c[field], 1)
    check_least('seed', config.seed, 0)
    for field in ('save_every_steps', 'save_every_seconds'):
      if not 0 <= c[field] < math.inf:
        raise UserError(
          f'train.{field} is {c[field]}: expected 1 or more, or 0 for never'
        )
    self.task, self.config, self.workdir = task, config, workdir
    self._data, self._film_meta = data, None
    self.parallel = parallel
    self.studies = len(data.studies['train'])
    self.steps_per_epoch = -(-self.studies // c.batch_size)
    steps = self.steps_per_epoch * c.epochs
    self.trace = StepTrace(c.profile, steps, workdir / 'profile')
    optim = OptimConfig(**config.optim)
    self.schedule = optim.schedules(self.steps_per_epoch, c.epochs)[1]
    self.optimizer: optax.GradientTransformation = make_optimizer(
      optim, self.steps_per_epoch, c.epochs
    )
    self._val_studies = len(data.studies['val'])
    self._batches = StudyBatches(task, data, config, augmentation)
    self._step = parallel.map_step(
      make_train_step(task, self.optimizer, config.seed, AXIS, c.accumulate),
      donate_state=True,
    )
    self.program: Program | None = None
    self._loss = parallel.map_step(make_loss_step(task, AXIS))
    self._predict = OverStudies(
      lambda variables, batch: task.predict(variables, batch, full=False),
      parallel,
    )

  def batches(self, first_step: int) -> Iterator[dict]:
    """Training batches of this process from a step on, without end."""
    return self._batches.train(first_step)

  def step(self, state: TrainState, batch: dict):
    """Dispatches one step: the new state, and {name: (sum, count)}."""
    batch = place(self.parallel, batch)
    if self.program is None:
      device = self.parallel.devices[0]
      # A signal need not wait for the compiler.
      with stopping.unpolled(), goodput.spent('compiling'):
        self.program = Program(
          self._step, state, batch, device, self.config.train.accumulate
        )
      log(self.program.about())
    return self.program(state, batch)

  def validate(self, state: TrainState) -> dict:
    """The validation loss, and the scores of what is predicted."""
    if self._film_meta is None:
      self._film_meta = film_meta(self._data, self.config.eval.batch_size)
    variables, total, count = state.variables, 0.0, 0.0
    for batch in self._batches.split('val'):
      pair = self._loss(variables, place(self.parallel, batch))['loss']
      total, count = total + float(pair[0]), count + float(pair[1])
    rows = self._predict(
      variables, self._batches.split('val'), self._val_studies
    )
    scores = self.task.score('val', rows.arrays, False, variables)
    return {'loss': mean(total, count), **scores}

  def know_films(self, meta: dict) -> None:
    """Takes what training films look like from a checkpoint that says it.

    Else they are looked at before the first validation, so that the first step
    need not wait.

    Args:
      meta: of the checkpoint that is resumed; {} to begin.
    """
    if FILM_STATISTICS in meta:
      self._film_meta = {FILM_STATISTICS: meta[FILM_STATISTICS]}

  def save(
    self,
    checkpoints: Checkpoints,
    state: TrainState,
    history: list[dict],
    partial: dict | None = None,
  ) -> None:
    """Saves the state after the last row of the history, or within an epoch.

    Args:
      checkpoints: where to.
      state: as it is.
      history: a row for each epoch so far.
      partial: 'step' and 'totals' of the epoch that runs, see EpochProgress;
        None where the last row was validated.
    """
    about = {
      **self.task.meta(),
      **(self._film_meta or {}),
      'devices': len(self.parallel.devices),
      'split_digests': self._data.split_digest,
    }
    if partial is None:
      step = history[-1]['step']
      score = history[-1]['val'][self.config.train.select_by]
    else:
      step, score = partial['step'], None
      about = {**about, 'partial': partial}
    meta = make_meta(self.config, history, score, about)
    with goodput.spent('saving'):
      checkpoints.save(step, state, meta)
