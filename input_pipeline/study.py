"""The study record that the readers of all layouts give, and what is kept."""

import collections
import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Iterable, Iterator

from absl import logging

from input_pipeline.errors import UserError

SPLITS = ('train', 'val', 'test')
FRONTAL, LATERAL = 'frontal', 'lateral'

# The sections of a report that make the text to be written.
SECTIONS = {
  'findings': ('findings',),
  'findings+impression': ('findings', 'impression'),
}
FILM_SUFFIXES = ('.png', '.dcm', '.jpg', '.jpeg')  # the first found is taken

OPENI_LICENCE = (
  'Open-i, Indiana University: CC BY-NC-ND 4.0. Reports, films, and what is '
  'derived from them may not be passed on changed or sold.'
)

# Which films stand for a study: the first ones that it lists, its first
# frontal and its first lateral one, or frontal ones only.
VIEW_RULES = ('first', 'frontal_lateral', 'frontal')

_JOIN_KEY = re.compile(r'(\d+)_(IM-.*)$')


class DataError(UserError):
  """Data that cannot be used as it is; the message lists all that is wrong."""


@dataclasses.dataclass(frozen=True, slots=True)
class Study:
  """One patient visit: its report and its films, as they lie on disk.

  Attributes:
    id: unlike that of any other study.
    split: 'train', 'val' or 'test'; None where the layout does not say.
    report: the text to be written; a reader of sections leaves it empty.
    films: absolute paths; None where a chosen view is absent.
    findings: the phantom's findings as drawn, else None.
    views: 'frontal', 'lateral' or None for each film.
    sections: parts of the report by name, in lower case.
    mesh: MeSH terms of the indexers, None where nobody indexed.
    labels: CheXpert classes that are spoken of, to 'positive', 'negative' or
      'uncertain'; None where the layout has no labels.
  """

  id: str
  split: str | None
  report: str
  films: tuple[str | None, ...]
  findings: list | None
  views: tuple[str | None, ...]
  sections: dict[str, str]
  mesh: tuple[str, ...] | None
  labels: dict[str, str] | None


@dataclasses.dataclass(frozen=True)
class Selection:
  """Which studies are kept, and what of them.

  Attributes:
    sections: a key of `SECTIONS`.
    views: how many films of a study are used.
    view_rule: which ones; see `VIEW_RULES`.
    min_films: studies with fewer listed films are dropped; R2Gen's rule is 2.
    split_from: an annotation.json whose split is taken, or None.
  """

  sections: str
  views: int
  view_rule: str
  min_films: int
  split_from: str | None

  def __post_init__(self):
    if self.sections not in SECTIONS:
      raise UserError(
        f'sections is {self.sections!r}; expected one of {", ".join(SECTIONS)}.'
      )
    if self.view_rule not in VIEW_RULES:
      raise UserError(
        f'view_rule is {self.view_rule!r}; expected one of '
        f'{", ".join(VIEW_RULES)}.'
      )
    for name in ('views', 'min_films'):
      if getattr(self, name) < 1:
        raise UserError(f'{name} is {getattr(self, name)}; expected 1 or more.')
    if self.view_rule == 'frontal_lateral' and self.views != 2:
      raise UserError(
        f"view_rule 'frontal_lateral' takes 2 films, but views is {self.views}."
      )


@dataclasses.dataclass
class Listing:
  """What a reader finds in a folder; the counters fill as `studies` is read.

  Attributes:
    name: of the data, such as 'iu_xray'.
    label_source: of the studies' labels, such as 'mesh', or None.
    split_name: of the split that the studies name, None where they name none.
    licence: what may be done with the data, in a sentence.
    studies: unselected, in an order that depends on the contents alone.
    found: how many there are of what.
    dropped: how many were left out, for which reason.
  """

  name: str
  label_source: str | None
  split_name: str | None
  licence: str
  studies: Iterator[Study]
  found: collections.Counter
  dropped: collections.Counter


@dataclasses.dataclass(frozen=True)
class Dataset:
  """The selected studies of a folder, and what was wrong with the others.

  Attributes:
    split_name: whose split this is; two results compare only if it is equal.
    problems: one sentence for each study that is bad, not dropped by rule.
    fingerprint: changes with any report, split or film file.
  """

  folder: str
  layout: str
  name: str
  label_source: str | None
  split_name: str
  sections: str
  view_rule: str
  min_films: int
  licence: str
  studies: dict[str, list[Study]]
  problems: list[str]
  found: dict[str, int]
  dropped: dict[str, int]
  fingerprint: str


def join_key(name):
  """'12_IM-0034-1001' of a film or a study, in any layout's way to name it.

  None if the name is not of the Indiana collection.
  """
  stem = pathlib.PurePath(name).name
  while stem.lower().endswith(FILM_SUFFIXES):  # Kaggle's are .dcm.png
    stem = stem[: stem.rindex('.')]
  match = _JOIN_KEY.search(stem)
  return match and f'{match[1]}_{match[2]}'


def report_of(study, sections):
  """The text of the wanted sections that are not empty, joined by a blank."""
  texts = [study.sections.get(name, '').strip() for name in SECTIONS[sections]]
  return ' '.join(text for text in texts if text)


def choose_films(study, selection):
  """The study with `selection.views` films; absent ones are None."""
  pairs = list(zip(study.films, study.views, strict=True))
  of = {view: [p for p in pairs if p[1] == view] for view in (FRONTAL, LATERAL)}
  absent = [(None, None)] * selection.views
  if selection.view_rule == 'first':
    chosen = (pairs + absent)[: selection.views]
  elif selection.view_rule == 'frontal':
    chosen = (of[FRONTAL] + absent)[: selection.views]
  else:
    chosen = [(of[view] + absent)[0] for view in (FRONTAL, LATERAL)]
  films, views = zip(*chosen, strict=True)
  return dataclasses.replace(study, films=films, views=views)


def points_outside(path):
  """Whether a relative path leaves the folder that it starts in."""
  return os.path.isabs(path) or os.path.normpath(path).split(os.sep)[0] == '..'


def check_films(dataset):
  """A `Dataset` without the studies whose film files are missing.

  They come to its problems; the fingerprint takes in the other films.
  """
  digest = hashlib.sha256(dataset.fingerprint.encode())
  studies, problems = {}, list(dataset.problems)
  for split in SPLITS:
    studies[split] = []
    for study in dataset.studies[split]:
      versions = {film: _version_of(film) for film in study.films if film}
      digest.update(repr(list(versions.values())).encode())
      missing = [film for film, version in versions.items() if not version]
      if missing:
        listed = ', '.join(missing)
        problems.append(f'{split}/{study.id}: no such file: {listed}')
      else:
        studies[split].append(study)
  return dataclasses.replace(
    dataset,
    studies=studies,
    problems=problems,
    fingerprint=digest.hexdigest(),
  )


def _version_of(path):
  """Size and time of change of a file, or None where there is no such file."""
  try:
    status = pathlib.Path(path).stat()
  except (OSError, ValueError):  # a zero byte in a name is no OSError
    return None
  return status.st_size, status.st_mtime_ns


def refuse_problems(folder, problems: Iterable[str], skip_bad):
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
  """The DataError of a split in which no study can be used."""
  listed = '\n'.join(f'  {problem}' for problem in problems)
  return DataError(
    f'No study of the split {split!r} in {folder} can be used:\n{listed}'
  )
