"""The loop: epochs of steps, validation, checkpoints, patience, signals."""

import contextlib
from pathlib import Path

from ml_collections import ConfigDict

from cmn_jax.training import distributed, goodput
from cmn_jax.training.distributed import log
from cmn_jax.training.progress import EpochProgress
from cmn_jax.training.run import Run
from cmn_jax.training.saving import Checkpoints
from cmn_jax.training.state import TrainState
from cmn_jax.training.task import Task
from input_pipeline import stopping, tensorflow_cpu

# Steps between two looks at the clock, on which processes agree.
_CLOCK_STEPS = 10


def run_epochs(
  run: Run,
  state: TrainState,
  meta: dict,
  checkpoints: Checkpoints | None,
) -> None:
  """Trains to the end or until patience runs out, saving what is validated.

  With data.synthetic all epochs, of which nothing is validated or saved.

  Args:
    run: what is trained.
    state: to begin with, on the host.
    meta: of the checkpoint to resume; {} to begin.
    checkpoints: where to save; None with data.synthetic.

  Raises:
    stopping.Stopped: a signal asked for it; what was trained is saved.
  """
  run.know_films(meta)
  epochs = _Epochs(run, state, meta, checkpoints)
  with stopping.polled(), contextlib.closing(run.trace):
    epochs.run()
    if checkpoints:
      with goodput.spent('saving'):
        checkpoints.close()


class _Epochs:
  """What changes from epoch to epoch."""

  def __init__(self, run: Run, state, meta: dict, checkpoints):
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
    elif self._awaits_validation():
      self._validate_if_due()
    for epoch in range(self._first_step // run.steps_per_epoch, c.epochs):
      if _out_of_patience(self._history, run.config):
        break
      losses = self._train(epoch)
      row = {'epoch': epoch + 1, 'step': (epoch + 1) * run.steps_per_epoch}
      row |= {f'train_{name}': loss for name, loss in losses.items()}
      self._history = [*self._history, row]
      if not self._checkpoints:
        log(f'epoch {row["epoch"]:3d}  of one made-up batch\n{self._speed}')
        continue
      if self._asked_to_stop(row['step']):
        self._save_and_leave(row['step'], {})
      self._validate_if_due()
    self._metrics_out.close()

  def _awaits_validation(self) -> bool:
    """Whether the run was stopped at an epoch's end, before validation."""
    last = self._history[-1] if self._history else {'val': None}
    # Within the next epoch the state is a later one.
    return 'val' not in last and last['step'] == self._first_step

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
        with run.trace.step(step, self._state):
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
      run.trace.turn(end, self._state)
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
    if step == end or not self._checkpoints:
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
    if not self._checkpoints:
      self._metrics_out.flush()
      return 'nothing is saved of training on a made-up batch'
    self._save_partial(step, totals)
    self._checkpoints.wait()
    self._metrics_out.flush()
    return f'saved after step {step}, the same command continues there'

  def _save_and_leave(self, step: int, totals: dict) -> None:
    said = self._saved(step, totals)
    self._metrics_out.close()
    if self._checkpoints:
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
