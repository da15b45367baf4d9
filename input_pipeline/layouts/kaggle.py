"""Reader of Kaggle's "chest-xrays-indiana-university": two CSVs and PNGs."""

import collections
import os
import pathlib

from input_pipeline.findings import mesh_labels
from input_pipeline.layouts.archives import unpack
from input_pipeline.layouts.films import (
  film_path,
  index_films,
  indiana_listing,
)
from input_pipeline.layouts.rows import find_table, need_table, read_csv
from input_pipeline.study import (
  FILM_SUFFIXES,
  Listing,
  Study,
  join_key,
  number_of,
  path_inside,
  said,
  view_of,
)

REPORTS, PROJECTIONS = 'indiana_reports.csv', 'indiana_projections.csv'
ARCHIVES = ('archive.zip', 'chest-xrays-indiana-university.zip')
_LONGEST_UID = 18
_SECTIONS = ('indication', 'comparison', 'findings', 'impression')


def read_kaggle(folder: pathlib.Path, scratch: pathlib.Path) -> Listing:
  """A `Listing` of the studies in the order of their numbers.

  Kaggle's archive, if that is what `folder` holds, is unpacked into `scratch`.
  """
  found, dropped = collections.Counter(), collections.Counter()
  given = folder
  for name in ARCHIVES:
    if (folder / name).is_file() and not find_table(folder, REPORTS):
      suffixes = (*FILM_SUFFIXES, '.csv')
      folder = unpack(folder / name, scratch, suffixes, dropped)
  studies = _read_studies(folder, given, found, dropped)
  return indiana_listing(studies, found, dropped)


def _read_studies(folder, given, found, dropped):
  film_of = index_films([folder])
  found['films on disk'] = len(film_of)
  views_of = _read_projections(folder, dropped)
  _add_unnamed(views_of, film_of, found, dropped)
  table = need_table(folder, REPORTS)
  rows = list(read_csv(table, ('uid', 'MeSH', *_SECTIONS), dropped))
  found['reports'] = len(rows)
  seen = set()
  for row in sorted(rows, key=lambda row: _number(row['uid'])):
    if len(row['uid']) > _LONGEST_UID:
      dropped['report whose number is none'] += 1
      continue
    if row['uid'].strip() in seen:
      dropped['id that was used before'] += 1
      continue
    seen.add(row['uid'].strip())
    # Open-i's XMLs, and so R2Gen, name the films of a study in this order.
    films = sorted(views_of.pop(row['uid'].strip(), {}).items())
    if not films:
      dropped['report that names no film'] += 1
      continue
    found['films named'] += len(films)
    yield _study(row, films, film_of, given)
  if views_of:
    dropped['study on disk without a report'] += len(views_of)


def _read_projections(folder, dropped):
  """{uid: {film name: view}}."""
  views_of = collections.defaultdict(dict)
  table = need_table(folder, PROJECTIONS)
  columns = ('uid', 'filename', 'projection')
  for row in read_csv(table, columns, dropped):
    if not join_key(row['filename']):
      dropped[f'row of {PROJECTIONS} with a strange film name'] += 1
      continue
    if path_inside(row['filename'].strip(), folder) is None:
      dropped[f'row of {PROJECTIONS} whose film is outside the folder'] += 1
      continue
    view = view_of(row['projection'])
    views_of[row['uid'].strip()][row['filename'].strip()] = view
  return views_of


def _add_unnamed(views_of, film_of, found, dropped):
  """Films that are there but in no row take their place in their study.

  Else the study would slide to other films than another layout takes.
  """
  named = {join_key(name) for views in views_of.values() for name in views}
  strangers = set()
  for key in film_of.keys() - named:
    uid = key.split('_')[0]
    if uid in views_of:
      views_of[uid][os.path.basename(film_of[key])] = None
      found[f'films that {PROJECTIONS} does not name'] += 1
    else:
      strangers.add(key.rsplit('-', 1)[0])
  dropped['study on disk without a report'] += len(strangers)


def _number(uid):
  return number_of(uid) or 0, uid.strip()


def _study(row, films, film_of, folder):
  first = join_key(films[0][0])
  mesh = tuple(term.strip() for term in row['MeSH'].split(';') if said(term))
  return Study(
    id='CXR' + first.rsplit('-', 1)[0],
    films=tuple(film_path(film_of, name, folder) for name, _ in films),
    views=tuple(view for _, view in films),
    sections={name: row[name] for name in _SECTIONS},
    mesh=mesh or None,
    labels=mesh_labels(mesh),
  )
