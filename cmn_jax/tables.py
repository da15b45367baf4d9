"""The score tables of runs beside their baselines and the papers' figures.

  python -m cmn_jax.tables --runs runs/demo runs/cmn --against cmn

A run is a workdir, a folder of seed_N workdirs, a test.json of one, or a file
that --save wrote. --predictions adds a row, marked as not ours, for another
program's reports of the same test studies: ReXrank's JSON, or RadEval's JSON,
JSONL or CSV. --radeval adds a table of that package's scores, where it is
installed and its models' weights are at hand.
"""

import argparse
import sys
from pathlib import Path

from cmn_jax.arguments import command
from cmn_jax.comparison.table import FORMATS
from input_pipeline.errors import UserError


def _name_and_file(text: str) -> tuple[str, Path]:
  name, equals, file = text.partition('=')
  if not (name and equals and file):
    raise argparse.ArgumentTypeError(f'{text!r} is not NAME=FILE')
  return name, Path(file)


def _parser() -> argparse.ArgumentParser:
  parser = command('tables', __doc__)
  parser.add_argument(
    '--runs',
    nargs='+',
    type=Path,
    required=True,
    metavar='DIR',
    help='workdirs, test.json files of some, or files of --save',
  )
  parser.add_argument(
    '--against',
    metavar='NAME',
    help='test each row against that of this name, by their common seeds',
  )
  parser.add_argument(
    '--predictions',
    nargs='+',
    type=_name_and_file,
    default=[],
    metavar='NAME=FILE',
    help="another program's reports, scored against a run's references",
  )
  parser.add_argument(
    '--radeval',
    nargs='*',
    metavar='METRIC',
    help="RadEval's scores, which --save does not keep: all whose weights are "
    'at hand, or those that are named, such as bleu radgraph',
  )
  parser.add_argument('--format', choices=FORMATS, default='markdown')
  parser.add_argument(
    '--save',
    type=Path,
    metavar='FILE',
    help='JSON of the scores and tests of these runs, which --runs reads again',
  )
  return parser


def main(argv: list[str] | None = None) -> None:
  """Prints the tables of the runs on the command line.

  Args:
    argv: the arguments, those of the command line by default.
  """
  args = _parser().parse_args(argv)
  # After the arguments, as in every verb: --help waits for no scores.
  from cmn_jax.comparison.comparison import tables_of
  from cmn_jax.comparison.others import match_predictions, scores_of
  from cmn_jax.comparison.paired import own_tests, paired_tables, paired_tests
  from cmn_jax.comparison.radeval import radeval_tables
  from cmn_jax.comparison.runs import read_saved, save

  try:
    saved = [read_saved(path) for path in args.runs]
    runs = [run for one in saved for run in one.runs]
    paired = [test for one in saved for test in one.paired_tests]
    others = [other for one in saved for other in one.others]
    matched = [
      match_predictions(name, file, runs) for name, file in args.predictions
    ]
    others += [scores_of(one) for one in matched]
    tables = tables_of([run.results for run in runs], others)
    if args.radeval is not None:
      added, left_out = radeval_tables(runs, matched, args.radeval)
      tables += added
      for sentence in left_out:
        print(sentence, file=sys.stderr)
    if args.against:
      paired += paired_tests(runs, args.against)
    if args.save:
      save(args.save, runs, paired, others)
  except UserError as error:
    sys.exit(f'error: {error}')
  # These are saved with their runs.
  paired += own_tests(runs)
  if paired:
    tables += paired_tables(paired)
  print(FORMATS[args.format](tables), end='')


if __name__ == '__main__':
  main()
