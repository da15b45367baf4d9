"""One's own films as studies: a folder, a table, or names with a star.

Films of a folder that are below it belong together by their own folder; those
in it stand for themselves. DICOM is told by its content, whatever its name, and
grouped by its StudyInstanceUID, wherever it lies. A table (.csv, .jsonl) has a
column image, and, if one likes, id and view: several in one field with ';'
between them or in a list, or in rows of the same id.
"""

import dataclasses
import glob
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from input_pipeline.errors import UserError
from input_pipeline.images import is_dicom
from input_pipeline.layouts.films import files_below
from input_pipeline.layouts.rows import read_csv, read_json_lines
from input_pipeline.layouts.table import films_and_views
from input_pipeline.study import (
  FILM_SUFFIXES,
  FRONTAL,
  LATERAL,
  said,
  view_of,
)

_TABLES = {'.csv': read_csv, '.jsonl': read_json_lines}
_ID_COLUMNS = ('id', 'study_id', 'study')
_TAGS = (
  *('StudyInstanceUID', 'PatientID', 'ViewPosition', 'ViewCodeSequence'),
  *('Rows', 'Columns'),
)
# Why files that were met in a folder are left out.
_OTHER = 'file that is neither PNG, JPEG nor DICOM'
_NO_PICTURE = 'DICOM without Rows and Columns, no film or cut short'
_SHUT = 'folder that cannot be read'
# What a file's name says of its view, where nothing better does.
_IN_NAME = re.compile(r'(?<![a-z])(frontal|lateral|lat|pa|ap)(?![a-z])')


@dataclasses.dataclass(frozen=True)
class FilmStudy:
  """The films of one study of somebody's own.

  Attributes:
    id: unlike that of any other study of a list; printable.
    films: paths.
    views: 'frontal', 'lateral' or None for each.
    fault: why it cannot be read, '' where nothing is known to be wrong.
  """

  id: str
  films: tuple[str, ...]
  views: tuple[str | None, ...]
  fault: str = ''


def slots_of(study: FilmStudy, views: int, rule: str) -> list[str | None]:
  """The films that a model takes of a study, None where it has none.

  Frontal films come first and lateral ones last, those of no known view
  between them. Films that the model has no place for are left out.

  Args:
    study: with its views as far as they are known.
    views: films that the model takes.
    rule: its data.view_rule.
  """
  rank = {FRONTAL: 0, None: 1, LATERAL: 2}
  pairs = sorted(
    zip(study.films, study.views, strict=True), key=lambda pair: rank[pair[1]]
  )
  if rule == 'frontal':
    pairs = [pair for pair in pairs if pair[1] != LATERAL]
  if rule == 'frontal_lateral' and pairs and pairs[0][1] == LATERAL:
    pairs = [(None, FRONTAL), *pairs]
  if rule == 'frontal_lateral':
    lateral = [pair for pair in pairs[1:] if pair[1] == LATERAL]
    pairs = [*pairs[:1], *(lateral or pairs[1:])]
  films = [film for film, _ in pairs[:views]]
  return films + [None] * (views - len(films))


def printable(text: str) -> str:
  """A name as UTF-8 can hold it: its bytes that are none stand escaped."""
  return text.encode('utf-8', 'backslashreplace').decode('utf-8')


def study_of(name: str, films: Sequence[str]) -> FilmStudy:
  """Films that are said to be one study's, views by their tags and names."""
  return _study(name, [(film, None, _tags(film) or {}) for film in films])


def read_film_list(source: str) -> tuple[list[FilmStudy], dict[str, int]]:
  """The studies that a folder, a table or a pattern names, by their ids.

  Args:
    source: a folder, a .csv or .jsonl file, a film, or a pattern such as
      'films/*/*.png'.

  Returns:
    Studies, and how many rows, files and folders were left out for which
    reason.

  Raises:
    UserError: nothing is there, or a table without a column image.
  """
  path, dropped, passed = Path(source), Counter(), defaultdict(list)
  if path.suffix.lower() in _TABLES and path.is_file():
    groups = _of_table(path, dropped, passed)
  elif path.is_dir():
    files = files_below(
      path, lambda error: passed[_SHUT].append(error.filename)
    )
    groups = _of_files(path, files, passed)
  elif path.is_file():  # its name may look like a pattern
    groups = _of_files(path.parent, [source], passed)
  else:
    found = sorted(glob.glob(source, recursive=True))
    groups = _of_files(_root(source), found, passed)
  studies = [_study(name, members) for name, members in groups.items()]
  for why, paths in passed.items():
    dropped[f'{why}, such as {printable(paths[0])}'] = len(paths)
  if not studies:
    left_out = ''.join(f'; left out: {n} x {why}' for why, n in dropped.items())
    raise UserError(
      f'--images {source} names no film: expected a folder of '
      f'{", ".join(FILM_SUFFIXES)}, a table (.csv or .jsonl) with a column '
      f"image, or a pattern such as 'films/*/*.png'{left_out}"
    )
  return studies, dict(dropped)


