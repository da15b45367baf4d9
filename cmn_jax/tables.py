"""The score tables of runs beside their baselines and the papers' figures.

  python -m cmn_jax.tables --runs runs/demo runs/cmn --against cmn

A run is a workdir, a folder of seed_N workdirs, or a test.json of one.
"""

import argparse
import json
import sys
from pathlib import Path

from cmn_jax.comparison.comparison import tables_of
from cmn_jax.comparison.paired_runs import paired_tables, paired_tests
from cmn_jax.comparison.runs import PAIRED, read_runs
from cmn_jax.comparison.table import FORMATS
from input_pipeline.errors import UserError


def _save(path: Path, paired: list[dict]):
  if path.exists():
    raise UserError(f'{path} exists: choose another --save_tests')
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps({PAIRED: paired}, indent=1) + '\n')


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='python -m cmn_jax.tables',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    '--runs',
    nargs='+',
    type=Path,
    required=True,
    metavar='DIR',
    help='workdirs, or test.json files of some',
  )
  parser.add_argument(
    '--against',
    metavar='VARIANT',
    help='test each row against that of this variant, by their common seeds',
  )
  parser.add_argument('--format', choices=FORMATS, default='markdown')
  parser.add_argument(
    '--save_tests',
    type=Path,
    metavar='FILE',
    help='JSON of those tests, which --runs reads again',
  )
  return parser


def main():
  """Prints the tables of the runs on the command line."""
  args = _parser().parse_args()
  try:
    runs = [run for path in args.runs for run in read_runs(path)]
    paired = [row for run in runs for row in run.test.get(PAIRED, [])]
    runs = [run for run in runs if PAIRED not in run.test]
    tables = tables_of([run.test for run in runs])
    if args.against:
      paired += paired_tests(runs, args.against)
    if args.save_tests:
      _save(args.save_tests, paired)
  except UserError as error:
    sys.exit(f'error: {error}')
  if paired:
    tables += paired_tables(paired)
  print(FORMATS[args.format](tables), end='')


if __name__ == '__main__':
  main()
