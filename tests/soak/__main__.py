"""Kills a small phantom run at random moments, and compares what it ends with.

  python -m tests.soak --kills 100 --stops 20 --builds 5 --epochs 160 \
    --out soak.json

Each kill (SIGKILL) and stop (SIGTERM) comes at a random moment of a process,
from its start to its end; the same command continues it, until a run is done.
Its checkpoints, scores and TensorBoard rows must then be those of the
undisturbed run to the bit, and what a stopped one has said to save be there.
So must the student of `python -m cmn_jax.ekagen build`, killed so many times.
A run of many short epochs, each with its validation, shows whether memory and
open files grow.
"""

import argparse
import collections
import contextlib
import dataclasses
import json
import os
import random
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cmn_jax.training.checkpoints import latest_folder, load_meta
from tests.made import ekagen
from tests.made.runs import assert_same_run, scalars, start

# What a process was doing, by the last it said; the first that fits.
_PHASES = (
  ('constant report', 'evaluating'),
  ('and scoring', 'scoring'),
  (r'epoch\s+\d+ .*val loss', 'between epochs'),
  (r'epoch \d+/\d+:', 'training'),
  ('continuing|parameters', 'compiling'),
  ('', 'starting'),
)


def _phase(said: str) -> str:
  lines = [x for x in re.split(r'[\r\n]+', said) if x.strip()]
  lines = [x for x in lines if not x.startswith('stopped by')]
  last = lines[-1] if lines else ''
  return next(name for mark, name in _PHASES if re.search(mark, last))


@dataclasses.dataclass(frozen=True)
class Subject:
  """What is stopped.

  Attributes:
    name: of its folders.
    start: of the root, a workdir and flags, its process.
    flags: of all.
    stopped_flags: of those that are stopped.
    compared: folder of the run that is compared, below the workdir.
  """

  name: str
  start: Callable[..., subprocess.Popen]
  flags: tuple[str, ...]
  stopped_flags: tuple[str, ...]
  compared: str


# So many epochs that it trains for longer than it starts.
_LONG = ('--config.train.epochs=30', '--config.train.patience=30')
_SAVES = ('--config.train.save_every_steps=2',)
RUN = Subject('run', start, _LONG, _SAVES, '')
BUILD = Subject('build', ekagen.start, (), (), 'student')


def _stop_at_random(process, number, seconds, rng) -> dict | None:
  """Sends a signal after a random time; None where the process was faster."""
  try:
    process.wait(timeout=rng.uniform(0.5, seconds))
  except Exception:  # It runs, as it should.
    begin = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate()
    left = time.monotonic() - begin
    expected = -number if number == signal.SIGKILL else 128 + number
    # A process that Python has not yet begun dies of SIGTERM itself.
    early = number == signal.SIGTERM and process.returncode == -number
    assert process.returncode == expected or early, err[-3000:]
    assert 'Traceback' not in err, err[-3000:]
    return {'phase': _phase(err + out), 'seconds': left, 'said': err + out}
  _, err = process.communicate()
  assert process.returncode == 0, err[-3000:]
  return None


def _went_on(said: str, saved: int | None) -> int | None:
  """The step that a process said to have saved when it was stopped.

  It must have begun at the one that the process before it had saved.
  """
  begun = re.search(r'^continuing .* after step (\d+)', said, re.MULTILINE)
  assert not (begun and saved) or int(begun[1]) == saved, (saved, said)
  told = re.search(r'saved after step (\d+)', said)
  if told:
    return int(told[1])
  return None if begun else saved


def _undisturbed(subject: Subject, root: Path, workdir: Path) -> float:
  begin = time.monotonic()
  process = subject.start(root, workdir, *subject.flags)
  _, err = process.communicate()
  assert process.returncode == 0, err[-3000:]
  return time.monotonic() - begin


