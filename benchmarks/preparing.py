"""What preparing a film costs, and how many cores one process can use.

  taskset -c 0 python -m benchmarks.preparing [--source DIR]

It counts the time of processors, not that of a clock; other work on the same
cores slows it all the same. Threads decode side by side but for what holds
Python's lock: one process prepares no more films a second than that part
allows, whatever the cores. Without --source it draws films of MIMIC-CXR's size.
"""

import argparse
import cProfile
import pstats
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.arguments import command, count
from benchmarks.mimic_cxr import draw_mimic_cxr
from input_pipeline.config import DataConfig
from input_pipeline.errors import UserError
from input_pipeline.layouts import detect
from input_pipeline.store import shards

FILMS, CORES = 377_110, (2, 16, 64)
# Compiled code, beside which other threads run.
_UNLOCKED = (
  "'decode' of 'ImagingDecoder'",
  "'resize' of 'ImagingCore'",
  "'update' of '_blake2.blake2b'",
  "'read' of '_io.BufferedReader'",
  "'reduce' of 'numpy.ufunc'",
)


def measure(config: DataConfig, folder: Path, rounds: int) -> dict[str, float]:
  """Seconds of a processor for a film: {'in all', 'under the lock'}.

  Args:
    config: of a folder with films; one shard of them is written each time.
    folder: for what is written.
    rounds: of which the median counts; one more comes before them.
  """
  dataset = detect.scan(config, folder)
  whole, locked = [], []
  for number in range(1 + rounds):
    out = folder / str(number)
    shard = shards.shards_of(dataset, out, out / 'progress')[0]
    shard.note.parent.mkdir(parents=True)
    films = sum(film is not None for _, s in shard.studies for film in s.films)
    begin = time.process_time()
    shards.write_shard(shard, config)
    whole.append((time.process_time() - begin) / films)
    shard.note.unlink()
    locked.append(whole[-1] * _locked_share(shard, config))
  return {
    'in all': statistics.median(whole[1:]),
    'under the lock': statistics.median(locked[1:]),
  }


def _locked_share(shard, config) -> float:
  profile = cProfile.Profile(time.thread_time)
  profile.runcall(shards.write_shard, shard, config)
  times = [
    (name, own)
    for (_, _, name), (_, _, own, _, _) in pstats.Stats(profile).stats.items()
  ]
  free = sum(own for name, own in times if any(u in name for u in _UNLOCKED))
  return 1 - free / sum(own for _, own in times)


def rate(seconds: dict[str, float], cores: int, processes: int) -> float:
  """Films a second, at most, of processes that share the cores evenly."""
  return min(cores / seconds['in all'], processes / seconds['under the lock'])


def _parse(argv) -> argparse.Namespace:
  parser = command('preparing', __doc__)
  add = parser.add_argument
  add('--source', help='folder of any layout; a phantom without it')
  add('--rounds', type=count, default=5, help='of which the median counts')
  add('--studies', type=count, default=60, help='of the phantom, 10 or more')
  add('--width', type=count, default=2544, help='of its films, pixels')
  return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
  """Reads the command line and prints the costs, and what follows of them."""
  args = _parse(argv)
  try:
    with tempfile.TemporaryDirectory() as folder:
      folder = Path(folder)
      source = args.source
      if source is None:
        source = draw_mimic_cxr(folder, args.studies, args.width, 1)
      config = DataConfig(dir=str(source), views=1, min_films=1)
      seconds = measure(config, folder / 'out', args.rounds)
  except UserError as error:
    sys.exit(f'error: {error}')
  for what, each in seconds.items():
    print(f'{1000 * each:.1f} ms a film {what}')
  print(f'{FILMS:,} films, at best: hours (films a second)')
  for cores in CORES:
    said = [
      f'{FILMS / films / 3600:.1f} ({films:.0f}) {name}'
      for name, films in (
        ('in one process', rate(seconds, cores, 1)),
        ('with a process for each core', rate(seconds, cores, cores)),
      )
    ]
    print(f'  {cores:2} cores: {", ".join(said)}')


if __name__ == '__main__':
  main()
