"""Paired tests of runs against those of a chosen row, and their tables."""

import itertools
from collections.abc import Mapping, Sequence

from cmn_jax.comparison.rows import (
  check_distinct,
  grouped,
  rows_of,
  seeds_of,
  split_note,
  table_key,
)
from cmn_jax.comparison.runs import Run
from cmn_jax.comparison.table import RUN, Cell, Row, Table
from cmn_jax.scores.catalogue import CLASS_SCORES, RARE_SCORES, REPORT_SCORES
from cmn_jax.scores.results import is_classifier
from cmn_jax.scores.significance import paired_findings_test, paired_test
from input_pipeline.errors import UserError

_LABELS = {
  score.name: score.label
  for score in (*REPORT_SCORES, *CLASS_SCORES, *RARE_SCORES)
  if score.tested
}
_TEXT_SCORES = [s.name for s in REPORT_SCORES if s.tested and '.' not in s.key]


def paired_tests(runs: Sequence[Run], against: str) -> list[dict]:
  """Each row of runs against that named `against`, on the same studies.

  A row's runs differ by seed alone; the seeds that both rows have are tested
  together.

  Raises:
    UserError: no such row, none to compare it with, or other studies.
  """
  check_distinct([run.results for run in runs])
  by_id = {id(run.results): run for run in runs}
  found = []
  for table in grouped([run.results for run in runs], _shared):
    rows = {
      name.rpartition(', ')[0]: {r['seed']: by_id[id(r)] for r in group}
      for name, group in rows_of(table).items()
    }
    baselines = [k for k in rows if against in (k, _name_of(rows[k]))]
    if len(baselines) > 1:
      raise UserError(
        f'--against {against!r} is the name of {len(baselines)} rows: name '
        f'one of {", ".join(map(repr, baselines))}'
      )
    for baseline in baselines:
      for name, row in rows.items():
        seeds = sorted(row.keys() & rows[baseline].keys())
        if name != baseline and seeds:
          pairs = [(row[seed], rows[baseline][seed]) for seed in seeds]
          found.append(_paired_test(name, baseline, pairs))
  if not any(run.results['name'] == against for run in runs) and not found:
    names = ', '.join(sorted({run.results['name'] for run in runs}))
    raise UserError(f'no run {against!r} to compare with: there are {names}')
  if not found:
    raise UserError(
      f'no other run shares test studies, seed and, of classifiers, labels and '
      f'inputs with one of {against!r}, which the paired test needs'
    )
  return found


def own_tests(runs: Sequence[Run]) -> list[dict]:
  """Those of runs against their own baselines, as `paired_tests` has them."""
  return [
    {
      **{key: run.results[key] for key in ('dataset', 'task', 'name')},
      'split': split_note(run.results),
      'against': f'its {baseline}',
      'seeds': [run.results['seed']],
      'metrics': metrics,
    }
    for run in runs
    for baseline, metrics in run.results.get('paired', {}).items()
  ]


def _name_of(row: dict[int, Run]) -> str:
  return next(iter(row.values())).results['name']


def _shared(results: Mapping) -> tuple:
  """What two rows must share for a paired test."""
  return table_key(results), results.get('inputs'), results.get('finetuned')


def _paired_test(name: str, against: str, pairs: list[tuple[Run, Run]]) -> dict:
  """Of the runs of two rows, one pair for each seed."""
  run, rival = pairs[0]
  classifier = is_classifier(run.results)
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
    'dataset': run.results['dataset'],
    'split': split_note(run.results),
    'task': run.results['task'],
    'name': name,
    'against': against,
    'seeds': [one.results['seed'] for one, _ in pairs],
    'studies': len(run.predictions),
    'metrics': metrics(run.results, mine, others, len(pairs)),
  }


def _of_reports(
  results: Mapping, a: list[dict], b: list[dict], runs: int
) -> dict:
  texts = [[row['prediction'] for row in rows] for rows in (a, b)]
  words = paired_test([row['reference'] for row in a], *texts, runs=runs)
  findings = {}
  for label_set in ('', '_iu'):
    key = f'findings{label_set}'
    # Not of drawn images, and an older version wrote one set alone.
    if all(f'reference_{key}' in row for row in (*a, *b)):
      found = paired_findings_test(
        [row[f'reference_{key}'] for row in a],
        *([row[f'predicted_{key}'] for row in rows] for rows in (a, b)),
        list(results[key]['per_class']),
        runs=runs,
      )
      findings[f'micro_f1{label_set}'] = found['micro_f1']
  return {**{name: words[name] for name in _TEXT_SCORES}, **findings}


def _of_classes(
  results: Mapping, a: list[dict], b: list[dict], runs: int
) -> dict:
  labelled = [row['labels'] is not None for row in a]
  a, b = (list(itertools.compress(rows, labelled)) for rows in (a, b))

  def findings(classes):
    return paired_findings_test(
      [row['labels'] for row in a],
      *([row['predicted'] for row in rows] for rows in (a, b)),
      classes,
      runs=runs,
    )

  everything = findings(results['labels']['classes'])
  rare = results['labels']['rare']
  nothing = {'difference': None, 'p_value': None}
  return {
    'micro_f1': everything['micro_f1'],
    'f1_macro': everything['macro_f1'],
    'f1_macro_rare': findings(rare)['macro_f1'] if rare else nothing,
  }


def paired_tables(paired: Sequence[Mapping]) -> list[Table]:
  """Differences of runs from a chosen row, each with its p-value."""
  tables = []
  for group in grouped(paired, is_classifier):
    kind = ': classification' if is_classifier(group[0]) else ''
    tables.append(_paired_table(f'Paired tests{kind}', group))
  return tables


def _paired_table(title: str, paired: Sequence[Mapping]) -> Table:
  rows = []
  metrics = list(dict.fromkeys(k for test in paired for k in test['metrics']))
  for test in paired:
    name = (
      f'{test["dataset"]}: {test["name"]} less {test["against"]}, '
      f'{seeds_of(test["seeds"])}'
    )
    # The least p that the resamples can show has four decimals.
    cells = [
      Cell(test['metrics'].get(metric, {}).get(key), None, digits)
      for metric in metrics
      for key, digits in (('difference', 3), ('p_value', 4))
    ]
    rows.append(Row(name, RUN, cells))
  splits = dict.fromkeys(f'{t["dataset"]}: {t["split"]}' for t in paired)
  return Table(
    title,
    "Difference on the same test studies, all seeds' together, and the "
    'two-sided p of approximate randomisation over studies (a study swapped in '
    'all seeds at once). It knows nothing of the chance among other seeds. '
    f'{"; ".join(splits)}.',
    [
      column
      for name in metrics
      for column in (_LABELS[name], f'{_LABELS[name]}: p')
    ],
    rows,
  )
