"""The score tables of runs beside their baselines and the papers' figures.

  python -m cmn_jax.tables --runs runs/demo runs/cmn --against cmn

A run is a workdir, a folder of seed_N workdirs, or a test.json of one.
"""

import argparse
import itertools
import json
import sys
from pathlib import Path
from typing import NamedTuple

from cmn_jax.evaluation.comparison import (
  is_classifier,
  paired_tables,
  tables_of,
)
from cmn_jax.evaluation.significance import paired_findings_test, paired_test
from cmn_jax.evaluation.table import FORMATS

# What the paired test prints of its scores.
_TESTED = ('bleu_1', 'bleu_4', 'rouge_l', 'cider')
_PAIRED = 'paired_tests'


class Run(NamedTuple):
  """A run's test.json, and its predictions where they are."""

  path: Path
  test: dict
  predictions: list[dict] | None


def read_runs(path: Path) -> list[Run]:
  """The run at `path`, or all the seeds' runs in it.

  Raises:
    ValueError: there is none.
  """
  seeds = sorted(path.glob('seed_*')) if path.is_dir() else []
  if seeds and not (path / 'evaluation').exists():
    return [run for seed in seeds for run in read_runs(seed)]
  if not path.is_dir():
    return [Run(path, _read_test(path), None)]
  folder = path / 'evaluation'
  predictions = folder / 'test_predictions.json'
  return [
    Run(
      path,
      _read_test(folder / 'test.json'),
      _read(predictions) if predictions.exists() else None,
    )
  ]


def _read(file: Path):
  try:
    return json.loads(file.read_text())
  except (OSError, ValueError) as error:
    raise ValueError(
      f'{file} cannot be read ({error}): expected a workdir that main.py has '
      'evaluated, or its evaluation/test.json'
    ) from None


def _read_test(file: Path) -> dict:
  test = _read(file)
  known = 'findings', 'f1_weighted', _PAIRED
  if not isinstance(test, dict) or not any(key in test for key in known):
    raise ValueError(
      f'{file} holds no scores of a run: expected the evaluation/test.json '
      'that main.py writes, or what --save_tests wrote'
    )
  return test


def paired_tests(runs: list[Run], against: str) -> list[dict]:
  """Each run against the run of variant `against` with its data and seed.

  Raises:
    ValueError: no such run, none to compare it with, or other studies.
  """
  rivals = {
    _shared(run.test): run for run in runs if run.test['variant'] == against
  }
  if not rivals:
    names = sorted({run.test['variant'] for run in runs})
    raise ValueError(
      f'no run of variant {against!r} to compare with: there are '
      f'{", ".join(names)}'
    )
  found = []
  for run in runs:
    rival = rivals.get(_shared(run.test))
    if run.test['variant'] != against and rival:
      found.append(_paired_test(run, rival))
  if not found:
    raise ValueError(
      f'no run shares its data and seed with one of {against!r}: the paired '
      'test compares runs of one seed'
    )
  return found


def _shared(test: dict) -> tuple:
  """What two runs must share for a paired test."""
  keys = 'dataset', 'split_source', 'seed', 'inputs', 'task'
  source = test['labels']['source'] if is_classifier(test) else None
  return (source, *(test.get(key) for key in keys))


def _paired_test(run: Run, rival: Run) -> dict:
  for one in (run, rival):
    if one.predictions is None:
      raise ValueError(
        f'{one.path} has no evaluation/test_predictions.json, which the paired '
        'test needs: name the workdir, not its test.json'
      )
  classifier = is_classifier(run.test)
  a, b = run.predictions, rival.predictions
  for key in ('id', 'labels' if classifier else 'reference'):
    if [row[key] for row in a] != [row[key] for row in b]:
      raise ValueError(
        f'{run.path} and {rival.path} wrote for other studies: {key} differs, '
        f'of {len(a)} and {len(b)}'
      )
  return {
    'dataset': run.test['dataset'],
    'variant': run.test['variant'],
    'against': rival.test['variant'],
    **({'inputs': run.test['inputs']} if classifier else {}),
    'seed': run.test['seed'],
    'studies': len(a),
    'metrics': (_of_classes if classifier else _of_reports)(run.test, a, b),
  }


def _of_reports(test: dict, a: list[dict], b: list[dict]) -> dict:
  texts = [[row['prediction'] for row in rows] for rows in (a, b)]
  words = paired_test([row['reference'] for row in a], *texts)
  findings = paired_findings_test(
    [row['reference_findings'] for row in a],
    *([row['predicted_findings'] for row in rows] for rows in (a, b)),
    list(test['findings']['per_class']),
  )
  return {
    **{name: words[name] for name in _TESTED},
    'micro_f1': findings['micro_f1'],
  }


def _of_classes(test: dict, a: list[dict], b: list[dict]) -> dict:
  labelled = [row['labels'] is not None for row in a]
  a, b = (list(itertools.compress(rows, labelled)) for rows in (a, b))

  def findings(classes):
    return paired_findings_test(
      [row['labels'] for row in a],
      *([row['predicted'] for row in rows] for rows in (a, b)),
      classes,
    )

  everything = findings(test['labels']['classes'])
  rare = test['labels'].get('rare')
  nothing = {'difference': None, 'p_value': None}
  return {
    'micro_f1': everything['micro_f1'],
    'f1_macro': everything['macro_f1'],
    'f1_macro_rare': findings(rare)['macro_f1'] if rare else nothing,
  }


def _save(path: Path, paired: list[dict]):
  if path.exists():
    raise ValueError(f'{path} exists: choose another --save_tests')
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps({_PAIRED: paired}, indent=1) + '\n')


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
    help='test each run against the one of this variant with its seed',
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
    paired = [row for run in runs for row in run.test.get(_PAIRED, [])]
    runs = [run for run in runs if _PAIRED not in run.test]
    if args.against:
      paired += paired_tests(runs, args.against)
    if args.save_tests:
      _save(args.save_tests, paired)
    tables = tables_of([run.test for run in runs])
  except ValueError as error:
    sys.exit(f'error: {error}')
  if paired:
    tables += paired_tables(paired)
  print(FORMATS[args.format](tables), end='')


if __name__ == '__main__':
  main()
