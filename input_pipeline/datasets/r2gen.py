"""Reader of the R2Gen layout: annotation.json and, beside it, images/.

annotation.json holds {train|val|test: [{id, report, image_path: [..]}]} with
paths relative to images/. An entry may name its `findings`. A dataset.json
beside it may give the `name` of the data and the `label_source`.
"""

import dataclasses
import hashlib
import json
import pathlib

from absl import logging

SPLITS = ('train', 'val', 'test')

_LAYOUT = """\
Expected the R2Gen layout in this folder:
  annotation.json   {"train": [{"id", "report", "image_path": [..]}], "val", \
"test"}
  images/           the films that image_path names
To make a phantom to try things on:
  python -m input_pipeline.phantom --out DIR --studies 1600 --seed 1"""


class DataError(ValueError):
  """Data that cannot be used as it is; the message lists all that is wrong."""


@dataclasses.dataclass(frozen=True)
class Study:
  """One patient visit: its report and its films, as they lie on disk."""

  id: str
  split: str
  report: str
  films: tuple[str, ...]  # absolute paths, one for each view
  findings: list | None


@dataclasses.dataclass(frozen=True)
class Dataset:
  """What a folder holds, and what is wrong with it."""

  folder: str
  name: str
  label_source: str | None
  studies: dict[str, list[Study]]
  problems: list[str]  # one sentence for each study left out of `studies`
  fingerprint: str  # changes with the annotation and with any film file


def read_r2gen(folder, views, skip_bad):
  """Reads all studies of `folder`, each with its first `views` films.

  Raises DataError with every bad study in one list. With `skip_bad` those are
  left out instead, and listed in the result's `problems`.
  """
  dataset = scan_r2gen(folder, views)
  refuse_problems(folder, dataset.problems, skip_bad)
  return dataset


def refuse_problems(folder, problems, skip_bad):
  """Raises DataError with all `problems`, or logs them if `skip_bad`."""
  if not problems:
    return
  listed = '\n'.join(f'  {problem}' for problem in problems)
  if not skip_bad:
    raise DataError(
      f'{len(problems)} bad studies in {folder}:\n{listed}\n'
      f'Repair them, or set data.skip_bad=True to go on without them.'
    )
  logging.warning(
    'Going on without %d bad studies of %s:\n%s', len(problems), folder, listed
  )


def no_study_left(folder, split, problems):
  """The DataError of a split in which every study is bad."""
  listed = '\n'.join(f'  {problem}' for problem in problems)
  return DataError(
    f'No study of the split {split!r} in {folder} can be used:\n{listed}'
  )


def scan_r2gen(folder, views):
  """Like `read_r2gen`, but bad studies are only listed, nothing is raised."""
  folder = pathlib.Path(folder).absolute()
  content = _read_annotation(folder)
  name, label_source = _read_dataset_json(folder)
  annotation = _parse_json(folder / 'annotation.json', content)
  _check_splits(folder, annotation)

  digest = hashlib.sha256(content)
  studies, problems, seen = {split: [] for split in SPLITS}, [], set()
  for split in SPLITS:
    for number, entry in enumerate(annotation[split]):
      fault = _fault_of_entry(entry, views)
      if fault:
        label = entry.get('id') if isinstance(entry, dict) else None
        problems.append(f'{split}/{label or f"entry {number}"}: {fault}')
        continue
      if entry['id'] in seen:
        problems.append(f'{split}/{entry["id"]}: the id was used before.')
        continue
      seen.add(entry['id'])
      films = [folder / 'images' / path for path in entry['image_path'][:views]]
      versions = {str(film): _version_of(film) for film in films}
      digest.update(repr(list(versions.values())).encode())
      missing = [film for film, version in versions.items() if not version]
      if missing:
        problems.append(
          f'{split}/{entry["id"]}: no such file: {", ".join(missing)}'
        )
        continue
      studies[split].append(
        Study(
          id=entry['id'],
          split=split,
          report=entry['report'],
          films=tuple(str(film) for film in films),
          findings=entry.get('findings'),
        )
      )
  for split in SPLITS:
    if not studies[split]:
      raise no_study_left(folder, split, problems)
  return Dataset(
    folder=str(folder),
    name=name,
    label_source=label_source,
    studies=studies,
    problems=problems,
    fingerprint=digest.hexdigest(),
  )


def _read_annotation(folder):
  if not folder.is_dir():
    raise DataError(f'No data: there is no folder {folder}.\n{_LAYOUT}')
  try:
    return (folder / 'annotation.json').read_bytes()
  except FileNotFoundError:
    names = sorted(path.name for path in folder.iterdir())
    found = ', '.join(names[:8]) + (', ...' if len(names) > 8 else '')
    raise DataError(
      f'No annotation.json in {folder} (it holds: {found or "nothing"}).\n'
      f'{_LAYOUT}'
    ) from None


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
  except ValueError as error:  # of the syntax or of the encoding
    raise DataError(f'{path} is not JSON: {error}.') from None


def _check_splits(folder, annotation):
  path = folder / 'annotation.json'
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


def _fault_of_entry(entry, views):
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
  if len(paths) < views:
    return f'has {len(paths)} of {views} films.'
  if not isinstance(entry.get('findings'), list | None):
    return f'findings is {entry["findings"]!r}; expected a list.'
  return None


def _version_of(path):
  """Size and time of change of a file, or None where there is no such file."""
  try:
    status = path.stat()
  except OSError:
    return None
  return status.st_size, status.st_mtime_ns
