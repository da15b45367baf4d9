"""Tables of runs beside their baselines and the papers' figures."""

import collections
import math
from collections.abc import Mapping, Sequence

from cmn_jax.comparison import published
from cmn_jax.comparison.rows import (
  check_distinct,
  grouped,
  make_row,
  rows_of,
  seeds_note,
  split_note,
  table_key,
)
from cmn_jax.comparison.table import (
  BASELINE,
  OTHERS,
  PUBLISHED,
  RUN,
  Cell,
  Row,
  Table,
  without_empty_columns,
)
from cmn_jax.scores.catalogue import (
  CLASS_SCORES,
  RARE_SCORES,
  REPORT_SCORES,
  RETRIEVAL_SCORES,
  Score,
  interval_of,
  row_name,
  value_of,
)
from cmn_jax.scores.results import is_classifier

# Of many labels nearly all decisions are a right no.
_CLASSES = tuple(s for s in CLASS_SCORES if s.key != 'accuracy')
_F1_MACRO = next(s for s in CLASS_SCORES if s.key == 'f1_macro')
_MICRO_F1 = next(s for s in REPORT_SCORES if s.key == 'findings.micro_f1')


def tables_of(
  runs: Sequence[Mapping], others: Sequence[Mapping] = ()
) -> list[Table]:
  """All tables of these test.json: reports, retrieval, classification.

  Args:
    runs: the contents of test.json files.
    others: scores of other programs' predictions for the studies of a run.

  Raises:
    UserError: two runs are the same.
  """
  check_distinct(runs)
  reports = [results for results in runs if not is_classifier(results)]
  classifiers = [results for results in runs if is_classifier(results)]
  tables = []
  for group in grouped(reports, table_key):
    key = table_key(group[0])
    strangers = [other for other in others if table_key(other) == key]
    tables.append(_report_table(group, strangers))
    if aligned := [run for run in group if 'retrieval' in run]:
      tables.append(_retrieval_table(aligned))
  for group in grouped(classifiers, table_key):
    tables.append(_class_table(group))
    if group[0]['labels']['rare']:
      tables.append(_rare_table(group))
  _distinct_titles(tables)
  return [without_empty_columns(table) for table in tables]


def _distinct_titles(tables: list[Table]) -> None:
  """Numbers the tables that share a title, as those of two splits do."""
  count = collections.Counter(table.title for table in tables)
  seen = collections.Counter()
  for table in tables:
    title = table.title
    if count[title] > 1:
      seen[title] += 1
      table.title = f'{title} ({seen[title]} of {count[title]})'


def _report_table(runs: Sequence[Mapping], others: Sequence[Mapping]) -> Table:
  first = runs[0]
  scores = REPORT_SCORES
  share = first['reference_abnormal_share']
  common = _common_baselines(runs)
  rows = [
    make_row(row_name(key), BASELINE, [row], scores)
    for key, row in common.items()
  ]
  if share is not None:
    of_iu = first.get('reference_abnormal_share_iu')
    references = {
      'abnormal_share': share,
      'findings_iu': {'abnormal_share': of_iu},
    }
    rows.append(make_row('the references', BASELINE, [references], scores))
  by_row = rows_of(runs)
  for name, group in by_row.items():
    rows.append(make_row(name, RUN, group, scores))
    # Of a single study there is nothing to shuffle.
    shuffled = [
      results['controls']['shuffled_images']
      for results in group
      if results['controls']
    ]
    full = f'{name}, shuffled images'
    rows.append(make_row(full, BASELINE, shuffled, scores))
    for key in [k for k in group[0]['baselines'] if k not in common]:
      own = [results['baselines'][key] for results in group]
      rows.append(make_row(f'{name}, {row_name(key)}', BASELINE, own, scores))
  for other in others:
    rows.append(
      make_row(f'{other["name"]} (not ours)', OTHERS, [other], scores)
    )
  rows += _published_rows(first, published.REPORTS, scores)
  top = next(iter(by_row.values()))[0]
  interval = interval_of(top, _MICRO_F1)
  about = (
    f' 95 % interval of the F1 micro of {top["name"]}, seed {top["seed"]}: '
    f'{interval[0]:.3f} to {interval[1]:.3f}.'
    if interval
    else ''
  )
  return Table(
    first['dataset'],
    f'{split_note(first)}; findings from `{first["findings"]["source"]}`; '
    f'checkpoints chosen on {_selected(runs)}.{about}{seeds_note(runs)}',
    [score.label for score in scores],
    rows,
  )


def _common_baselines(runs) -> dict[str, Mapping]:
  """Those that are the same for all runs; others are of one row."""
  return {
    key: row
    for key, row in runs[0]['baselines'].items()
    if all(_alike(row, results['baselines'].get(key)) for results in runs)
  }


