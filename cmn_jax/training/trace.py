"""A profiler's trace of some training steps, written for people to look at."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import jax

from cmn_jax.training import distributed, goodput
from input_pipeline.errors import UserError


class StepTrace:
  """The trace of the steps that train.profile names, of the first process.

  Steps count from 0, as in TensorBoard; '10:15' are those from 10 to 14. What
  was dispatched before has ended when it begins, and they when it ends.
  """

  def __init__(self, steps: str, of: int, folder: Path):
    """Reads the field, and traces nothing yet.

    Args:
      steps: train.profile; '' for no trace.
      of: steps of the whole run.
      folder: where the trace goes.

    Raises:
      UserError: not FIRST:END, or steps that the run does not have.
    """
    self._folder, self._runs = folder, False
    self._first = self._end = 0
    if not steps:
      return
    match = re.fullmatch(r'(\d+):(\d+)', steps)
    self._first, self._end = map(int, match.groups()) if match else (0, 0)
    if not self._first < self._end <= of:
      raise UserError(
        f'train.profile is {steps!r}: expected FIRST:END with 0 <= FIRST < END '
        f"<= {of}, such as '10:15' for the steps 10 to 14, or '' for no trace"
      )

  @contextlib.contextmanager
  def step(self, step: int, state) -> Iterator[None]:
    """Within it a step is dispatched, from a state that it may still wait for.

    Args:
      step: its number.
      state: arrays on the devices.
    """
    self.turn(step, state)
    with jax.profiler.StepTraceAnnotation('train', step_num=step):
      yield

  def turn(self, step: int, state) -> None:
    """Begins or ends the trace where `step` is the next one."""
    inside = self._first <= step < self._end and distributed.is_first()
    if inside == self._runs:
      return
    jax.block_until_ready(state)
    if not inside:
      self.close()
      return
    jax.profiler.start_trace(self._folder)
    self._runs = True

  def close(self) -> None:
    """Writes what there is of a trace that has begun."""
    if not self._runs:
      return
    self._runs = False
    with goodput.spent('saving'):
      jax.profiler.stop_trace()
    distributed.log(
      f'a trace of the steps from {self._first} on is in {self._folder}: '
      f'pip install xprof; xprof --logdir={self._folder}'
    )
