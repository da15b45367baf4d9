"""Predictions in the files that the field's boards and scorers read.

Their neural scores (RadGraph, CheXbert, GREEN, ...) need downloads of their
own, and so they run elsewhere, on these files. What they score is prose: the
reference as it was written, and the prediction with capitals and stops.
"""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from input_pipeline.atomic_write import write_json, write_text
from input_pipeline.errors import UserError

# RadEval and tables of CSV drop or misread an empty text.
EMPTY = '.'
_NEEDED = ('id', 'report', 'sections', 'reference', 'prediction')


def prose(text: str) -> str:
  """Cleaned words as prose: capitals, and no blank before a stop or comma."""
  text = re.sub(r'\s+([.,;:])', r'\1', ' '.join(text.split()))
  return re.sub(r'(^|[.]\s+)([a-z])', lambda m: m[1] + m[2].upper(), text)


def export(
  form: str, path: Path, predictions: Sequence[Mapping]
) -> tuple[list[Path], int]:
  """Writes the predictions of a run in another program's form.

  Args:
    form: a key of `FORMS`.
    path: of the file; a folder where the form has several.
    predictions: rows of test_predictions.json: id, report (as it was written),
      sections, reference and prediction (cleaned).

  Returns:
    The files, and how many predictions were empty and are EMPTY there.

  Raises:
    UserError: a row lacks a key, or a study is there twice.
  """
  _check(predictions)
  empty = sum(not row['prediction'].strip() for row in predictions)
  rows = [
    {**row, 'prediction': row['prediction'].strip() or EMPTY}
    for row in predictions
  ]
  return FORMS[form](path, rows), empty


def _check(predictions: Sequence[Mapping]) -> None:
  seen = set()
  for row in predictions:
    lacking = [key for key in _NEEDED if key not in row]
    if lacking:
      raise UserError(
        f'predictions have no {", ".join(lacking)}, as those of a classifier '
        'or of an older version: evaluate a report model again with '
        '--mode=evaluate'
      )
    if row['id'] in seen:
      raise UserError(
        f'study {row["id"]!r} is predicted twice: expected one report for each '
        'study; export one split of one run'
      )
    seen.add(row['id'])


def _radeval(path: Path, rows) -> list[Path]:
  """Two lists, in prose; and the cleaned words, on which its BLEU is ours."""
  words = path.with_name(f'{path.stem}_words{path.suffix}')
  write_json(
    path,
    {
      'references': [row['report'] for row in rows],
      'hypotheses': [prose(row['prediction']) for row in rows],
    },
  )
  write_json(
    words,
    {
      'references': [row['reference'] for row in rows],
      'hypotheses': [row['prediction'] for row in rows],
    },
  )
  return [path, words]


def _rexrank(path: Path, rows) -> list[Path]:
  """An object by study, as ReXrank's inference.py writes it."""
  write_json(path, {row['id']: _rexrank_study(row) for row in rows})
  return [path]


def _rexrank_study(row) -> dict:
  sections = row['sections']
  findings = sections.get('findings') or row['report']
  impression = sections.get('impression') or ''
  context = ' '.join(
    f'{name.capitalize()}: {sections[name]}'
    for name in ('indication', 'comparison')
    if sections.get(name)
  )
  report = f'Findings: {findings}'
  return {
    'report': f'{report} Impression: {impression}' if impression else report,
    'section_findings': findings,
    'section_impression': impression,
    'split': 'test',
    'context': context,
    'model_prediction': prose(row['prediction']),
  }


def _radfact(path: Path, rows) -> list[Path]:
  _write_csv(
    path,
    ('example_id', 'prediction', 'target'),
    [(row['id'], prose(row['prediction']), row['report']) for row in rows],
  )
  return [path]


def _crimson(path: Path, rows) -> list[Path]:
  """Age stays empty: no layout of ours has it."""
  _write_csv(
    path,
    ('id', 'Findings', 'Predicted', 'age', 'indication'),
    [
      (
        row['id'],
        row['report'],
        prose(row['prediction']),
        '',
        row['sections'].get('indication', ''),
      )
      for row in rows
    ],
  )
  return [path]


def _cxr_report_metric(folder: Path, rows) -> list[Path]:
  """Two tables with numbers for ids, and a third that says whose they are."""
  folder.mkdir(parents=True, exist_ok=True)
  tables = {
    'gt.csv': ('report', [row['report'] for row in rows]),
    'pred.csv': ('report', [prose(row['prediction']) for row in rows]),
    'ids.csv': ('id', [row['id'] for row in rows]),
  }
  for name, (column, values) in tables.items():
    _write_csv(folder / name, ('study_id', column), list(enumerate(values)))
  return [folder / name for name in tables]


def _write_csv(path: Path, columns, rows) -> None:
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(columns)
  writer.writerows(rows)
  write_text(path, text.getvalue())


FORMS: dict[str, Callable[[Path, Sequence[Mapping]], list[Path]]] = {
  'rexrank': _rexrank,
  'radeval': _radeval,
  'radfact': _radfact,
  'crimson': _crimson,
  'cxr-report-metric': _cxr_report_metric,
}
