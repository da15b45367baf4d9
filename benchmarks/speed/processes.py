"""Both sides of a workload, each in its process, asked in turn."""

import contextlib
import dataclasses
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.speed.workloads import GOALS, Plan
from input_pipeline.errors import UserError


class WorkerError(UserError):
  """A side that failed; the message ends with its own words."""


class KilledError(WorkerError):
  """A side that the system killed, as it does where memory runs out."""


class Worker:
  """A process of one side and one workload, set up and warm."""

  def __init__(self, side: str, workload: str, plan: Plan, env: dict):
    self._what = f'{workload} of {side}'
    command = [sys.executable, '-m', 'benchmarks.speed.worker', side]
    log = Path(plan.folder) / f'{side}_{workload}.log'
    self._errors = log.open('w+')
    self._process = subprocess.Popen(
      [*command, workload, str(plan.save())],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=self._errors,
      text=True,
      # Both sides may share one GPU: ours takes no more than it needs.
      env=os.environ
      | {
        'XLA_PYTHON_CLIENT_PREALLOCATE': 'false',
        'JAX_TRACEBACK_FILTERING': 'off',  # The last line is the reason.
      }
      | env,
    )
    try:
      self.start = self._read()
    except WorkerError:
      self.close()
      raise

  def _read(self) -> dict:
    line = self._process.stdout.readline()
    if line:
      return json.loads(line)
    self._process.wait()
    self._errors.seek(0)
    said = self._errors.read().strip().splitlines()
    status = self._process.returncode
    if status == -signal.SIGKILL:
      raise KilledError(f'{self._what} was killed: is there memory enough?')
    raise WorkerError(
      f'{self._what} stopped with status {status}: '
      f'{said[-1] if said else "no output"}'
    )

  def run(self) -> dict:
    """Runs once: seconds, peak_bytes and the workload's result."""
    with contextlib.suppress(BrokenPipeError):  # What ended it is read below.
      self._process.stdin.write('run\n')
      self._process.stdin.flush()
    return self._read()

  def close(self):
    """Ends the process."""
    self._process.stdin.close()
    self._process.wait()
    self._process.stdout.close()
    self._errors.close()


@dataclasses.dataclass
class Measured:
  """One side of one workload.

  Attributes:
    seconds: of each run.
    peak_bytes: the most memory that the process held while it ran.
    compile_seconds: of compilation alone, None where there is none.
    first_seconds: of the run that warmed up, which is not among `seconds`.
    setup_seconds: of all that came before; compilation is a part of it.
    flops: of the matrix products of a run, None where they are not counted.
    result: of the last run.
    in_turn: whether the sides took turns; else one ran after the other.
  """

  seconds: list[float]
  peak_bytes: int
  compile_seconds: float | None
  first_seconds: float
  setup_seconds: float
  flops: float | None
  result: object
  in_turn: bool = True

  @property
  def median(self) -> float:
    """Seconds of the median run."""
    return statistics.median(self.seconds)

  @property
  def spread(self) -> float:
    """Largest less smallest time, over the median."""
    return (max(self.seconds) - min(self.seconds)) / self.median


def measure(
  workload: str,
  sides: tuple[str, ...],
  plan: Plan,
  rounds: int,
  budget: float,
  env: dict[str, str] | None = None,
) -> dict[str, Measured]:
  """Runs the sides in turn, `rounds` times or until `budget` seconds are over.

  Each side's first run warms up and is not counted. At least one round is.
  Where both at once take more memory than there is, one runs after the other.

  Args:
    workload: a method of `Ours` and `Theirs`.
    sides: of 'ours', 'theirs' (as published) and 'theirs_best'.
    plan: its sizes.
    rounds: at most so many.
    budget: in seconds, of all sides.
    env: more variables for the processes' environment.

  Raises:
    WorkerError: a side failed.
  """
  try:
    return _in_turn(workload, sides, plan, rounds, budget, env)
  except KilledError:
    if len(sides) == 1:
      raise
  print(f'{workload}: too little memory for both at once, so one by one')
  found = {}
  for side in sides:
    share = budget / len(sides)
    found |= _in_turn(workload, (side,), plan, rounds, share, env)
  return {
    side: dataclasses.replace(one, in_turn=False) for side, one in found.items()
  }


def _in_turn(workload, sides, plan, rounds, budget, env):
  workers = {}
  try:
    for side in sides:
      workers[side] = Worker(side, workload, plan, env or {})
    runs = {side: [] for side in sides}
    begin = time.perf_counter()
    for _ in range(rounds):
      for side, worker in workers.items():
        runs[side].append(worker.run())
      if time.perf_counter() - begin > budget:
        break
  finally:
    for worker in workers.values():
      worker.close()
  return {
    side: Measured(
      seconds=[run['seconds'] for run in runs[side]],
      peak_bytes=max(run['peak_bytes'] for run in runs[side]),
      compile_seconds=worker.start['compile_seconds'],
      first_seconds=worker.start['first_seconds'],
      setup_seconds=worker.start['setup_seconds'],
      flops=worker.start['flops'],
      result=runs[side][-1]['result'],
    )
    for side, worker in workers.items()
  }


def do_once(workload: str, plan: Plan) -> dict:
  """Runs a workload of ours that is not measured; what it answers."""
  worker = Worker('ours', workload, plan, {})
  worker.close()
  return worker.start['facts']


def row_of(
  name: str, found: dict[str, Measured], scale: dict[str, float], peak: float
) -> tuple[dict, dict]:
  """The row of the JSON file, and what else was measured.

  Where theirs was measured as published and at its best, the faster counts.

  Args:
    name: of the workload.
    found: by side.
    scale: by side, what its seconds are multiplied by.
    peak: FLOP/s of a large product on this machine.
  """
  seconds = {side: found[side].median * scale[side] for side in found}
  ours, others = found['ours'], [side for side in found if side != 'ours']
  best = min(others, key=seconds.get, default=None)
  row = {
    'work': name,
    'ours_seconds': seconds['ours'],
    'theirs_seconds': best and seconds[best],
    'ratio': best and seconds[best] / seconds['ours'],
    'goal': GOALS.get(name),
    'ours_bytes': ours.peak_bytes,
    'theirs_bytes': best and found[best].peak_bytes,
  }
  detail = {
    'sides': {
      side: {
        'seconds': [s * scale[side] for s in one.seconds],
        'spread': one.spread,
        'peak_bytes': one.peak_bytes,
        'compile_seconds': one.compile_seconds,
        'first_seconds': one.first_seconds,
        'setup_seconds': one.setup_seconds,
      }
      for side, one in found.items()
    },
    'share_of_peak': ours.flops and ours.flops / ours.median / peak,
    'theirs_scale': best and scale[best],
    'in_turn': ours.in_turn,
  }
  if name in ('write_reports', 'ekagen_write') and best:
    pairs = list(zip(ours.result, found[best].result, strict=True))
    # Of theirs there may be the first words alone.
    detail['same_reports'] = sum(a[: len(b)] == b for a, b in pairs)
    detail['reports'] = len(pairs)
  return row, detail
