"""Paired tests of runs against those of a chosen row, and their tables."""

import itertools

from cmn_jax.comparison.runs import Run, is_classifier
from cmn_jax.comparison.table import RUN, Cell, Row, Table
from cmn_jax.scores.significance import paired_findings_test, paired_test
from input_pipeline.errors import UserError

# What the paired test of two report generators prints beside findings.
_TESTED = ('bleu_1', 'bleu_4', 'rouge_l', 'cider')
_COLUMNS = {
  'bleu_1': 'BLEU-1',
  'bleu_4': 'BLEU-4',
  'rouge_l': 'ROUGE-L',
  'cider': 'CIDEr',
  'micro_f1': 'F1 micro',
  'f1_macro': 'F1 macro',
  'f1_macro_rare': 'F1 rare',
}


def paired_tests(runs: list[Run], against: str) -> list[dict]:
  """Each row of runs against that of variant `against` on the same data.

  A row's runs differ by seed alone; the seeds that both rows have are tested
  together.

  Raises:
    UserError: no such row, none to compare it with, or other studies.
  """
  rows = {}
  for run in runs:
    key = run.test['variant'], _shared(run.test)
    rows.setdefault(key, {})[run.test['seed']] = run
  if not any(variant == against for variant, _ in rows):
    raise UserError(
      f'no run of variant {against!r} to compare with: there are '
      f'{", ".join(sorted({variant for variant, _ in rows}))}'
    )
  found = []
  for (variant, shared), row in rows.items():
    rivals = rows.get((against, shared), {})
    seeds = sorted(row.keys() & rivals.keys())
    if variant != against and seeds:
      found.append(_paired_test([(row[seed], rivals[seed]) for seed in seeds]))
  if not found:
    raise UserError(
      f'no other run shares data, seed and, of classifiers, labels, task and '
      f'inputs with one of {against!r}, which the paired test needs'
    )
  return found


def _shared(test: dict) -> tuple:
  """What two rows must share for a paired test."""
  keys = 'dataset', 'split_source', 'inputs', 'task', 'finetuned'
  source = test['labels']['source'] if is_classifier(test) else None
  return (source, *(test.get(key) for key in keys))


def _paired_test(pairs: list[tuple[Run, Run]]) -> dict:
  """Of the runs of two rows, one pair for each seed."""
  run, rival = pairs[0]
  classifier = is_classifier(run.test)
  same = 'id', 'labels' if classifier else 'reference'
  for one in itertools.chain(*pairs):
    if one.predictions is None:
      raise UserError(
        f'{one.path} has no evaluation/test_predictions.json, which the paired '
        'test needs: name the workdir, not its test.json'
      )
  for one in itertools.chain(*pairs):
    for key in same:
      a, b = ([row[key] for row in r.predictions] for r in (one, rival))
      if a != b:
        raise UserError(
          f'{one.path} and {rival.path} wrote for other studies: {key} '
          f'differs, of {len(a)} and {len(b)}'
        )
  metrics = _of_classes if classifier else _of_reports
  mine, others = (
    [row for run in runs for row in run.predictions]
    for runs in zip(*pairs, strict=True)
  )
  return {
    'dataset': run.test['dataset'],
    'variant': run.test['variant'],
    'against': rival.test['variant'],
    **({'inputs': run.test['inputs']} if classifier else {}),
    'seeds': [one.test['seed'] for one, _ in pairs],
    'studies': len(run.predictions),
    'metrics': metrics(run.test, mine, others, len(pairs)),
  }


def _of_reports(test: dict, a: list[dict], b: list[dict], runs: int) -> dict:
  texts = [[row['prediction'] for row in rows] for rows in (a, b)]
  words = paired_test([row['reference'] for row in a], *texts, runs=runs)
  findings = paired_findings_test(
    [row['reference_findings'] for row in a],
    *([row['predicted_findings'] for row in rows] for rows in (a, b)),
    list(test['findings']['per_class']),
    runs=runs,
  )
  return {
    **{name: words[name] for name in _TESTED},
    'micro_f1': findings['micro_f1'],
  }


def _of_classes(test: dict, a: list[dict], b: list[dict], runs: int) -> dict:
  labelled = [row['labels'] is not None for row in a]
  a, b = (list(itertools.compress(rows, labelled)) for rows in (a, b))

  def findings(classes):
    return paired_findings_test(
      [row['labels'] for row in a],
      *([row['predicted'] for row in rows] for rows in (a, b)),
      classes,
      runs=runs,
    )

  everything = findings(test['labels']['classes'])
  rare = test['labels']['rare']
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
    seeds = test['seeds']
    several = f'{len(seeds)} seeds' if len(seeds) > 1 else f'seed {seeds[0]}'
    name = (
      f'{test["dataset"]}: {test["variant"]} less {test["against"]}{inputs}, '
      f'{several}'
    )
    cells = [
      Cell(found[key])
      for found in test['metrics'].values()
      for key in ('difference', 'p_value')
    ]
    rows.append(Row(name, RUN, cells))
  return Table(
    title,
    "Difference on the same test studies, all seeds' together, and the "
    'two-sided p of approximate randomisation over studies (a study swapped in '
    'all seeds at once). It knows nothing of the chance among other seeds.',
    [
      column
      for name in map(_COLUMNS.get, paired[0]['metrics'])
      for column in (name, f'{name}: p')
    ],
    rows,
  )
