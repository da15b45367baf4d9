"""A run's test reports in the form of a board or a clinical scorer.

  python -m cmn_jax.export runs/cmn --to rexrank --out cmn.json

rexrank: JSON by study, to be handed in. radeval: JSON of two lists in prose,
and beside it the same in cleaned words. radfact, crimson: CSV.
cxr-report-metric: a folder with gt.csv and pred.csv.
"""

import argparse
import sys
from pathlib import Path

from cmn_jax.comparison.exports import EMPTY, FORMS, export
from cmn_jax.comparison.runs import read_saved
from input_pipeline.errors import UserError


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='python -m cmn_jax.export',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('workdir', type=Path, help='of an evaluated report model')
  parser.add_argument('--to', choices=FORMS, required=True)
  parser.add_argument('--out', type=Path, required=True, metavar='FILE')
  return parser


def main(argv: list[str] | None = None) -> None:
  """Writes the files that the command line names.

  Args:
    argv: the arguments, those of the command line by default.
  """
  args = _parser().parse_args(argv)
  try:
    runs = read_saved(args.workdir).runs
    if len(runs) != 1 or runs[0].predictions is None:
      raise UserError(
        f'{args.workdir} has no evaluation/test_predictions.json: expected the '
        'workdir of one run that main.py has evaluated'
      )
    files, empty = export(args.to, args.out, runs[0].predictions)
  except (UserError, OSError) as error:
    sys.exit(f'error: {error}')
  print(
    f'{len(runs[0].predictions)} studies in {", ".join(map(str, files))}'
    + (f'; {empty} empty predictions stand as {EMPTY!r}' if empty else '')
  )


if __name__ == '__main__':
  main()
