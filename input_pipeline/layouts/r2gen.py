"""Reader of the R2Gen layout: annotation.json and, beside it, images/.

annotation.json holds {train|val|test: [{id, report, image_path: [..]}]} with
paths relative to images/. An entry may name its `findings`, and the `views` of
its films. A dataset.json beside it may give the `name` of the data and the
`label_source`.
"""

import hashlib
import json
import pathlib

from input_pipeline.layouts.splits import split_name
from input_pipeline.study import (
  FRONTAL,
  LATERAL,
  OPENI_LICENCE,
  SPLITS,
  DataError,
  Dataset,
  Study,
  choose_films,
  join_key,
  points_outside,
)

_UNKNOWN_LICENCE = 'Unknown: that of the films and reports in this folder.'


def scan_annotation(folder, selection):
  """The `Dataset` of a folder, its films not yet looked for.

  Bad entries are not dropped by rule, as those of other layouts are, but
  listed as problems: somebody has already selected these studies.
  """
  folder = pathlib.Path(folder).absolute()
  _check_selection(folder, selection)
  path = folder / 'annotation.json'
  content = path.read_bytes()
  name, label_source = _read_dataset_json(folder)
  annotation = _parse_json(path, content)
  _check_splits(path, annotation)

  studies, problems, seen = {split: [] for split in SPLITS}, [], set()
  members = []
  for split in SPLITS:
    for number, entry in enumerate(annotation[split]):
      label = entry.get('id') if isinstance(entry, dict) else None
      label = label or f'entry {number}'
      members.append((label, split))
      fault = _fault_of_entry(entry, selection.min_films)
      if not fault and label in seen:
        fault = 'the id was used before.'
      study = None if fault else _study(folder, entry, split, selection)
      if fault or not any(study.films):
        fault = fault or f'has no film for view_rule {selection.view_rule!r}.'
        problems.append(f'{split}/{label}: {fault}')
        continue
      seen.add(label)
      studies[split].append(study)
  open_i = any(join_key(str(label)) for label, _ in members)
  return Dataset(
    folder=str(folder),
    layout='R2Gen',
    name=name,
    label_source=label_source,
    split_name=split_name('annotation.json', members),
    sections=selection.sections,
    view_rule=selection.view_rule,
    min_films=selection.min_films,
    licence=OPENI_LICENCE if open_i else _UNKNOWN_LICENCE,
    studies=studies,
    problems=problems,
    found={'reports': len(members)},
    dropped={'bad entry': len(problems)} if problems else {},
    fingerprint=hashlib.sha256(
      content + repr((name, label_source, selection)).encode()
    ).hexdigest(),
  )


def _study(folder, entry, split, selection):
  films = [str(folder / 'images' / path) for path in entry['image_path']]
  views = entry.get('views') or [None] * len(films)
  study = Study(
    id=entry['id'],
    split=split,
    report=entry['report'],
    films=tuple(films),
    findings=entry.get('findings'),
    views=tuple(views),
    sections={},
    mesh=None,
    labels=None,
  )
  return choose_films(study, selection)


def _check_selection(folder, selection):
  if selection.split_from is not None:
    raise DataError(
      f'{folder} has the split of its annotation.json: split_from is for '
      f'layouts without one.'
    )
  if selection.sections != 'findings':
    raise DataError(
      f'{folder} holds one text for each study, not its sections: sections '
      f"can only be 'findings' (whatever that text is)."
    )


def _read_dataset_json(folder):
  """Name of the data and source of its labels; a bare R2Gen folder is IU's."""
  path = folder / 'dataset.json'
  if not path.exists():
    return 'iu_xray', None
  fields = _parse_json(path, path.read_bytes())
  if not isinstance(fields, dict) or 'name' not in fields:
    raise DataError(f'{path}: expected an object with "name".')
  return str(fields['name']), fields.get('label_source')


def _parse_json(path, content):
  try:
    return json.loads(content)
  except (ValueError, RecursionError) as error:  # of syntax or encoding
    raise DataError(f'{path} is not JSON: {error}.') from None


def _check_splits(path, annotation):
  if not isinstance(annotation, dict):
    raise DataError(f'{path}: expected an object with {", ".join(SPLITS)}.')
  for split in SPLITS:
    if not isinstance(annotation.get(split), list):
      raise DataError(
        f'{path}: expected a list {split!r}; it has '
        f'{", ".join(sorted(annotation)) or "nothing"}.'
      )
    if not annotation[split]:
      raise DataError(f'{path}: the split {split!r} is empty.')


def _fault_of_entry(entry, min_films):
  """What is wrong with one entry of the annotation, or None."""
  if not isinstance(entry, dict):
    return f'expected an object, not {type(entry).__name__}.'
  missing = [k for k in ('id', 'report', 'image_path') if k not in entry]
  if missing:
    return f'has no {", ".join(missing)}.'
  for key in ('id', 'report'):
    if not isinstance(entry[key], str):
      return f'{key} is {entry[key]!r}; expected text.'
  if not entry['id']:
    return 'its id is empty.'
  paths = entry['image_path']
  if not isinstance(paths, list) or not all(isinstance(p, str) for p in paths):
    return f'image_path is {paths!r}; expected a list of paths.'
  if len(paths) < min_films:
    return f'has {len(paths)} of {min_films} films.'
  outside = [path for path in paths if points_outside(path)]
  if outside:
    return f'image_path {outside[0]!r} points outside images/.'
  if not isinstance(entry.get('findings'), list | None):
    return f'findings is {entry["findings"]!r}; expected a list.'
  views = entry.get('views')
  if views is not None and not (
    isinstance(views, list)
    and len(views) == len(paths)
    and all(view in (FRONTAL, LATERAL, None) for view in views)
  ):
    return f'views is {views!r}; expected {FRONTAL!r} or {LATERAL!r} per image.'
  return None
