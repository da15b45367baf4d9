"""Reader of any folder with a reports.csv or reports.jsonl of one's own.

Columns: id, report, image; and, if one has them, split, view, findings,
impression, mesh. Several images (and their views) of a study stand in one
field with ';' between them, or in a JSON list. Paths start at the folder.
"""

import collections
import os
import pathlib

from input_pipeline.findings import mesh_labels
from input_pipeline.layouts.rows import (
  find_table,
  read_csv,
  read_json_lines,
)
from input_pipeline.study import (
  FRONTAL,
  LATERAL,
  SPLITS,
  Listing,
  Study,
  points_outside,
)

CSV, JSON_LINES = 'reports.csv', 'reports.jsonl'
_COLUMNS = ('id', 'report', 'image')
_SPLIT_OF = {split: split for split in SPLITS} | {
  'validation': 'val',
  'validate': 'val',
  'valid': 'val',
  '': None,
}


def read_table(folder: pathlib.Path, scratch: pathlib.Path) -> Listing:
  """A `Listing` of the rows in the order of the file."""
  del scratch  # nothing to unpack
  found, dropped = collections.Counter(), collections.Counter()
  path = find_table(folder, CSV) or find_table(folder, JSON_LINES)
  read = read_csv if path.name.startswith(CSV) else read_json_lines
  first = next(iter(read(path, _COLUMNS, collections.Counter())), {})
  return Listing(
    name=os.path.basename(folder),
    label_source='mesh' if 'mesh' in first else None,
    split_name=path.name if 'split' in first else None,
    licence='Unknown: that of the films and reports in this folder.',
    studies=_read_studies(
      folder, read(path, _COLUMNS, dropped), found, dropped
    ),
    found=found,
    dropped=dropped,
  )


def _read_studies(folder, rows, found, dropped):
  for row in rows:
    found['reports'] += 1
    films, views = _listed(row['image']), _listed(row.get('view'))
    if not films:
      dropped['report that names no film'] += 1
      continue
    found['films named'] += len(films)
    fault = _fault(row, films, views)
    if fault:
      dropped[fault] += 1
      continue
    views = [_view(view) for view in views] or [None] * len(films)
    mesh = tuple(_listed(row.get('mesh')))
    labels = {k: v for k, v in mesh_labels(mesh).items() if v}
    yield Study(
      id=str(row['id']).strip(),
      split=_SPLIT_OF[_lower(row.get('split'))],
      report='',
      films=tuple(os.path.join(folder, film) for film in films),
      findings=None,
      views=tuple(views),
      sections={
        'findings': row.get('findings') or row['report'],
        'impression': row.get('impression') or '',
      },
      mesh=mesh or None,
      labels=labels or None,
    )


def _fault(row, films, views):
  """Why a row is left out, or None."""
  texts = [row['report'], *(row.get(n) for n in ('findings', 'impression'))]
  if not all(isinstance(text, str | None) for text in texts):
    return 'row whose report is no text'
  if not str(row['id'] or '').strip():
    return 'row without an id'
  if _lower(row.get('split')) not in _SPLIT_OF:
    return f'row whose split is none of {", ".join(SPLITS)}'
  if any(points_outside(film) for film in films):
    return 'row whose image is outside the folder'
  if views and len(views) != len(films):
    return 'row with another number of views than of images'
  return None


def _listed(value):
  """The parts of a field, blanks and empty ones left out."""
  parts = value if isinstance(value, list) else str(value or '').split(';')
  return [str(part).strip() for part in parts if str(part).strip()]


def _lower(value):
  return str(value or '').strip().lower()


def _view(view):
  return view.lower() if view.lower() in (FRONTAL, LATERAL) else None
