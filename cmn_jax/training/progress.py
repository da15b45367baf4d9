"""What an epoch shows as it runs: a bar, TensorBoard rows, finite losses."""

import math
import statistics
import time

from cmn_jax.training import distributed, goodput
from input_pipeline.errors import UserError
from input_pipeline.terminal import progress_bar


class TrainingError(UserError):
  """Training cannot go on; the checkpoints so far are whole."""


class Speed:
  """How fast the steps of an epoch are, since the last row and in all."""

  def __init__(self, run):
    self._run, self._studies, self._all = run, 0, []
    self._since_row, self._studies_of_row = [], 0
    # The run's first step compiles: what follows is measured.
    self._compiles = run.program is None
    self._begin()

  def _begin(self):
    self._last = self._row_began = self._began = time.monotonic()
    self._waited_before = self._waited_at_begin = _waited()

  def step(self, studies: int) -> None:
    """A step's results are there."""
    if self._compiles:
      self._compiles = False
      self._begin()
      return
    now = time.monotonic()
    self._since_row.append(now - self._last)
    self._all.append(now - self._last)
    self._last = now
    self._studies_of_row += studies
    self._studies += studies

  def row(self) -> dict[str, float]:
    """TensorBoard's numbers of the steps since the last row, if any."""
    if not self._since_row:
      return {}
    median = statistics.median(self._since_row)
    seconds, waited = self._last - self._row_began, _waited()
    program = self._run.program
    row = {
      'step_seconds': median,
      'films_per_second': self._films(self._studies_of_row, seconds),
      'waited_seconds': waited - self._waited_before,
      'tflop_per_second': program.flops / median / 1e12,
    }
    if program.peak:
      row['share_of_peak'] = program.share_of_peak(median)
    self._since_row, self._studies_of_row = [], 0
    self._row_began, self._waited_before = self._last, waited
    return row

  def line(self) -> str:
    """The epoch's steps, in words; '' where there was none."""
    if not self._all:
      return ''
    median, program = statistics.median(self._all), self._run.program
    seconds = self._last - self._began
    share = program.share_of_peak(median)
    peak = f' ({share:.0%} of the peak)' if share else ''
    waited = (_waited() - self._waited_at_begin) / seconds
    films = self._films(self._studies, seconds)
    films = f'{films:.0f}' if films >= 10 else f'{films:.2g}'
    return (
      f'       {median:.3g} s a step, {films} films/s, '
      f'{program.flops / median / 1e12:.2g} TFLOP/s{peak}, {waited:.0%} waiting'
    )

  def _films(self, studies: int, seconds: float) -> float:
    return studies * self._run.config.data.views / max(seconds, 1e-9)


def _waited() -> float:
  return goodput.seconds().get('waiting for data', 0.0)


class EpochProgress:
  """The progress bar and TensorBoard rows of one epoch, and its losses.

  Attributes:
    totals: {name: (sum, count)} of the epoch's steps so far.
    speed: of these steps.
  """

  def __init__(self, run, epoch: int, metrics_out, totals: dict, done: int):
    """Begins, or goes on where `totals` of `done` studies stand.

    Args:
      run: `loop.Run`.
      epoch: from 0.
      metrics_out: where TensorBoard rows go.
      totals: as the attribute.
      done: studies of the epoch that earlier steps saw.
    """
    self._run = run
    self._epoch = epoch
    self._metrics_out = metrics_out
    self.totals, self._last = dict(totals), None
    self.speed = Speed(run)
    self._bar = progress_bar(
      total=run.studies,
      initial=min(done, run.studies),
      desc=f'epoch {epoch + 1}/{run.config.train.epochs}',
      unit=f' {run.task.unit}',
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
    return {name: mean(*pair) for name, pair in self.totals.items()}

  def read(self, step: int, studies: int, metrics):
    """Takes in one step's {name: (sum, count)}, still on the device."""
    pairs = {name: (float(s), float(n)) for name, (s, n) in metrics.items()}
    means = {name: mean(*pair) for name, pair in pairs.items()}
    for name in sorted(means, key=lambda name: name != 'loss'):
      if not math.isfinite(means[name]):
        self._refuse(name, means[name], step)
    self._last = means
    self.speed.step(studies)
    for name, pair in pairs.items():
      before = self.totals.get(name, (0.0, 0.0))
      self.totals[name] = (before[0] + pair[0], before[1] + pair[1])
    self._bar.set_postfix_str(f'loss {means["loss"]:.3f}', refresh=False)
    self._bar.update(studies)
    if step % self._run.config.train.log_every == 0:
      rate = float(self._run.schedule(step))
      losses = {f'train_{name}': value for name, value in means.items()}
      self._metrics_out.write_scalars(
        step, {**losses, 'learning_rate': rate, **self.speed.row()}
      )

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


def mean(total: float, count: float) -> float:
  """Of a sum of `count` terms, 0 where there are none."""
  return total / max(count, 1.0)
