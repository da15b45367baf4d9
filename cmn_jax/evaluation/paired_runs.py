"""Paired tests of runs against those of a chosen row, and their tables."""

import itertools

from cmn_jax.evaluation.runs import Run, is_classifier
from cmn_jax.evaluation.significance import paired_findings_test, paired_test
from cmn_jax.evaluation.table import RUN, Cell, Row, Table

# What the paired test of two report generators prints beside findings.
_TESTED = ('bleu_1', 'bleu_4', 'rouge_l', 'cider')


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


def paired_tables(paired: list[dict]) -> list[Table]:
  """Differences of runs from a chosen row, each with its p-value."""
  reports = [test for test in paired if 'inputs' not in test]
  classifiers = [test for test in paired if 'inputs' in test]
  titles = {'': reports, ': classification': classifiers}
  return [
    _paired_table(f'Paired tests{kind}', tests)
    for kind, tests in titles.items()
    if tests
  ]


def _paired_table(title: str, paired: list[dict]) -> Table:
  rows = []
  for test in paired:
    inputs = f', {test["inputs"]}' if 'inputs' in test else ''
    name = (
      f'{test["dataset"]}: {test["variant"]} less {test["against"]}{inputs}, '
      f'seed {test["seed"]}'
    )
    cells = [
      Cell(found[key])
      for found in test['metrics'].values()
      for key in ('difference', 'p_value')
    ]
    rows.append(Row(name, RUN, cells))
  return Table(
    title,
    'Difference on the same test studies, and the two-sided p of approximate '
    "randomisation over studies. It knows nothing of the seeds' chance.",
    [c for m in paired[0]['metrics'] for c in (m, f'{m}: p')],
    rows,
  )