def _root(pattern: str) -> Path:
  """The folder that a pattern starts from."""
  parts = Path(pattern).parts
  plain = next((n for n, p in enumerate(parts) if glob.has_magic(p)), None)
  return Path(*parts[: -1 if plain is None else plain])


def _of_files(root: Path, files: Iterable[str], passed: dict) -> dict:
  """{study: its (film, None, tags)}; other files are added to `passed`."""
  groups = defaultdict(list)
  for file in files:
    tags = _tags(file)
    if tags is None and not file.lower().endswith(FILM_SUFFIXES):
      if not os.path.isdir(file):
        passed[_OTHER].append(file)
      continue
    if _has_no_picture(tags):
      passed[_NO_PICTURE].append(file)
      continue
    tags, folder = tags or {}, os.path.relpath(os.path.dirname(file), root)
    alone = os.path.basename(file) if folder == '.' else folder
    name = tags.get('StudyInstanceUID') or alone
    groups[name].append((file, None, tags))
  return groups


def _of_table(path: Path, dropped: Counter, passed: dict) -> dict:
  """{study: its (film, view, tags)}; what is no film is counted."""
  groups = defaultdict(list)
  for row in _TABLES[path.suffix.lower()](path, ('image',), dropped):
    films, words = films_and_views(row)
    if not films:
      dropped[f'row of {path.name} that names no film'] += 1
      continue
    ids = (said(str(row.get(column))) for column in _ID_COLUMNS)
    name = next(filter(None, ids), films[0])
    if len(words) != len(films):
      words = [None] * len(films)
    for film, word in zip(films, words, strict=True):
      film = os.path.join(path.parent, film.replace('\\', '/'))
      film = os.path.normpath(film)
      tags = _tags(film)
      if _has_no_picture(tags):
        passed[_NO_PICTURE].append(film)
      else:
        groups[name].append((film, view_of(word), tags or {}))
  return groups


def _study(name: str, members: Sequence) -> FilmStudy:
  """A study of (film, view that a table gives, tags)."""
  distinct = {}  # a table with a row for each finding names a film in several
  for member in members:
    distinct.setdefault(str(member[0]), member)
  members = distinct.values()
  views = [
    view or tags.get('view') or _view_by(film) for film, view, tags in members
  ]
  fault = ''
  for tag, what in (('PatientID', 'patients'), ('StudyInstanceUID', 'studies')):
    values = {tags[tag] for *_, tags in members if tags.get(tag)}
    if len(values) > 1 and not fault:
      fault = (
        f'its {len(members)} films are of {len(values)} {what} by their DICOM '
        f'{tag}: expected films of one'
      )
  films = tuple(str(film) for film, *_ in members)
  return FilmStudy(printable(name), films, tuple(views), fault)


def _view_by(film: str | Path) -> str | None:
  found = _IN_NAME.search(os.path.basename(film).lower())
  return view_of(found[1] if found else None)


def _has_no_picture(tags: dict | None) -> bool:
  """Of a DICOM that could be read: a report, a key, a presentation, a list."""
  return bool(tags) and not (tags['Rows'] and tags['Columns'])


def _tags(film: str | Path) -> dict[str, str | None] | None:
  """What a DICOM file says of its study; {} of a broken one, None of others."""
  try:
    if not os.path.isfile(film):  # a pipe would keep us waiting
      return None
    with open(film, 'rb') as file:
      if not is_dicom(file.read(132)):
        return None
  except (OSError, ValueError):  # a zero byte in a name is no OSError
    return None
  # Late, as lists of other films need none; and it keeps pydicom quiet.
  from input_pipeline.dicom import pydicom

  try:
    dicom = pydicom.dcmread(
      film, force=True, stop_before_pixels=True, specific_tags=list(_TAGS)
    )
    tags = {tag: str(dicom.get(tag) or '').strip() for tag in _TAGS}
    codes = dicom.get('ViewCodeSequence') or [{}]
    view = said(tags['ViewPosition']) or codes[0].get('CodeMeaning')
    return {**tags, 'view': view_of(view)}
  except Exception:  # The reader of its pixels will say what is wrong.
    return {}
