"""The epochs of a run: steps, validation, checkpoints, progress, patience."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import tqdm
from clu import metric_writers
from ml_collections import ConfigDict

from cmn_jax.training import distributed
from cmn_jax.training.checkpoints import Checkpoints
from cmn_jax.training.parallel import Parallel
from cmn_jax.training.state import TrainState
from input_pipeline.errors import UserError


class TrainingError(UserError):
  """Training cannot go on; the checkpoints so far are whole."""


class Run(Protocol):
  """What the epochs need of a run.

  Attributes:
    config: its `train` section says how many epochs, and when to stop.
    workdir: where TensorBoard rows go.
    parallel: the devices.
    steps_per_epoch: steps that see every training study once.
    studies: training studies, for the progress bar.
    unit: what the progress bar counts, such as 'reports'.
    schedule: learning rate by step.
  """

  config: ConfigDict
  workdir: Path
  parallel: Parallel
  steps_per_epoch: int
  studies: int
  unit: str

  def schedule(self, step: int) -> float:
    """Learning rate of a step."""

  def batches(self, first_step: int) -> Iterator[dict]:
    """Training batches from a step on, without end."""

  def step(self, state: TrainState, batch: dict):
    """Dispatches one step: the new state, and {'loss': (sum, count), ...}."""

  def validate(self, state: TrainState) -> dict:
    """Scores on validation, `train.select_by` among them."""

  def save(
    self,
    checkpoints: Checkpoints,
    state: TrainState,
    history: list[dict],
    score: float,
  ) -> None:
    """Saves the state after the last row of `history`."""

  def summary(self, row: dict) -> str:
    """A validated row of the history in one line."""


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
  for epoch in range(first_epoch, c.epochs):
    if _out_of_patience(history, run.config):
      break
    state, losses = _train_epoch(run, state, epoch, batches, metrics_out)
    step = (epoch + 1) * run.steps_per_epoch
    row = {'epoch': epoch + 1, 'step': step}
    row |= {f'train_{name}': loss for name, loss in losses.items()}
    history = [*history, row]
    if epoch + 1 == c.epochs or (epoch + 1) % c.validate_every == 0:
      row['val'] = run.validate(state)
      run.save(checkpoints, state, history, row['val'][c.select_by])
      metrics_out.write_scalars(
        step, {f'val_{k}': v for k, v in row['val'].items()}
      )
      tell(run.summary(row))
  metrics_out.close()
  checkpoints.close()


def tell(line: str):
  """Prints beside the progress bar, once for all processes."""
  if distributed.is_first():
    tqdm.tqdm.write(line, file=sys.stderr)


def _scalar_writer(workdir: Path) -> metric_writers.MetricWriter:
  """TensorBoard rows of the first process; the others write none."""
  if distributed.is_first():
    return metric_writers.SummaryWriter(str(workdir))
  return metric_writers.MultiWriter([])


def check_select_by(config: ConfigDict, selectable):
  """Raises ValueError unless validation gives what picks the checkpoint."""
  if config.train.select_by not in selectable:
    raise UserError(
      f'train.select_by is {config.train.select_by!r}; choose from '
      f'{", ".join(selectable)}'
    )


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
      unit=f' {run.unit}',
      dynamic_ncols=True,
      leave=False,
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
    self._bar.update(studies)
    self._bar.set_postfix_str(f'loss {means["loss"]:.3f}')
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
