"""Kills a small phantom run at random moments, and compares what it ends with.

  python -m tests.soak --kills 100 --stops 20 --out soak.json

Each kill (SIGKILL) and stop (SIGTERM) comes at a random moment of a process,
from its start to its end; the same command continues it, until a run is done.
Its checkpoints and scores must then be those of the undisturbed run to the bit.
"""

import argparse
import collections
import json
import random
import re
import signal
import tempfile
import time
from pathlib import Path

from tests.made.runs import assert_same_run, start

# What a process was doing, by the last it said; the first that fits.
_PHASES = (
  ('constant report', 'evaluating'),
  (r'epoch\s+\d+ .*val loss', 'between epochs'),
  (r'epoch \d+/\d+:', 'training'),
  ('continuing|parameters', 'compiling'),
  ('', 'starting'),
)


def _phase(said: str) -> str:
  lines = [x for x in re.split(r'[\r\n]+', said) if x.strip()]
  last = lines[-1] if lines else ''
  return next(name for mark, name in _PHASES if re.search(mark, last))


def _stop_at_random(root, workdir, number, seconds, rng) -> dict | None:
  """Sends a signal after a random time; None where the process was faster."""
  process = start(root, workdir, '--config.train.save_every_steps=2')
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
    return {'phase': _phase(err + out), 'seconds': left}
  _, err = process.communicate()
  assert process.returncode == 0, err[-3000:]
  return None


def _undisturbed(root: Path, workdir: Path) -> float:
  begin = time.monotonic()
  process = start(root, workdir)
  _, err = process.communicate()
  assert process.returncode == 0, err[-3000:]
  return time.monotonic() - begin


def soak(root: Path, number: int, times: int, seed: int) -> dict:
  """Stops runs so many times; what the signal met, and how it went.

  Args:
    root: of data, cache and runs; `undisturbed` is made there.
    number: the signal.
    times: that it is sent.
    seed: of the moments.
  """
  rng, name = random.Random(seed), signal.Signals(number).name
  whole = root / 'undisturbed'
  if not (whole / 'evaluation' / 'test.json').exists():
    _undisturbed(root, whole)
  seconds = _undisturbed(root, root / 'warm')  # With all programs compiled.
  met, left, runs = collections.Counter(), [], 0
  while sum(met.values()) < times:
    runs += 1
    workdir = root / f'{name}_{runs}'
    while sum(met.values()) < times:
      stopped = _stop_at_random(root, workdir, number, seconds, rng)
      if stopped is None:
        break
      met[stopped['phase']] += 1
      left.append(stopped['seconds'])
      print(f'{name} {sum(met.values())}: {stopped}', flush=True)
    _undisturbed(root, workdir)
    assert_same_run(workdir, whole)
    print(f'run {runs} ends with the same bits', flush=True)
  left.sort()
  return {
    'signal': name,
    'sent': sum(met.values()),
    'while': dict(met),
    'runs_with_the_same_bits': runs,
    'seconds_to_leave': {'median': left[len(left) // 2], 'worst': left[-1]},
  }


def main() -> None:
  """Soaks and writes what came of it."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--kills', type=int, default=100)
  parser.add_argument('--stops', type=int, default=20)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--root', type=Path, help='folder; a new one by default')
  parser.add_argument('--out', type=Path, default='soak.json')
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as scratch:
    root = args.root or Path(scratch)
    results = [
      soak(root, number, times, args.seed)
      for number, times in (
        (signal.SIGKILL, args.kills),
        (signal.SIGTERM, args.stops),
      )
      if times
    ]
  args.out.write_text(json.dumps(results, indent=1) + '\n')
  print(json.dumps(results, indent=1))


if __name__ == '__main__':
  main()
