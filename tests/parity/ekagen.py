"""Our EKAGen against its authors' code.

  python -m tests.parity.ekagen --ekagen PATH [--quick] [--annotation FILE]
    [--only CHECK,CHECK] [--golden]

Runs on a CPU. Each check's rows are kept in --work, so that checks can be run
one by one. Masks need cv2 (pip install opencv-python-headless).
"""

import argparse
import os
import sys
import time
import warnings
from pathlib import Path

os.environ['JAX_PLATFORMS'] = 'cpu'
from tests.parity import (
  ekagen_authors,
  ekagen_checks,
  ekagen_film_checks,
  ekagen_golden,
  results,
)


def checks(args) -> dict:
  """Every check by name: a function that gives rows."""
  of, films = ekagen_checks, ekagen_film_checks
  found = {
    'ekagen_small_log_probs': lambda: of.log_probs('small'),
    'ekagen_small_losses': lambda: of.losses('small'),
    'ekagen_small_gradients': lambda: of.gradients('small', double=True),
    'ekagen_small_literal': lambda: of.writing('small', 8, True, 8),
    'ekagen_small_writing': lambda: of.writing('small', 64, False, 64),
    'ekagen_small_checkpoint': lambda: of.checkpoint('small'),
    'ekagen_masks': films.masks,
    'ekagen_bot': lambda: films.probabilities(films.BOT),
    'ekagen_locator': lambda: films.probabilities(films.LOCATOR),
    'ekagen_locator_gradients': films.locator_gradients,
  }
  if args.annotation:
    found['ekagen_words'] = lambda: films.words(args.ekagen, args.annotation)
  if not args.quick:
    found |= {
      'ekagen_log_probs': lambda: of.log_probs('published'),
      'ekagen_losses': lambda: of.losses('published'),
      'ekagen_gradients': lambda: of.gradients('published', double=True),
      'ekagen_checkpoint': lambda: of.checkpoint('published'),
      'ekagen_literal': lambda: of.writing('published', 1, True, 1),
      'ekagen_writing': lambda: of.writing('published', 64, False, 8),
    }
  return found


def main():
  """Runs the checks that are asked for and prints the table."""
  args = _parse()
  try:
    ekagen_authors.install(args.ekagen)
  except ValueError as error:
    sys.exit(f'error: {error}')
  if args.golden:
    ekagen_golden.write()
    print(f'wrote {ekagen_golden.PATH}')
    return
  warnings.filterwarnings('ignore', message='.*mismatched key_padding_mask')
  found = checks(args)
  names = args.only.split(',') if args.only else list(found)
  unknown = [name for name in names if name not in found]
  if unknown:
    sys.exit(f'error: no check {unknown}; there are {", ".join(found)}')
  rows = []
  for name in names:
    begin = time.perf_counter()
    some = found[name]()
    results.save(args.work, name, some, time.perf_counter() - begin)
    print(f'{name}\n{results.table(some)}\n', flush=True)
    rows += some
  if not all(row.ok for row in rows):
    sys.exit('error: some differences are over their limits')


def _parse() -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='python -m tests.parity.ekagen', description=__doc__.split('\n')[0]
  )
  parser.add_argument(
    '--ekagen', type=Path, required=True, help='checkout of the authors'
  )
  parser.add_argument('--quick', action='store_true', help='small models alone')
  parser.add_argument(
    '--annotation', type=Path, help='annotation.json of IU X-Ray'
  )
  parser.add_argument('--only', help='names of checks, with commas')
  parser.add_argument(
    '--golden', action='store_true', help='write the golden numbers instead'
  )
  parser.add_argument(
    '--work', type=Path, default=Path('runs/parity'), help='for results'
  )
  args = parser.parse_args()
  args.ekagen = args.ekagen.expanduser().absolute()
  return args


if __name__ == '__main__':
  main()
