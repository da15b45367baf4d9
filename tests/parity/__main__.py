"""Our models against the authors' code: `make parity R2GENCMN=PATH`.

  python -m tests.parity --r2gencmn PATH [--quick] [--annotation FILE]
    [--films DIR] [--only CHECK,CHECK] [--golden]

Runs on a CPU. Each check's rows are kept in --work, so that checks can be run
one by one; the page is written from all that are there.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

os.environ['JAX_PLATFORMS'] = 'cpu'

import jax
import torch

from benchmarks import authors
from tests.parity import (
  golden,
  inputs,
  models,
  page,
  reports,
  results,
  steps,
  trained,
)
from tests.parity.kept import Kept

QUICK = (
  'small_log_probs',
  'small_reports',
  'small_training',
  'small_training_double',
  'base',
  'base_double',
  'mem',
  'mem_double',
  'trained',
)


def checks(args) -> dict:
  """Every check by name: a function that gives rows."""
  small, published = models.SMALL_SIZE, models.PUBLISHED_SIZE
  kept = Kept(args.work / 'theirs', args.r2gencmn)

  def write(size, methods, literal):
    return lambda: reports.reports(size, 2, methods, literal, kept)

  def double(size, memory):
    return lambda: steps.double(args.r2gencmn, size, memory)

  found = {
    'log_probs': lambda: (
      models.log_probs(published, 2, studies=8)
      + models.log_probs(published, 1, studies=8)
    ),
    'reports_beam': write(published, ['beam_search'], 2),
    'reports_greedy': write(published, ['greedy'], 2),
    'reports_double': lambda: steps.double_reports(args.r2gencmn, 'published'),
    'training': lambda: steps.steps(published, kept),
    'training_double': double('published', 'shared'),
    'checkpoint': inputs.checkpoint,
    'small_log_probs': lambda: (
      models.log_probs(small, 2, studies=64)
      + models.log_probs(small, 1, studies=64)
    ),
    'small_reports': write(small, reports.METHODS, 16),
    'small_training': lambda: steps.steps(small, kept),
    'small_training_double': double('small', 'shared'),
    'base': lambda: steps.twin('none', kept),
    'base_double': double('small', 'none'),
    'mem': lambda: steps.twin('separate', kept),
    'mem_double': double('small', 'separate'),
    'trained': lambda: trained.trained(
      args.r2gencmn, args.work, studies=300, epochs=80, kept=kept
    ),
  }
  if args.annotation:
    found['tokenizer'] = lambda: inputs.tokenizer(args.annotation)
  if args.films:
    found['films'] = lambda: inputs.films(args.films)
  return found


def main():
  """Runs the checks that are asked for, prints and writes the table."""
  args = _parse()
  try:
    authors.install(args.r2gencmn)
  except ValueError as error:
    sys.exit(f'error: {error}')
  if args.golden:
    golden.write()
    print(f'wrote {golden.PATH}')
    return
  found = checks(args)
  names = args.only.split(',') if args.only else list(found)
  if args.quick:
    names = [name for name in names if name in QUICK]
  unknown = [name for name in names if name not in found]
  if unknown:
    sys.exit(f'error: no check {unknown}; there are {", ".join(found)}')
  for name in names:
    begin = time.perf_counter()
    rows = found[name]()
    results.save(args.work, name, rows, time.perf_counter() - begin)
    print(f'{name}\n{results.table(rows)}\n', flush=True)
  rows = results.load_all(args.work, page.ORDER)
  if args.out:
    missing = [n for n in page.ORDER if results.load(args.work, n) is None]
    args.out.write_text(page.page(rows, missing, _versions(args.r2gencmn)))
    print(f'wrote {args.out}')
  if not all(row.ok for row in rows):
    sys.exit('error: some differences are over their limits')


def _parse() -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='python -m tests.parity', description=__doc__.split('\n')[0]
  )
  parser.add_argument(
    '--r2gencmn', type=Path, required=True, help='checkout of the authors'
  )
  parser.add_argument('--quick', action='store_true', help='small models alone')
  parser.add_argument(
    '--annotation', type=Path, help='annotation.json of IU X-Ray'
  )
  parser.add_argument('--films', type=Path, help='folder of real films')
  parser.add_argument('--only', help='names of checks, with commas')
  parser.add_argument(
    '--golden', action='store_true', help='write the golden numbers instead'
  )
  parser.add_argument(
    '--work', type=Path, default=Path('runs/parity'), help='for results'
  )
  parser.add_argument(
    '--out', type=Path, default=Path('docs/parity.md'), help='page to write'
  )
  args = parser.parse_args()
  args.r2gencmn = args.r2gencmn.expanduser().absolute()
  if args.quick and args.out == Path('docs/parity.md'):
    args.out = None  # The page is of the published sizes.
  return args


def _versions(checkout: Path) -> str:
  done = subprocess.run(
    ['git', '-C', checkout, 'log', '-1', '--format=%h of %as'],
    capture_output=True,
    text=True,
  )
  commit = done.stdout.strip() or 'an unknown commit'
  return (
    f'R2GenCMN at {commit}, torch {torch.__version__}, jax {jax.__version__}, '
    f'Python {platform.python_version()}, float32, CPU ({platform.machine()})'
  )


if __name__ == '__main__':
  main()
