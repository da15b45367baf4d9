"""The loop: epochs of steps, validation, checkpoints, patience, signals."""

import math
from collections.abc import Iterator
from pathlib import Path

import optax
from ml_collections import ConfigDict

from cmn_jax.training import distributed, goodput
from cmn_jax.training.checkpoints import make_meta
from cmn_jax.training.distributed import log
from cmn_jax.training.film_look import film_meta
from cmn_jax.training.optimizer import OptimConfig, make_optimizer
from cmn_jax.training.parallel import AXIS, Parallel
from cmn_jax.training.program import Program
from cmn_jax.training.progress import EpochProgress, mean
from cmn_jax.training.saving import Checkpoints
from cmn_jax.training.state import TrainState
from cmn_jax.training.step import make_loss_step, make_train_step
from cmn_jax.training.studies import OverStudies, StudyBatches, place
from cmn_jax.training.task import Task
from input_pipeline import stopping, tensorflow_cpu
from input_pipeline.augmentation import Augmentation
from input_pipeline.errors import UserError

# Steps between two looks at the clock, on which processes agree.
_CLOCK_STEPS = 10


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
    parallel.check_batch_size(c.batch_size, 'train.batch_size')
    parallel.check_batch_size(config.eval.batch_size, 'eval.batch_size')
    if c.select_by not in task.selectable:
      raise UserError(
        f'train.select_by is {c.select_by!r}; choose from '
        f'{", ".join(task.selectable)}'
      )
    for field in ('save_every_steps', 'save_every_seconds'):
      if not 0 <= c[field] < math.inf:
        raise UserError(
          f'train.{field} is {c[field]}: expected 1 or more, or 0 for never'
        )
    self.task, self.config, self.workdir = task, config, workdir
    self._data, self._film_meta = data, {}
    self.parallel = parallel
    self.studies = len(data.studies['train'])
    self.steps_per_epoch = -(-self.studies // c.batch_size)
    optim = OptimConfig(**config.optim)
    self.schedule = optim.schedules(self.steps_per_epoch, c.epochs)[1]
    self.optimizer: optax.GradientTransformation = make_optimizer(
      optim, self.steps_per_epoch, c.epochs
    )
    self._val_studies = len(data.studies['val'])
    self._batches = StudyBatches(task, data, config, augmentation)
    self._step = parallel.map_step(
      make_train_step(task, self.optimizer, config.seed, AXIS),
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
        self.program = Program(self._step, state, batch, device)
      log(self.program.about())
    return self.program(state, batch)

  def validate(self, state: TrainState) -> dict:
    """The validation loss, and the scores of what is predicted."""
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
    """Puts into all metas what training films look like.

    Args:
      meta: of the checkpoint that is resumed, which may say it; {} to begin.
    """
    size = self.config.eval.batch_size
    self._film_meta = film_meta(self._data, size, meta)

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
      **self._film_meta,
      'devices': len(self.parallel.devices),
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


def run_epochs(
  run: Run,
  state: TrainState,
  meta: dict,
  checkpoints: Checkpoints,
) -> None:
  """Trains to the end or until patience runs out, saving what is validated.

  Args:
    run: what is trained.
    state: to begin with, on the host.
    meta: of the checkpoint to resume; {} to begin.
    checkpoints: where to save.

  Raises:
    stopping.Stopped: a signal asked for it; what was trained is saved.
  """
  run.know_films(meta)
  epochs = _Epochs(run, state, meta, checkpoints)
  with stopping.polled():
    epochs.run()
    with goodput.spent('saving'):
      checkpoints.close()


class _Epochs:
  """What changes from epoch to epoch."""

  def __init__(self, run: Run, state, meta: dict, checkpoints: Checkpoints):
    self._run, self._checkpoints = run, checkpoints
    self._history = meta.get('history', [])
    self._partial = meta.get('partial') or {'totals': {}}
    self._first_step = int(state.step)
    self._state = run.parallel.replicate(state)
    self._batches = run.batches(self._first_step)
    self._speed = ''  # of the last epoch, in words
    self._signal: int | None = None
    self._metrics_out = _scalar_writer(run.workdir)

  def run(self) -> None:
    """All epochs that are left."""
    run, c = self._run, self._run.config.train
    if not c.epochs and not self._history:  # All was fitted at the start.
      self._history = [{'epoch': 0, 'step': 0}]
      self._validate()
    elif self._history and 'val' not in self._history[-1]:
      self._validate_if_due()  # Stopped before it could be.
    for epoch in range(self._first_step // run.steps_per_epoch, c.epochs):
      if _out_of_patience(self._history, run.config):
        break
      losses = self._train(epoch)
      row = {'epoch': epoch + 1, 'step': (epoch + 1) * run.steps_per_epoch}
      row |= {f'train_{name}': loss for name, loss in losses.items()}
      self._history = [*self._history, row]
      if self._asked_to_stop(row['step']):
        self._save_and_leave(row['step'], {})
      self._validate_if_due()
    self._metrics_out.close()

  def _train(self, epoch: int) -> dict[str, float]:
    """What is left of an epoch; the means of its training losses."""
    run = self._run
    begin = epoch * run.steps_per_epoch
    first = max(begin, self._first_step)
    end = begin + run.steps_per_epoch
    done = (first - begin) * run.config.train.batch_size
    totals = self._partial['totals'] if first > begin else {}
    pending = None
    with (
      goodput.spent('steps'),
      EpochProgress(run, epoch, self._metrics_out, totals, done) as progress,
    ):
      for step in range(first, end):
        with goodput.spent('waiting for data'):
          batch = next(self._batches)
        self._state, metrics = run.step(self._state, batch)
        # The results of a step are read while the next one runs.
        if pending is not None:
          progress.read(*pending)
        pending = (step, int(batch['mask_B'].sum()), metrics)
        stop = step + 1 < end and self._asked_to_stop(step + 1)
        if stop or self._save_is_due(step + 1, end):
          progress.read(*pending)
          pending = None
          if stop:
            self._save_and_leave(step + 1, progress.totals)
          self._save_partial(step + 1, progress.totals)
      if pending is not None:
        progress.read(*pending)
    self._speed = progress.speed.line()
    return progress.means

  def _validate_if_due(self) -> None:
    c, row = self._run.config.train, self._history[-1]
    if row['epoch'] < c.epochs and row['epoch'] % c.validate_every:
      if self._save_is_due(row['step'], None):
        self._save_partial(row['step'], {})
      return
    self._validate()
    self._metrics_out.write_scalars(
      row['step'],
      {f'val_{k}': v for k, v in self._history[-1]['val'].items()},
    )

  def _validate(self) -> None:
    """Validates and saves; a signal saves what is not yet validated."""
    row = self._history[-1]

    def save() -> str:
      return self._saved(row['step'], {})

    with (
      goodput.spent('validation'),
      stopping.unpolled(first=save if row['step'] else None),
    ):
      row = {**row, 'val': self._run.validate(self._state)}
    self._history = [*self._history[:-1], row]
    self._run.save(self._checkpoints, self._state, self._history)
    log(_line(self._run.task, row))
    if self._speed:
      log(self._speed)

  def _asked_to_stop(self, step: int) -> bool:
    self._signal = distributed.asked_to_stop(step)
    return self._signal is not None

  def _save_is_due(self, step: int, end: int | None) -> bool:
    """By steps or seconds; not at the end of an epoch, where others save."""
    c = self._run.config.train
    if step == end:
      return False
    if c.save_every_steps and step % c.save_every_steps == 0:
      return True
    if not c.save_every_seconds or step % _CLOCK_STEPS:
      return False
    since = self._checkpoints.seconds_since_save
    return distributed.any_says(since >= c.save_every_seconds)

  def _save_partial(self, step: int, totals: dict) -> None:
    partial = {'step': step, 'totals': totals}
    self._run.save(self._checkpoints, self._state, self._history, partial)

  def _saved(self, step: int, totals: dict) -> str:
    """Saves to the disk, and says so."""
    self._save_partial(step, totals)
    self._checkpoints.wait()
    self._metrics_out.flush()
    return f'saved after step {step}, the same command continues there'

  def _save_and_leave(self, step: int, totals: dict) -> None:
    said = self._saved(step, totals)
    self._metrics_out.close()
    self._checkpoints.close()
    stopping.leave(self._signal, said)


def _line(task: Task, row: dict) -> str:
  """A validated epoch in one line."""
  shown = '  '.join(
    f'{label} {row["val"][name]:.3f}' for name, label in task.shown.items()
  )
  trained = f'train loss {row["train_loss"]:.3f}  ' if row['epoch'] else ''
  return (
    f'epoch {row["epoch"]:3d}  {trained}val loss {row["val"]["loss"]:.3f}  '
    f'{shown}'
  )


def _scalar_writer(workdir: Path):
  """TensorBoard rows of the first process; the others write none."""
  tensorflow_cpu.load()
  from clu import metric_writers  # late: it imports TensorFlow

  if distributed.is_first():
    return metric_writers.SummaryWriter(str(workdir))
  return metric_writers.MultiWriter([])


def _out_of_patience(history: list[dict], config: ConfigDict) -> bool:
  """Whether the best score is at least `patience` epochs old."""
  rows = [row for row in history if 'val' in row]
  select_by = config.train.select_by
  # The first of those that score best, as for the checkpoints.
  best = max(rows, key=lambda row: row['val'][select_by], default=None)
  if best is None:
    return False
  return history[-1]['epoch'] - best['epoch'] >= config.train.patience
