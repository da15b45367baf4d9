"""Tables of runs beside their baselines and the papers' figures."""

from collections.abc import Callable, Mapping

from cmn_jax.comparison import published
from cmn_jax.comparison.runs import is_classifier
from cmn_jax.comparison.table import (
  BASELINE,
  PUBLISHED,
  RUN,
  Row,
  Table,
  cell_of,
)
from input_pipeline.errors import UserError

Columns = Mapping[str, Callable[[Mapping], float | int | None]]


def _at(*keys) -> Callable[[Mapping], float | int | None]:
  """Reads the value under the keys, None where one is missing."""

  def read(tree):
    for key in keys:
      try:
        tree = tree[key]
      except (KeyError, IndexError, TypeError):
        return None
    return tree

  return read


def _place(word: str):
  """Accuracy of side or zone words, where any finding was found."""

  def read(scores):
    if not _at('findings', 'counts', word)(scores):
      return None
    return scores['findings'][f'{word}_accuracy']

  return read


_REPORTS: Columns = {
  **{f'BLEU-{n}': _at(f'bleu_{n}') for n in range(1, 5)},
  'METEOR': _at('meteor'),
  'ROUGE-L': _at('rouge_l'),
  'CIDEr': _at('cider'),
  'F1 micro': _at('findings', 'micro_f1'),
  'F1 macro': _at('findings', 'macro_f1'),
  'side': _place('side'),
  'zone': _place('zone'),
  'distinct': _at('distinct_reports'),
}
_BASELINES = {'constant': 'constant report', 'retrieval': 'nearest study'}
_RETRIEVAL: Columns = {
  f'{name} {label}': _at('retrieval', way, key)
  for way, name in (
    ('image_to_report', 'report by films'),
    ('report_to_image', 'films by report'),
  )
  for key, label in (
    ('recall_1', '@1'),
    ('recall_5', '@5'),
    ('recall_10', '@10'),
    ('median_rank', 'rank'),
  )
}
_CLASSES: Columns = {
  'precision': _at('precision_weighted'),
  'undefined as 1': _at('precision_weighted_undefined_1'),
  'recall': _at('recall_weighted'),
  'F1': _at('f1_weighted'),
  'F1 micro': _at('micro_f1'),
  'F1 macro': _at('f1_macro'),
  'AUROC macro': _at('auroc_macro'),
  'AUPRC macro': _at('auprc_macro'),
}
_RARE: Columns = {
  f'{name}{label}': read
  for key, name in (
    ('f1_macro', 'F1 macro'),
    ('f1_macro_rare', 'F1 rare'),
    ('auprc_macro_rare', 'AUPRC rare'),
  )
  for label, read in (
    ('', _at(key)),
    (' from', _at('intervals', key, 0)),
    (' to', _at('intervals', key, 1)),
  )
}
# What tells the sections of a page apart, and the rows of a section.
_SECTION = (
  _at('dataset'),
  _at('studies'),
  _at('task'),
  _at('labels', 'source'),
)
_ROW = (_at('variant'), _at('inputs'), _at('finetuned'))


def tables_of(tests: list[dict]) -> list[Table]:
  """All tables of these test.json: reports, retrieval, classification.

  Raises:
    UserError: two of them are the same run.
  """
  _check_distinct(tests)
  reports = [test for test in tests if not is_classifier(test)]
  classifiers = [test for test in tests if is_classifier(test)]
  tables = []
  for group in _groups(reports, _SECTION):
    tables.append(_report_table(group))
    aligned = [test for test in group if test.get('retrieval')]
    if aligned:
      tables.append(_retrieval_table(aligned))
  for group in _groups(classifiers, _SECTION):
    tables.append(_class_table(group))
    if group[0]['labels']['rare']:
      tables.append(_rare_table(group))
  return [*tables, *_published_tables(tests)]


def row_name(tests: list[dict]) -> str:
  """A group's variant, what it reads, and its seeds."""
  first = tests[0]
  inputs = f', {first["inputs"]}' if 'inputs' in first else ''
  seeds = f'seed {first["seed"]}' if len(tests) == 1 else f'{len(tests)} seeds'
  return f'{first["variant"]}{inputs}, {seeds}'


def _groups(tests: list[dict], keys) -> list[list[dict]]:
  """Tests of which the keys read the same, in the order of appearance."""
  groups = {}
  for test in tests:
    groups.setdefault(tuple(read(test) for read in keys), []).append(test)
  return list(groups.values())


def _rows_of_seeds(tests) -> list[list[dict]]:
  """The tests of each row: the papers' order, then that of appearance."""
  order = [*published.REPORTS, *published.CLASSIFICATION]
  place = {name: n for n, name in enumerate(order)}
  return sorted(
    _groups(tests, _ROW),
    key=lambda group: place.get(group[0]['variant'], len(place)),
  )


def _check_distinct(tests):
  for group in _groups(tests, (*_SECTION, *_ROW, _at('seed'))):
    if len(group) > 1:
      raise UserError(
        f'{len(group)} runs of {row_name(group[:1])} on '
        f'{group[0]["dataset"]}: expected each seed once; name each run once, '
        'or tell them apart by --config.variant=ANOTHER_NAME when training'
      )


def _row(name: str, kind: str, tests: list[dict], columns: Columns) -> Row:
  cells = [cell_of(map(read, tests)) for read in columns.values()]
  return Row(name, kind, cells)


