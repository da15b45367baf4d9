"""Reads damaged files, each in a child with a limit of time and memory.

  python -m tests.fuzz --seconds 600 --seed 0 --out runs/fuzz.json
  python -m tests.fuzz --replay runs/fuzz.faults/PNG-0-17.png

Right is a result, or a UserError. A fault is any other exception, a death, 20 s
of computing, 2 GB of memory, or a write outside of the scratch folder; its
input goes to a folder beside --out.
"""

import argparse
import collections
import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from input_pipeline.errors import UserError
from tests.fuzz.kinds import HAS_TORCH, Seed, make_seeds
from tests.fuzz.mutate import mutated

if HAS_TORCH:  # Children of a parent that has it need not import it.
  import torch

  torch.set_num_threads(1)

_SECONDS, _BYTES = 20, 2_000_000_000
_PATIENCE = 120  # seconds without a word, of a machine that others use too
_BATCH = 50
_WRITES = (
  *('os.mkdir', 'os.rename', 'os.remove', 'os.rmdir', 'os.symlink', 'os.link'),
  *('os.chmod', 'os.chown', 'os.truncate', 'os.utime', 'os.setxattr'),
)
_AT = ('os.mkdir', 'os.remove', 'os.rmdir')  # that may start at a folder
_NEVER = ('subprocess.Popen', 'os.system', 'os.exec', 'socket.connect')


class _Guard:
  """Says what was done outside of the folders where an input may write."""

  def __init__(self, *allowed: Path | str):
    self._allowed = tuple(f'{path}/' for path in allowed)
    self.found = []
    sys.addaudithook(self._see)

  def _see(self, event, arguments):
    if event in _NEVER:
      self.found.append(event)
    elif event in _WRITES or (
      event == 'open'
      and isinstance(arguments[2], int)
      and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    ):
      path = arguments[0]
      if isinstance(path, str | bytes | os.PathLike):
        at = arguments[-1] if event in _AT else -1
        root = os.readlink(f'/proc/self/fd/{at}') if at >= 0 else ''
        path = os.path.abspath(os.path.join(root, os.fsdecode(path)))
        if not f'{path}/'.startswith(self._allowed):
          self.found.append(f'{event} {path}')


def _read(seed: Seed, content: bytes, scratch: Path) -> str:
  """'accepted', 'refused: ' and why, or what went wrong."""
  seed.path.write_bytes(content)
  scratch.mkdir()
  try:
    seed.read(seed.path, scratch)
    met = 'accepted'
  except UserError as error:
    met = f'refused: {str(error)[:300]}'
  except BaseException:
    met = traceback.format_exc(limit=-4)
  shutil.rmtree(scratch)
  return met


def _child(seed: Seed, inputs: Sequence[bytes], scratch: Path, out: int):
  """Writes a line of JSON for each input."""
  sys.dont_write_bytecode = True
  guard = _Guard(scratch, seed.path, '/dev')
  null = os.open(os.devnull, os.O_RDWR)
  for standard in (0, 1, 2):
    os.dup2(null, standard)
  pages = int(Path('/proc/self/statm').read_text().split()[0])
  most = pages * resource.getpagesize() + 4 * _BYTES  # saves the machine
  resource.setrlimit(resource.RLIMIT_AS, (most, most))
  resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
  hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
  before = _peak()
  for content in inputs:
    used = int(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (used + _SECONDS + 1, hard))
    met = _read(seed, content, scratch / 'out')
    if guard.found:
      met = f'outside: {", ".join(guard.found[:5])}'
    if _peak() - before > _BYTES:
      met = f'{(_peak() - before) / 1e9:.1f} GB'
    os.write(out, json.dumps(met).encode() + b'\n')
    if not _is_right(met):
      return  # What it left behind shall not touch the next.


def _is_right(met: str) -> bool:
  return met.startswith(('accepted', 'refused: '))


