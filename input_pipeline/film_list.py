"""One's own films as studies: a folder, a table, or names with a star.

Films of a folder that are below it belong together by their own folder; those
in it stand for themselves. DICOM that names a StudyInstanceUID is grouped by
that, wherever it lies. A table (.csv, .jsonl) has a column image, and, if one
likes, id and view: several in one field with ';' between them or in a JSON
list, or in rows of the same id.
"""

import dataclasses
import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from input_pipeline.errors import UserError
from input_pipeline.layouts.films import files_below
from input_pipeline.layouts.rows import read_csv, read_json_lines
from input_pipeline.study import FILM_SUFFIXES, FRONTAL, LATERAL, view_of

_TABLES = {'.csv': read_csv, '.jsonl': read_json_lines}
_ID_COLUMNS = ('id', 'study_id', 'study')
_TAGS = ('StudyInstanceUID', 'PatientID', 'ViewPosition')
# What a file's name says of its view, where nothing better does.
_IN_NAME = re.compile(r'(?<![a-z])(frontal|lateral|lat|pa|ap)(?![a-z])')


@dataclasses.dataclass(frozen=True)
class FilmStudy:
  """The films of one study of somebody's own.

  Attributes:
    id: unlike that of any other study of a list.
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


def study_of(name: str, films: Sequence[str]) -> FilmStudy:
  """Films that are said to be one study's, views by their tags and names."""
  return _study(name, [(film, None, _tags(film)) for film in films])


def read_film_list(source: str) -> tuple[list[FilmStudy], dict[str, int]]:
  """The studies that a folder, a table or a pattern names, by their ids.

  Args:
    source: a folder, a .csv or .jsonl file, a film, or a pattern such as
      'films/*/*.png'.

  Returns:
    Studies, and how many rows of a table were left out for which reason.

  Raises:
    UserError: nothing is there, or a table without a column image.
  """
  path, dropped = Path(source), Counter()
  if path.suffix.lower() in _TABLES and path.is_file():
    studies = list(_of_table(path, dropped))
  elif path.is_dir():
    studies = list(_of_files(path, filter(_is_film, files_below(path))))
  else:
    films = sorted(f for f in glob.glob(source, recursive=True) if _is_film(f))
    studies = list(_of_files(_root(source), films))
  if not studies:
    raise UserError(
      f'--images {source} names no film: expected a folder of '
      f'{", ".join(FILM_SUFFIXES)}, a table (.csv or .jsonl) with a column '
      "image, or a pattern such as 'films/*/*.png'"
    )
  return studies, dict(dropped)


def _is_film(path: str) -> bool:
  """By its name, or, where that has no ending, as DICOM by its content."""
  name = os.path.basename(path).lower()
  if name.endswith(FILM_SUFFIXES):
    return True
  if '.' in name.strip('.') and not re.fullmatch(r'[\d.]+', name):
    return False
  return _is_dicom(path)


def _is_dicom(path: str) -> bool:
  try:
    with open(path, 'rb') as file:
      return file.read(132)[128:] == b'DICM'
  except OSError:
    return False


def _root(pattern: str) -> Path:
  """The folder that a pattern starts from, or of a file that it names."""
  parts = Path(pattern).parts
  plain = next((n for n, p in enumerate(parts) if glob.has_magic(p)), None)
  return Path(*parts[: -1 if plain is None else plain])


def _of_files(root: Path, films: Iterable[str]) -> Iterator[FilmStudy]:
  groups = {}
  for film in films:
    tags = _tags(film)
    folder = os.path.relpath(os.path.dirname(film), root)
    alone = os.path.basename(film) if folder == '.' else folder
    groups.setdefault(tags.get('StudyInstanceUID') or alone, []).append(
      (film, None, tags)
    )
  for name, members in groups.items():
    yield _study(name, members)


def _of_table(path: Path, dropped: Counter) -> Iterator[FilmStudy]:
  groups = {}
  for row in _TABLES[path.suffix.lower()](path, ('image',), dropped):
    films, words = _listed(row['image']), _listed(row.get('view'))
    if not films:
      dropped[f'row of {path.name} that names no film'] += 1
      continue
    name = next((str(row[c]) for c in _ID_COLUMNS if row.get(c)), films[0])
    views = [view_of(word) for word in words]
    if len(views) != len(films):
      views = [None] * len(films)
    groups.setdefault(name.strip(), []).extend(
      (str(path.parent / film), view, _tags(path.parent / film))
      for film, view in zip(films, views, strict=True)
    )
  for name, members in groups.items():
    yield _study(name, members)


def _listed(value) -> list[str]:
  parts = value if isinstance(value, list) else str(value or '').split(';')
  return [str(part).strip() for part in parts if str(part).strip()]


def _study(name: str, members: Sequence) -> FilmStudy:
  """A study of (film, view that a table gives, tags)."""
  views = [view or _view_by(film, tags) for film, view, tags in members]
  fault = ''
  for tag, what in (('PatientID', 'patients'), ('StudyInstanceUID', 'studies')):
    values = {tags[tag] for *_, tags in members if tags.get(tag)}
    if len(values) > 1 and not fault:
      fault = (
        f'its {len(members)} films are of {len(values)} {what} by their DICOM '
        f'{tag}: expected films of one'
      )
  films = tuple(str(film) for film, *_ in members)
  return FilmStudy(name, films, tuple(views), fault)


def _view_by(film: str, tags: dict) -> str | None:
  found = _IN_NAME.search(os.path.basename(film).lower())
  return view_of(tags.get('ViewPosition')) or view_of(
    found[1] if found else None
  )


def _tags(film: str | Path) -> dict[str, str]:
  """What a DICOM file says of its study; {} of others and of broken ones."""
  if not _is_dicom(str(film)):
    return {}
  import pydicom  # late: lists of other films need none

  try:
    dicom = pydicom.dcmread(
      film, stop_before_pixels=True, specific_tags=list(_TAGS)
    )
    return {tag: str(dicom.get(tag) or '').strip() for tag in _TAGS}
  except Exception:  # The reader of its pixels will say what is wrong.
    return {}
