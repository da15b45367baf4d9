"""The loop: epochs of steps, validation, checkpoints, progress, patience."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import optax
import tqdm
from clu import metric_writers
from ml_collections import ConfigDict

from cmn_jax.training import distributed
from cmn_jax.training.checkpoints import Checkpoints, make_meta
from cmn_jax.training.distributed import log
from cmn_jax.training.optimizer import OptimConfig, make_optimizer
from cmn_jax.training.parallel import AXIS, Parallel
from cmn_jax.training.state import TrainState
from cmn_jax.training.step import make_loss_step, make_train_step
from cmn_jax.training.studies import OverStudies, StudyBatches, place
from cmn_jax.training.task import Task
from input_pipeline.augmentation import Augmentation
from input_pipeline.errors import UserError


class TrainingError(UserError):
  """Training cannot go on; the checkpoints so far are whole."""


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
    self.task, self.config, self.workdir = task, config, workdir
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
    return self._step(state, place(self.parallel, batch))

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
    return {'loss': _mean(total, count), **scores}

  def save(
    self, checkpoints: Checkpoints, state: TrainState, history: list[dict]
  ) -> None:
    """Saves the state after the last row of the history."""
    score = history[-1]['val'][self.config.train.select_by]
    meta = make_meta(self.config, history, score, self.task.meta())
    checkpoints.save(history[-1]['step'], state, meta)


def run_epochs(
  run: Run,
  state: TrainState,
  history: list[dict],
  checkpoints: Checkpoints,
) -> None:
  """Trains to the end or until patience runs out, saving what is validated.

  Args:
    run: what is trained.
    state: to begin with, on the host.
    history: a row for each epoch so far: epoch, step, train_loss and, where
      it was validated, val.
    checkpoints: where to save.
  """
  c = run.config.train
  first_epoch = int(state.step) // run.steps_per_epoch
  state = run.parallel.replicate(state)
  batches = run.batches(first_epoch * run.steps_per_epoch)
  metrics_out = _scalar_writer(run.workdir)
  if not c.epochs and not history:  # All of it was fitted at the start.
    history = _validated(run, state, [{'epoch': 0, 'step': 0}], checkpoints)
  for epoch in range(first_epoch, c.epochs):
    if _out_of_patience(history, run.config):
      break
    state, losses = _train_epoch(run, state, epoch, batches, metrics_out)
    step = (epoch + 1) * run.steps_per_epoch
    row = {'epoch': epoch + 1, 'step': step}
    row |= {f'train_{name}': loss for name, loss in losses.items()}
    history = [*history, row]
    if epoch + 1 == c.epochs or (epoch + 1) % c.validate_every == 0:
      history = _validated(run, state, history, checkpoints)
      scores = history[-1]['val']
      metrics_out.write_scalars(
        step, {f'val_{k}': v for k, v in scores.items()}
      )
  metrics_out.close()
  checkpoints.close()


def _validated(run: Run, state, history, checkpoints) -> list[dict]:
  """Validates and saves; the history with the scores in its last row."""
  history = [*history[:-1], {**history[-1], 'val': run.validate(state)}]
  run.save(checkpoints, state, history)
  log(_line(run.task, history[-1]))
  return history


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


def _scalar_writer(workdir: Path) -> metric_writers.MetricWriter:
  """TensorBoard rows of the first process; the others write none."""
  if distributed.is_first():
    return metric_writers.SummaryWriter(str(workdir))
  return metric_writers.MultiWriter([])


def _train_epoch(run: Run, state, epoch: int, batches, metrics_out) -> tuple:
  """One epoch; returns the state and the means of the training losses."""
  first = epoch * run.steps_per_epoch
  pending = None
  with _EpochProgress(run, epoch, metrics_out) as progress:
    for step in range(first, first + run.steps_per_epoch):
      batch = next(batches)
      state, metrics = run.step(state, batch)
      # The results of a step are read while the next one runs.
      if pending is not None:
        progress.read(*pending)
      pending = (step, int(batch['mask_B'].sum()), metrics)
    progress.read(*pending)
  return state, progress.means


class _EpochProgress:
  """The progress bar and TensorBoard rows of one epoch, and its losses."""

  def __init__(self, run: Run, epoch: int, metrics_out):
    self._run = run
    self._epoch = epoch
    self._metrics_out = metrics_out
    self._totals, self._last = {}, None
    self._bar = tqdm.tqdm(
      total=run.studies,
      desc=f'epoch {epoch + 1}/{run.config.train.epochs}',
      unit=f' {run.task.unit}',
      dynamic_ncols=True,
      leave=False,
      mininterval=0.1 if sys.stderr.isatty() else 15,
      disable=not distributed.is_first(),
    )

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self._bar.close()

  @property
  def means(self) -> dict[str, float]:
    """Each loss over the epoch so far, such as 'loss' in nats per token."""
    return {name: _mean(*pair) for name, pair in self._totals.items()}

  def read(self, step: int, studies: int, metrics):
    """Takes in one step's {name: (sum, count)}, still on the device."""
    pairs = {name: (float(s), float(n)) for name, (s, n) in metrics.items()}
    means = {name: _mean(*pair) for name, pair in pairs.items()}
    for name in sorted(means, key=lambda name: name != 'loss'):
      if not math.isfinite(means[name]):
        self._refuse(name, means[name], step)
    self._last = means
    for name, pair in pairs.items():
      before = self._totals.get(name, (0.0, 0.0))
      self._totals[name] = (before[0] + pair[0], before[1] + pair[1])
    self._bar.set_postfix_str(f'loss {means["loss"]:.3f}', refresh=False)
    self._bar.update(studies)
    if step % self._run.config.train.log_every == 0:
      rate = float(self._run.schedule(step))
      losses = {f'train_{name}': value for name, value in means.items()}
      self._metrics_out.write_scalars(step, {**losses, 'learning_rate': rate})

  def _refuse(self, name: str, loss: float, step: int):
    optim = self._run.config.optim
    before = (
      'at the first step of this epoch'
      if self._last is None
      else f'after {self._last[name]:.4g}'
    )
    what = 'the training loss' if name == 'loss' else name
    raise TrainingError(
      f'{what} became {loss} {before}, at step {step} of epoch '
      f'{self._epoch + 1}: lower optim.rate ({optim.rate}) and '
      f'optim.visual_rate ({optim.visual_rate}), or set optim.clip_norm; '
      'the checkpoints of earlier epochs are whole'
    )


def _mean(total: float, count: float) -> float:
  return total / max(count, 1.0)


def _out_of_patience(history: list[dict], config: ConfigDict) -> bool:
  """Whether the best score is at least `patience` epochs old."""
  rows = [row for row in history if 'val' in row]
  select_by = config.train.select_by
  # The first of those that score best, as for the checkpoints.
  best = max(rows, key=lambda row: row['val'][select_by], default=None)
  if best is None:
    return False
  return history[-1]['epoch'] - best['epoch'] >= config.train.patience