def soak(
  subject: Subject, root: Path, number: int, times: int, seed: int
) -> dict:
  """Stops it so many times; what the signal met, and how it went.

  Args:
    subject: a run, or a build.
    root: of data, cache and runs; `undisturbed` is made there.
    number: the signal.
    times: that it is sent.
    seed: of the moments.
  """
  rng, name = random.Random(seed), signal.Signals(number).name
  whole, warm = (root / f'{subject.name}_{x}' for x in ('undisturbed', 'warm'))
  if not (whole / subject.compared / 'evaluation' / 'test.json').exists():
    _undisturbed(subject, root, whole)
  seconds = _undisturbed(subject, root, warm)  # With all programs compiled.
  met, left, runs = collections.Counter(), [], 0
  while sum(met.values()) < times:
    runs += 1
    workdir, saved = root / f'{subject.name}_{name}_{runs}', None
    while sum(met.values()) < times:
      flags = (*subject.flags, *subject.stopped_flags)
      process = subject.start(root, workdir, *flags)
      stopped = _stop_at_random(process, number, seconds, rng)
      if stopped is None:
        break
      saved = _went_on(stopped.pop('said'), saved)
      met[stopped['phase']] += 1
      left.append(stopped['seconds'])
      print(f'{name} {sum(met.values())}: {stopped}', flush=True)
    _undisturbed(subject, root, workdir)
    ends = workdir / subject.compared, whole / subject.compared
    assert_same_run(*ends)
    assert scalars(ends[0]) == scalars(ends[1])
    print(f'{subject.name} {runs} ends with the same bits', flush=True)
  left.sort()
  return {
    'subject': subject.name,
    'signal': name,
    'sent': sum(met.values()),
    'while': dict(met),
    'ended_with_the_same_bits': runs,
    'seconds_to_leave': {'median': left[len(left) // 2], 'worst': left[-1]},
  }


def watch(root: Path, epochs: int) -> dict:
  """Memory and open files of a run that trains so many epochs of 13 steps.

  Medians of its second quarter, when all is compiled, and of its last.
  """
  fields = {'epochs': epochs, 'batch_size': 4, 'patience': epochs}
  workdir = root / 'watched'
  process = start(
    root,
    workdir,
    *(f'--config.train.{name}={value}' for name, value in fields.items()),
  )
  said = threading.Thread(target=process.communicate)
  said.start()
  proc, rows = Path(f'/proc/{process.pid}'), []
  while said.is_alive():
    with contextlib.suppress(OSError, IndexError):
      pages = int((proc / 'statm').read_text().split()[1])
      files = len(os.listdir(proc / 'fd'))
      evaluates = (workdir / 'evaluation').exists()
      if any((workdir / 'checkpoints').glob('[0-9]*')) and not evaluates:
        rows.append((pages * os.sysconf('SC_PAGE_SIZE') / 1e6, files))
    said.join(0.2)
  assert process.returncode == 0
  quarters = np.array_split(np.array(rows), 4)
  (early, open_early), (late, open_late) = (
    np.median(quarters[n], axis=0) for n in (1, 3)
  )
  history = load_meta(latest_folder(workdir))['history']
  return {
    'validations': len(history),
    'steps': history[-1]['step'],
    'samples': len(rows),
    'memory_mb': {'second_quarter': early, 'last_quarter': late},
    'open_files': {'second_quarter': open_early, 'last_quarter': open_late},
  }


def table(results: list[dict]) -> str:
  """Markdown of what `soak` gave, and a sentence of what `watch` did."""
  lines = [
    '| what, how often | while | runs with the same bits | seconds to leave |',
    '| --- | --- | ---: | ---: |',
  ]
  for row in (row for row in results if 'signal' in row):
    met = ', '.join(f'{phase} {n}' for phase, n in sorted(row['while'].items()))
    left = row['seconds_to_leave']
    runs = row['ended_with_the_same_bits']
    lines.append(
      f'| {row["subject"]}, {row["signal"]}, {row["sent"]} | {met} | '
      f'{runs} of {runs} | {left["median"]:.2f}, at most {left["worst"]:.2f} |'
    )
  for row in (row for row in results if 'memory_mb' in row):
    memory, files = (
      ' to '.join(f'{value:.0f}' for value in row[key].values())
      for key in ('memory_mb', 'open_files')
    )
    lines.append(
      f'\n{row["validations"]} epochs with their validations, {row["steps"]} '
      f'steps: from the second quarter to the last memory went from {memory} '
      f'MB, open files from {files}.'
    )
  return '\n'.join(lines)


def main() -> None:
  """Soaks and writes what came of it."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--kills', type=int, default=100)
  parser.add_argument('--stops', type=int, default=20)
  parser.add_argument('--builds', type=int, default=5, help='kills of builds')
  parser.add_argument('--epochs', type=int, default=160)
  parser.add_argument('--devices', type=int, default=1, help='simulated ones')
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--root', type=Path, help='folder; a new one by default')
  parser.add_argument('--out', type=Path, default='soak.json')
  args = parser.parse_args()
  count = f'--xla_force_host_platform_device_count={args.devices}'
  os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {count}'.strip()
  with tempfile.TemporaryDirectory() as scratch:
    root = args.root or Path(scratch)
    results = [
      soak(subject, root, number, times, args.seed)
      for subject, number, times in (
        (RUN, signal.SIGKILL, args.kills),
        (RUN, signal.SIGTERM, args.stops),
        (BUILD, signal.SIGKILL, args.builds),
      )
      if times
    ]
    results += [watch(root, args.epochs)] if args.epochs else []
  args.out.write_text(json.dumps(results, indent=1) + '\n')
  print(table(results))


if __name__ == '__main__':
  main()