def _peak():
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _meets(seed: Seed, inputs: Sequence[bytes], scratch: Path) -> Iterator[str]:
  """What each input met, in their order."""
  done = 0
  while done < len(inputs):
    ours, its = os.pipe()
    process = os.fork()
    if not process:
      try:
        _child(seed, inputs[done:], scratch, its)
      finally:
        os._exit(0)
    os.close(its)
    with os.fdopen(ours) as lines:
      while done < len(inputs):
        ready = select.select([lines], [], [], _PATIENCE)[0]
        line = lines.readline() if ready else ''
        if not line:
          break
        done += 1
        met = json.loads(line)
        yield met
        if not _is_right(met):
          break
      else:
        met = 'accepted'
    if not ready:
      os.kill(process, signal.SIGKILL)
    number = os.waitpid(process, 0)[1] & 0x7F
    shutil.rmtree(scratch / 'out', ignore_errors=True)
    seed.path.write_bytes(seed.content)  # Others read it too.
    if not line:
      done += 1
      name = signal.Signals(number).name if number else 'no word'
      yield f'over {_SECONDS} s' if name == 'SIGXCPU' else f'died: {name}'


def _replay(path: Path, seeds: Sequence[Seed], scratch: Path) -> None:
  number = int(path.name.split('-')[1])
  for met in _meets(seeds[number], [path.read_bytes()], scratch):
    print(met)


def _run(arguments, seeds: Sequence[Seed], scratch: Path) -> list[dict]:
  """A row for each kind."""
  end = time.monotonic() + arguments.seconds
  counts = collections.defaultdict(collections.Counter)
  faults, start = collections.defaultdict(set), 0
  folder = arguments.out.with_suffix('.faults')
  while time.monotonic() < end:
    for number, seed in enumerate(seeds):
      if arguments.kinds and seed.kind not in arguments.kinds:
        continue
      if time.monotonic() > end:
        break
      inputs = [
        mutated(
          seed.content,
          seed.path.name,
          random.Random(f'{arguments.seed}/{seed.kind}/{number}/{n}'),
        )
        for n in range(start, start + _BATCH)
      ]
      if not start:
        inputs[0] = seed.content
      for n, met in enumerate(_meets(seed, inputs, scratch)):
        if start + n == 0 and met != 'accepted':
          met = f'It is not damaged, and {met}'
        fault = not _is_right(met)
        counts[seed.kind]['faults' if fault else met.split(':')[0]] += 1
        if fault:
          folder.mkdir(parents=True, exist_ok=True)
          name = f'{seed.kind}-{number}-{start + n}{seed.path.suffix}'
          (folder / name).write_bytes(inputs[n])
          if met not in faults[seed.kind]:
            print(f'{folder / name}\n{met}', flush=True)
          faults[seed.kind].add(met)
    start += _BATCH
  return [
    {
      'kind': kind,
      'inputs': sum(met.values()),
      **{name: met[name] for name in ('accepted', 'refused', 'faults')},
      'met': sorted(faults[kind]),
    }
    for kind, met in counts.items()
  ]


def main():
  """The command line."""
  parser = argparse.ArgumentParser(prog='tests.fuzz', description=__doc__)
  parser.add_argument('--seconds', type=float, default=600)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--kinds', nargs='*', help='rows of the table; all')
  parser.add_argument('--out', type=Path, default=Path('runs/fuzz.json'))
  parser.add_argument('--replay', type=Path)
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory() as name:
    root = Path(name)
    seeds = make_seeds(root / 'seeds')
    scratch = root / 'scratch'
    scratch.mkdir()
    os.environ['TMPDIR'] = str(scratch)
    tempfile.tempdir = str(scratch)
    if arguments.replay:
      return _replay(arguments.replay, seeds, scratch)
    rows = _run(arguments, seeds, scratch)
  arguments.out.parent.mkdir(parents=True, exist_ok=True)
  arguments.out.write_text(json.dumps(rows, indent=1))
  print(
    '| kind | inputs | accepted | refused | faults |\n|---|---|---|---|---|'
  )
  for row in rows:
    print('|', ' | '.join(str(value) for value in list(row.values())[:5]), '|')
  total = sum(row['inputs'] for row in rows)
  print(f'{total:,} inputs, {sum(row["faults"] for row in rows)} faults')
  sys.exit(any(row['faults'] for row in rows))


if __name__ == '__main__':
  main()
