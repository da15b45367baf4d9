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
import pathlib
import statistics
import sys
import tempfile
import time

from benchmarks.mimic_cxr import write_mimic_cxr
from input_pipeline.augmentation import WHOLE
from input_pipeline.batches import steps_per_epoch, train_batches
from input_pipeline.config import VIEW_RULES, DataConfig
from input_pipeline.data import open_data
from input_pipeline.phantom.write import PhantomError, write_phantom
from input_pipeline.study import DataError

_DRAWN_PIXELS = 256


def measure(source, cache_dir, *, views, view_rule, batch, rounds):
  """Films per second: {'preparing', 'prepared', 'streamed'}.

  Args:
    source: folder of any layout.
    cache_dir: empty, for the prepared films.
    views: films of each study.
    view_rule: which ones.
    batch: studies of a batch.
    rounds: epochs, of which the median counts; the first is not one of them.
  """

  def opened(stream):
    config = DataConfig(
      str(source),
      views=views,
      max_length=100,
      reference_length=100,
      min_count=1,
      clean='mimic_cxr',
      cache_dir=str(cache_dir),
      stream=stream,
      view_rule=view_rule,
      min_films=1,
    )
    return open_data(config)

  streamed = opened(stream=True)
  begin = time.perf_counter()
  prepared = opened(stream=False)
  seconds = time.perf_counter() - begin
  every = [s for split in prepared.studies.values() for s in split]
  return {
    'preparing': _films(every) / seconds,
    'prepared': _rate(prepared, batch, rounds),
    'streamed': _rate(streamed, batch, rounds),
  }


def _films(studies):
  return sum(film is not None for study in studies for film in study.films)


def _rate(data, batch, rounds):
  crop = dataclasses.replace(WHOLE, crop=True)
  batches = train_batches(data, batch_size=batch, seed=1, augmentation=crop)
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


def _parse(argv):
  parser = argparse.ArgumentParser(
    prog='python -m benchmarks.throughput',
    description=__doc__.split('\n')[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )
  add = parser.add_argument
  add('--source', help='folder of any layout; a phantom without it')
  add('--views', type=int, default=1, help='films of a study')
  add('--view-rule', choices=VIEW_RULES, default='first', help='which films')
  add('--batch', type=int, default=16, help='studies')
  add('--rounds', type=int, default=3, help='epochs that are timed')
  add('--studies', type=int, default=100, help='of the phantom, 10 or more')
  add('--width', type=int, default=2544, help="of the phantom's films, pixels")
  return parser.parse_args(argv)


def main(argv=None):
  """Reads the command line and prints the three rates."""
  args = _parse(argv)
  cores = len(os.sched_getaffinity(0))
  try:
    with tempfile.TemporaryDirectory() as folder:
      folder = pathlib.Path(folder)
      source, what = args.source, args.source
      if source is None:
        phantom, source = folder / 'phantom', folder / 'mimic'
        write_phantom(phantom, args.studies, 1, _DRAWN_PIXELS, cores)
        write_mimic_cxr(phantom, source, args.width)
        what = f'{args.studies} phantom studies, {args.width} pixels wide'
      rates = measure(
        source,
        folder / 'cache',
        views=args.views,
        view_rule=args.view_rule,
        batch=args.batch,
        rounds=args.rounds,
      )
  except (DataError, PhantomError, ValueError, OSError) as error:
    sys.exit(f'error: {error}')
  print(f'{what}; films per second on {cores} cores:')
  for name, rate in rates.items():
    print(f'  {name:10}{rate:>8.1f}')


if __name__ == '__main__':
  main()
