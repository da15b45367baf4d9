"""Reader of any folder with a reports.csv or reports.jsonl of one's own.

Columns: id, report, image; and, if one has them, split, view, findings,
impression, mesh. Several images (and their views) of a study stand in one
field with ';' between them, or in a list, or each in a row of its own with the
same id and report. Paths start at the folder.
"""

import collections
import dataclasses
import itertools
import os
import pathlib
import re

from input_pipeline.findings import mesh_labels
from input_pipeline.layouts.rows import (
  find_table,
  read_csv,
  read_json_lines,
)
from input_pipeline.study import (
  SPLITS,
  Listing,
  Study,
  path_inside,
  said,
  view_of,
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
  rows = read(path, _COLUMNS, dropped)
  studies = _together(_read_studies(folder, rows, found, dropped))
  return Listing(
    name=os.path.basename(folder),
    label_source='mesh' if any(s.mesh for s in studies) else None,
    split_name=path.name if any(s.split for s in studies) else None,
    licence='Unknown: that of the films and reports in this folder.',
    studies=_joined(studies),
    found=found,
    dropped=dropped,
  )


def _together(studies):
  """In the order of the ids' first rows, those of one id one after another."""
  of_id = collections.defaultdict(list)
  for study in studies:
    of_id[study.id].append(study)
  return list(itertools.chain.from_iterable(of_id.values()))


def _joined(studies):
  """Rows that follow each other with one film each, of one study, as one."""
  last = None
  for study in studies:
    same = last and dataclasses.replace(
      study, films=last.films, views=last.views
    )
    if same == last and last and not set(study.films) & set(last.films):
      last = dataclasses.replace(
        last, films=last.films + study.films, views=last.views + study.views
      )
      continue
    if last:
      yield last
    last = study
  if last:
    yield last


def _read_studies(folder, rows, found, dropped):
  for row in rows:
    found['reports'] += 1
    films, views = films_and_views(row)
    if not films:
      dropped['report that names no film'] += 1
      continue
    found['films named'] += len(films)
    fault = _fault(row, folder, films, views)
    if fault:
      dropped[fault] += 1
      continue
    views = list(map(view_of, views)) or [None] * len(films)
    mesh = tuple(filter(said, _listed(row.get('mesh'))))
    yield Study(
      id=str(row['id']).strip(),
      split=_SPLIT_OF[_lower(row.get('split'))],
      films=tuple(path_inside(film, folder) for film in films),
      views=tuple(views),
      sections={
        'findings': said(row.get('findings')) or row['report'],
        'impression': row.get('impression') or '',
      },
      mesh=mesh or None,
      labels=mesh_labels(mesh),
    )


def _fault(row, folder, films, views):
  """Why a row is left out, or None."""
  texts = [row['report'], *(row.get(n) for n in ('findings', 'impression'))]
  if not all(isinstance(text, str | None) for text in texts):
    return 'row whose report is no text'
  if not said(str(row['id'] or '')):
    return 'row without an id'
  if _lower(row.get('split')) not in _SPLIT_OF:
    return f'row whose split is none of {", ".join(SPLITS)}'
  if not all(path_inside(film, folder) for film in films):
    return 'row whose image is outside the folder'
  if views and len(views) != len(films):
    return 'row with another number of views than of images'
  return None


def films_and_views(row: dict) -> tuple[list[str], list[str]]:
  """What a row has in its columns image and view, blanks left out.

  Where there are so many views as films, blank views stay.
  """
  films, views = _listed(row['image']), _listed(row.get('view'))
  films = list(filter(said, films))
  if len(views) != len(films):
    views = list(filter(said, views))
  return films, views


def _listed(value):
  """The parts of a field, stripped."""
  if not isinstance(value, list):
    value = str(value or '').strip()
    if re.fullmatch(r'\[.*\]|\(.*\)', value, re.DOTALL):  # a printed list
      quoted = re.findall(r'\'([^\']*)\'|"([^"]*)"', value)
      value = [a or b for a, b in quoted] or value[1:-1].split(',')
    else:
      value = value.split(';')
  return [str(part).strip() for part in value]


def _lower(value):
  return said(str(value or '')).lower()
