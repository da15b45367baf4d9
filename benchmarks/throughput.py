"""How fast training films come: prepared, and streamed from their files.

  python -m benchmarks.throughput [--source DIR]

Without --source it draws a phantom in the layout of MIMIC-CXR-JPG, with films
of that size, into a temporary folder. Every figure is of one epoch of training
batches with random crops, decoded on all cores that this process may use.
"""

import argparse
import dataclasses
import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.arguments import command, count
from benchmarks.mimic_cxr import draw_mimic_cxr
from input_pipeline.batches import steps_per_epoch, train_batches
from input_pipeline.config import VIEW_RULES, DataConfig
from input_pipeline.data import Data, open_data
from input_pipeline.errors import UserError
from input_pipeline.tensorflow_cpu import load


def measure(config: DataConfig, batch: int, rounds: int) -> dict[str, float]:
  """Films per second: {'preparing', 'prepared', 'streamed'}.

  Args:
    config: its cache_dir is empty as yet.
    batch: studies of a batch.
    rounds: epochs, of which the median counts; the first is not one of them.
  """
  streamed = open_data(dataclasses.replace(config, stream=True))
  load('tensorflow_datasets')  # Its import is no film's.
  begin = time.perf_counter()
  prepared = open_data(config)
  seconds = time.perf_counter() - begin
  every = [s for split in prepared.studies.values() for s in split]

  def rate(data):
    return _rate(data, config, batch, rounds)

  return {
    'preparing': _films(every) / seconds,
    'prepared': rate(prepared),
    'streamed': rate(streamed),
  }


def _films(studies) -> int:
  return sum(film is not None for study in studies for film in study.films)


def _rate(data: Data, config: DataConfig, batch: int, rounds: int) -> float:
  batches = train_batches(
    data, batch_size=batch, seed=1, augmentation=config.augmentation
  )
  steps = steps_per_epoch(data, 'train', batch)
  seconds = []
  for _ in range(1 + rounds):
    begin = time.perf_counter()
    for _ in itertools.islice(batches, steps):
      pass
    seconds.append(time.perf_counter() - begin)
  # The last batch of an epoch is filled up with films that are read as well.
  share = steps * batch / len(data.studies['train'])
  films = share * _films(data.studies['train'])
  return films / statistics.median(seconds[1:])


def _parse(argv) -> argparse.Namespace:
  parser = command('throughput', __doc__)
  add = parser.add_argument
  add('--source', help='folder of any layout; a phantom without it')
  add('--views', type=count, default=1, help='films of a study')
  add('--view-rule', choices=VIEW_RULES, default='first', help='which films')
  add('--batch', type=count, default=16, help='studies')
  add('--rounds', type=count, default=3, help='epochs that are timed')
  add('--studies', type=count, default=100, help='of the phantom, 10 or more')
  add('--width', type=count, default=2544, help='of its films, pixels')
  return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
  """Reads the command line and prints the three rates."""
  args = _parse(argv)
  cores = len(os.sched_getaffinity(0))
  try:
    with tempfile.TemporaryDirectory() as folder:
      folder = Path(folder)
      source, what = args.source, args.source
      if source is None:
        source = draw_mimic_cxr(folder, args.studies, args.width, cores)
        what = f'{args.studies} phantom studies, {args.width} pixels wide'
      config = DataConfig(
        dir=str(source),
        cache_dir=str(folder / 'cache'),
        views=args.views,
        view_rule=args.view_rule,
        min_films=1,
        min_count=1,
        clean='mimic_cxr',
      )
      rates = measure(config, args.batch, args.rounds)
  except UserError as error:
    sys.exit(f'error: {error}')
  print(f'{what}; films per second on {cores} cores:')
  for name, rate in rates.items():
    print(f'  {name:10}{rate:>8.1f}')


if __name__ == '__main__':
  main()