def _report_table(tests: list[dict]) -> Table:
  first = tests[0]
  findings = first['findings']
  low, high = findings['micro_f1_interval']
  rows = [
    _row(name, BASELINE, [first['baselines'][key]], _REPORTS)
    for key, name in _BASELINES.items()
  ]
  for group in _rows_of_seeds(tests):
    name = row_name(group)
    shuffled = [test['controls']['shuffled_images'] for test in group]
    rows.append(_row(name, RUN, group, _REPORTS))
    rows.append(_row(f'{name}, shuffled films', BASELINE, shuffled, _REPORTS))
  if first['dataset'] == published.DATASET:
    rows += _published_rows(published.REPORTS, _REPORTS)
  return Table(
    first['dataset'],
    f'{first["studies"]} test studies; findings from `{findings["source"]}`; '
    f'checkpoints chosen on {first["selected_on"]}. 95 % interval of the first '
    f"run's micro F1: {low:.3f} to {high:.3f}.{_seeds_note(tests)}",
    list(_REPORTS),
    rows,
  )


def _retrieval_table(tests: list[dict]) -> Table:
  first = tests[0]['retrieval']
  chance = dict.fromkeys(
    ('image_to_report', 'report_to_image'), first['chance']
  )
  rows = [_row('chance', BASELINE, [{'retrieval': chance}], _RETRIEVAL)]
  for group in _rows_of_seeds(tests):
    untrained = group[0]['retrieval']['projection'] == 'untrained'
    name = row_name(group) + (', untrained projection' if untrained else '')
    kind = BASELINE if untrained else RUN
    rows.append(_row(name, kind, group, _RETRIEVAL))
  return Table(
    f'{tests[0]["dataset"]}: retrieval',
    f'Recall at 1, 5 and 10 and median rank among {first["studies"]} test '
    f'studies with {first["distinct_reports"]} distinct reports; any study '
    f'with the same report is right.{_seeds_note(tests)}',
    list(_RETRIEVAL),
    rows,
  )


def _class_table(tests: list[dict]) -> Table:
  first = tests[0]
  constant = 'always_no_finding'
  rows = [
    _row(
      'always No Finding', BASELINE, [first['baselines'][constant]], _CLASSES
    )
  ]
  for group in _rows_of_seeds(tests):
    rows.append(_row(row_name(group), RUN, group, _CLASSES))
    # The others depend on what the classifier reads.
    for key in group[0]['baselines']:
      if key != constant:
        name = f'{key.replace("_", " ")}, {group[0]["inputs"]}'
        others = [test['baselines'][key] for test in group]
        rows.append(_row(name, BASELINE, others, _CLASSES))
  about = [f'{first["studies"]} test studies']
  if 'labels' in first:
    about.append(f'labels from `{first["labels"]["source"]}`')
  if 'task' in first:
    about.append(f'{first["task"]} task')
  return Table(
    f'{first["dataset"]}: classification',
    f'{"; ".join(about)}. Precision, recall and F1 are weighted by support; '
    'precision counts a class that is never predicted as 0, and as 1 in the '
    f'column beside it.{_seeds_note(tests)}',
    list(_CLASSES),
    rows,
  )


def _rare_table(tests: list[dict]) -> Table:
  first = tests[0]
  labels = first['labels']
  classes = ', '.join(
    f'{name} ({first["per_class"][name]["support"]})' for name in labels['rare']
  )
  rows = []
  for group in _rows_of_seeds(tests):
    row = _row(row_name(group), RUN, group, _RARE)
    cells = [
      cell._replace(deviation=None) if name.endswith((' from', ' to')) else cell
      for name, cell in zip(_RARE, row.cells, strict=True)
    ]
    rows.append(row._replace(cells=cells))
  return Table(
    f'{first["dataset"]}: rare classes',
    f'Macro averages over all findings, and over the rare ones, which fewer '
    f'than one training study in {round(1 / labels["rare_below"])} has: '
    f'{classes}; in brackets how many test studies have one. From, to: 95 % '
    'interval over the test studies, of several seeds the means of its ends.'
    f'{_seeds_note(tests)}',
    list(_RARE),
    rows,
  )


def _seeds_note(tests) -> str:
  several = any(len(group) > 1 for group in _rows_of_seeds(tests))
  return ' Of several seeds: mean ± sample deviation.' if several else ''


def _published_tables(tests) -> list[Table]:
  """The papers' figures, and a constant report on the same reports."""
  columns = {k: v for k, v in _REPORTS.items() if k[:2] in ('BL', 'ME', 'RO')}
  rows = _published_rows(published.REPORTS, columns)
  measured = ''
  for test in tests:
    # The drawn films belong to the same studies, and a constant sees none.
    real = (published.DATASET, f'{published.DATASET}-drawn')
    if test['dataset'] in real and not is_classifier(test):
      name = f'constant report on {test["studies"]} of the same studies'
      constant = test['baselines']['constant']
      rows.append(_row(name, BASELINE, [constant], columns))
      measured = ' but that of the constant report'
      break
  classes = {k: _CLASSES[k] for k in ('precision', 'recall', 'F1')}
  note = "The papers' own figures on IU X-Ray; none was measured here"
  return [
    Table(
      'Published: reports',
      f'{note}{measured}.',
      list(columns),
      rows,
    ),
    Table(
      'Published: classification',
      f'{note}. Weighted by support; `classifier_ce` has no focal term.',
      list(classes),
      _published_rows(published.CLASSIFICATION, classes),
    ),
  ]


def _published_rows(figures, columns: Columns) -> list[Row]:
  """With all the digits that were printed."""
  rows = []
  for name, scores in figures.items():
    row = _row(f'{name} (published)', PUBLISHED, [scores], columns)
    cells = [
      cell._replace(digits=max(3, len(str(cell.value)) - 2))
      for cell in row.cells
    ]
    rows.append(row._replace(cells=cells))
  return rows