def _alike(row: Mapping, other: Mapping | None) -> bool:
  keys = 'bleu_1', 'bleu_4', 'cider', 'distinct_reports'
  return other is not None and all(
    math.isclose(row[key], other[key], abs_tol=1e-4) for key in keys
  )


def _selected(runs) -> str:
  return ' or '.join(dict.fromkeys(results['selected_on'] for results in runs))


def _retrieval_table(runs: Sequence[Mapping]) -> Table:
  first = runs[0]['retrieval']
  chance = dict.fromkeys(
    ('image_to_report', 'report_to_image'), first['chance']
  )
  rows = [
    make_row('chance', BASELINE, [{'retrieval': chance}], RETRIEVAL_SCORES)
  ]
  for name, group in rows_of(runs).items():
    untrained = group[0]['retrieval']['projection'] == 'untrained'
    kind = BASELINE if untrained else RUN
    full = name + (', untrained projection' if untrained else '')
    rows.append(make_row(full, kind, group, RETRIEVAL_SCORES))
  return Table(
    f'{runs[0]["dataset"]}: retrieval',
    f'{split_note(runs[0])}. Recall at 1, 5 and 10 and median rank among '
    f'{first["studies"]} studies with {first["distinct_reports"]} distinct '
    f'reports; any study with the same report is right.{seeds_note(runs)}',
    [score.label for score in RETRIEVAL_SCORES],
    rows,
  )


def _class_table(runs: Sequence[Mapping]) -> Table:
  first = runs[0]
  constant = 'always_no_finding'
  rows = [
    make_row(
      row_name(constant), BASELINE, [first['baselines'][constant]], _CLASSES
    )
  ]
  for name, group in rows_of(runs).items():
    rows.append(make_row(name, RUN, group, _CLASSES))
    # The others depend on what the classifier reads.
    for key in group[0]['baselines']:
      if key != constant:
        baselines = [results['baselines'][key] for results in group]
        full = f'{row_name(key)}, {group[0]["inputs"]}'
        rows.append(make_row(full, BASELINE, baselines, _CLASSES))
  rows += _published_rows(first, published.CLASSIFICATION, _CLASSES)
  single = 'confusion_matrix' in first
  return Table(
    f'{first["dataset"]}: classification',
    f'{split_note(first)}; labels from `{first["labels"]["source"]}`; '
    f'{"one label" if single else "several labels"} a study; checkpoints '
    f'chosen on {_selected(runs)}. Precision, recall and F1 are weighted by '
    'support; precision counts a class that is never predicted as 0, and as 1 '
    f'in the column beside it.{seeds_note(runs)}',
    [score.label for score in _CLASSES],
    rows,
  )


def _rare_table(runs: Sequence[Mapping]) -> Table:
  first = runs[0]
  labels = first['labels']
  scores = (_F1_MACRO, *RARE_SCORES)
  classes = ', '.join(
    f'{name} ({first["per_class"][name]["support"]})' for name in labels['rare']
  )
  rows = []
  for name, group in rows_of(runs).items():
    cells = []
    for score, cell in zip(
      scores, make_row(name, RUN, group, scores).cells, strict=True
    ):
      cells += [cell, *_ends(group, score)]
    rows.append(Row(name, RUN, cells))
  return Table(
    f'{first["dataset"]}: rare classes',
    f'{split_note(first)}. Macro averages over all findings, and over the rare '
    f'ones, which fewer than one training study in '
    f'{round(1 / labels["rare_below"])} has: {classes}; in brackets how many '
    'test studies have one. From, to: 95 % interval over the test studies, of '
    'several seeds the means of its ends; there is none where a class has '
    f'fewer than 10 studies.{seeds_note(runs)}',
    [f'{s.label}{end}' for s in scores for end in ('', ' from', ' to')],
    rows,
  )


def _ends(group, score) -> list[Cell]:
  """The mean bounds of the interval of several seeds."""
  bounds = [interval_of(results, score) for results in group]
  if None in bounds:
    return [Cell(None), Cell(None)]
  return [
    Cell(sum(ends) / len(ends), None, score.digits)
    for ends in zip(*bounds, strict=True)
  ]


def _published_rows(
  results: Mapping, figures: Mapping, scores: Sequence[Score]
) -> list[Row]:
  """The papers' figures with all their digits, beside runs on their studies."""
  if results['dataset'] != published.DATASET or not results['split_official']:
    return []
  references, rows = results.get('references'), []
  for name, values in figures.items():
    if references not in (None, published.references_of(name)):
      continue
    cells = []
    for score in scores:
      value = value_of(values, score)
      decimals = 0 if value is None else len(str(value)) - 2
      cells.append(Cell(value, None, max(score.digits, decimals)))
    rows.append(Row(f'{name} (published)', PUBLISHED, cells))
  return rows
