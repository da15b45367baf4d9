"""Reader of the R2Gen layout: annotation.json and, beside it, images/.

annotation.json holds {train|val|test: [{id, report, image_path: [..]}]} with
paths relative to images/. An entry may name its `findings`, and the `views` of
its films; or a views.csv beside it does, with the columns id, film (its place
in the list, from 0) and view (Frontal or Lateral). A dataset.json beside it may
give the `name` of the data and the `label_source`; without one, the data are
named by the collection that their ids are of, or as their folder is.
"""

import collections
import dataclasses
import pathlib

from input_pipeline.errors import plain_or_quoted, quoted, quoted_list
from input_pipeline.findings import Finding
from input_pipeline.layouts.mimic_cxr import LICENCE as MIMIC_LICENCE
from input_pipeline.layouts.mimic_cxr import is_mimic_id
from input_pipeline.layouts.rows import need_table, read_csv, read_json
from input_pipeline.study import (
  FRONTAL,
  LATERAL,
  OPENI_LICENCE,
  SPLITS,
  DataError,
  Listing,
  Study,
  join_key,
  number_of,
  path_inside,
  view_of,
)

ANNOTATION = 'annotation.json'
VIEWS = 'views.csv'
_FINDING_FIELDS = tuple(field.name for field in dataclasses.fields(Finding))


def read_r2gen(folder: pathlib.Path, scratch: pathlib.Path) -> Listing:
  """A `Listing` of the studies in the order of the annotation.

  Bad entries are listed as problems, not dropped by rule as in other layouts:
  somebody has already selected these studies.
  """
  del scratch  # nothing to unpack
  path = need_table(folder, ANNOTATION)
  annotation = read_json(path)
  _check_splits(path, annotation)
  entries = [(split, e) for split in SPLITS for e in annotation[split]]
  ids = [str(e.get('id')) for _, e in entries if isinstance(e, dict)]
  described = read_description(folder)
  found, problems = collections.Counter(reports=len(entries)), []
  return Listing(
    name=described.get('name') or _name_of(ids) or folder.name,
    label_source=described.get('label_source'),
    split_name=ANNOTATION,
    licence=_licence_of(ids),
    studies=_read_studies(folder, annotation, problems),
    found=found,
    dropped=collections.Counter(),
    problems=problems,
  )


def _read_studies(folder, annotation, problems):
  views = _read_views(folder)
  for split in SPLITS:
    for number, entry in enumerate(annotation[split]):
      fault = _fault_of_entry(entry, folder)
      if fault:
        label = entry.get('id') if isinstance(entry, dict) else None
        label = plain_or_quoted(str(label or f'entry {number}'))
        problems.append(f'{split}/{label}: {fault}')
        continue
      paths = entry['image_path']
      yield Study(
        id=entry['id'],
        split=split,
        films=tuple(path_inside(path, folder / 'images') for path in paths),
        findings=entry.get('findings'),
        views=tuple(
          entry.get('views')
          or (views.get((entry['id'], n)) for n in range(len(paths)))
        ),
        sections={'findings': entry['report']},
      )


def _name_of(ids):
  """The collection that all of the ids are of, None where there is none."""
  if all(join_key(name) for name in ids):
    return 'iu_xray'
  return 'mimic_cxr' if all(map(is_mimic_id, ids)) else None


def _licence_of(ids):
  """That of the collections from which any of the studies comes."""
  if any(join_key(name) for name in ids):
    return OPENI_LICENCE
  if any(map(is_mimic_id, ids)):
    return MIMIC_LICENCE
  return 'Unknown: that of the films and reports in this folder.'


def _read_views(folder):
  """{(id, place of the film): view} of a views.csv, if there is one."""
  path = folder / VIEWS
  if not path.exists():
    return {}
  views, dropped = {}, collections.Counter()
  for row in read_csv(path, ('id', 'film', 'view'), dropped):
    view, place = view_of(row['view']), number_of(row['film'])
    if view is None or place is None:
      raise DataError(
        f'{path}, study {quoted(row["id"])}: film {quoted(row["film"])}, view '
        f'{quoted(row["view"])}; expected the place of a film, from 0, and '
        'Frontal or Lateral.'
      )
    views[row['id'], place] = view
  if dropped:
    raise DataError(f'{path}: {"; ".join(dropped)}; expected id, film, view.')
  return views


def read_description(folder: pathlib.Path) -> dict:
  """Name of the data and source of its labels; {} without a dataset.json."""
  path = folder / 'dataset.json'
  if not path.exists():
    return {}
  fields = read_json(path)
  if not isinstance(fields, dict) or not isinstance(fields.get('name'), str):
    raise DataError(f'{path}: expected an object with "name".')
  return fields


def _check_splits(path, annotation):
  if not isinstance(annotation, dict):
    raise DataError(f'{path}: expected an object with {", ".join(SPLITS)}.')
  for split in SPLITS:
    if not isinstance(annotation.get(split), list):
      raise DataError(
        f'{path}: expected a list {split!r}; it has '
        f'{quoted_list(sorted(annotation)) or "nothing"}.'
      )
    if not annotation[split]:
      raise DataError(f'{path}: the split {split!r} is empty.')


def _fault_of_entry(entry, folder):
  """What is wrong with one entry of the annotation, or None."""
  if not isinstance(entry, dict):
    return f'expected an object, not {type(entry).__name__}.'
  missing = [k for k in ('id', 'report', 'image_path') if k not in entry]
  if missing:
    return f'has no {", ".join(missing)}.'
  for key in ('id', 'report'):
    if not isinstance(entry[key], str):
      return f'{key} is {quoted(entry[key])}; expected text.'
  if not entry['id']:
    return 'its id is empty.'
  paths = entry['image_path']
  if not isinstance(paths, list) or not all(isinstance(p, str) for p in paths):
    return f'image_path is {quoted(paths)}; expected a list of paths.'
  outside = [p for p in paths if not path_inside(p, folder / 'images')]
  if outside:
    return f'image_path {quoted(outside[0])} points outside images/.'
  if not _are_findings(entry.get('findings')):
    return (
      f'findings is {quoted(entry["findings"])}; expected a list of '
      f'objects with the texts {", ".join(_FINDING_FIELDS)}.'
    )
  views = entry.get('views')
  if views is not None and not (
    isinstance(views, list)
    and len(views) == len(paths)
    and all(view in (FRONTAL, LATERAL, None) for view in views)
  ):
    return (
      f'views is {quoted(views)}; expected {FRONTAL!r} or {LATERAL!r} per '
      'image.'
    )
  return None


def _are_findings(findings):
  return findings is None or (
    isinstance(findings, list)
    and all(
      isinstance(finding, dict)
      and 'name' in finding
      and set(finding) <= set(_FINDING_FIELDS)
      and all(isinstance(text, str) for text in finding.values())
      for finding in findings
    )
  )
