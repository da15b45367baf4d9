"""The study record that all readers give, and what is selected of it."""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import itertools
import os
import pathlib
import re
import unicodedata
from collections.abc import Iterator, Sequence

from input_pipeline.config import SECTIONS, DataConfig
from input_pipeline.errors import UserError, plain_or_quoted
from input_pipeline.terminal import warn

SPLITS = ('train', 'val', 'test')
FRONTAL, LATERAL = 'frontal', 'lateral'

FILM_SUFFIXES = ('.png', '.dcm', '.jpg', '.jpeg')  # the first found is taken

OPENI_LICENCE = (
  'Open-i, Indiana University: CC BY-NC-ND 4.0. Reports, films, and what is '
  'derived from them may not be passed on changed or sold.'
)

ANYWHERE = '**'  # for a folder, in the path of a film that is not there
SHOWN = 20  # problems that a message lists; the others are counted
# What tables that went through other programs write where there is nothing.
_NOTHING = ('nan', 'none', 'null', 'n/a', 'na', '<na>')
_VIEW_WORDS = {
  **dict.fromkeys(('frontal', 'pa', 'ap', 'postero', 'antero'), FRONTAL),
  **dict.fromkeys(('posteroanterior', 'anteroposterior'), FRONTAL),
  **dict.fromkeys(('lateral', 'll', 'rl', 'lat'), LATERAL),
}
_JOIN_KEY = re.compile(r'(?<!\d)(\d{1,9})_(IM-.*)$', re.ASCII)


class DataError(UserError):
  """Data that cannot be used as it is; the message lists all that is wrong."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Study:
  """One patient visit: its report and its films, as they lie on disk.

  The order of the fields is in fingerprints of data.

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
    reference: the report as scores compare it, cut and in the words of the
      vocabulary; '' until there is one.
  """

  id: str
  split: str | None = None
  report: str = ''
  films: tuple[str | None, ...]
  findings: list | None = None
  views: tuple[str | None, ...]
  sections: dict[str, str]
  mesh: tuple[str, ...] | None = None
  labels: dict[str, str] | None = None
  reference: str = ''


def study_of(fields: dict) -> Study:
  """The study of what `dataclasses.asdict`, and JSON, have made of it."""
  for name in ('films', 'views', 'mesh'):
    fields[name] = fields[name] and tuple(fields[name])
  return Study(**fields)


@dataclasses.dataclass
class Listing:
  """What a reader finds in a folder; the rest fills as `studies` is read.

  Attributes:
    name: of the data, such as 'iu_xray'.
    label_source: of the studies' labels, such as 'mesh', or None.
    split_name: of the split that the studies name, None where they name none.
    licence: what may be done with the data, in a sentence.
    studies: unselected, in an order that depends on the contents alone.
    found: how many there are of what.
    dropped: how many were left out, for which reason.
    problems: one sentence for each study that is bad, where somebody has
      selected the studies: then none of them may be dropped. Else None.
  """

  name: str
  label_source: str | None
  split_name: str | None
  licence: str
  studies: Iterator[Study]
  found: collections.Counter
  dropped: collections.Counter
  problems: list[str] | None = None


@dataclasses.dataclass(frozen=True)
class Dataset:
  """The selected studies of a folder, and what was wrong with the others.

  Attributes:
    split_name: what the reader calls the split; see `splits.split_source`.
    problems: one sentence for each study that is bad, not dropped by rule.
    fingerprint: changes with any report, split or film file.
  """

  folder: str
  layout: str
  name: str
  label_source: str | None
  split_name: str
  licence: str
  studies: dict[str, list[Study]]
  problems: list[str]
  found: dict[str, int]
  dropped: dict[str, int]
  fingerprint: str


def join_key(name: str) -> str | None:
  """'12_IM-0034-1001' of a film or a study, in any layout's way to name it.

  None if the name is not of the Indiana collection.
  """
  stem = pathlib.PurePath(name).name
  while stem.lower().endswith(FILM_SUFFIXES):  # Kaggle's are .dcm.png
    stem = stem[: stem.rindex('.')]
  match = _JOIN_KEY.search(stem)
  return match and f'{match[1]}_{match[2]}'


def said(text: str | None) -> str:
  """The text, stripped; '' where it says nothing, or is a word for nothing."""
  text = (text or '').strip()
  blank = text.lower() in _NOTHING or not any(map(str.isalnum, text))
  return '' if blank else text


def number_of(text: str) -> int | None:
  """The number that a text is, plain digits alone; None of anything else."""
  digits = text.strip()
  plain = digits.isascii() and digits.isdecimal() and len(digits) < 19
  return int(digits) if plain else None


def view_of(text: str | None) -> str | None:
  """FRONTAL or LATERAL by any of their names, such as AP or 'left lateral'.

  None for what is neither, or both.
  """
  words = re.findall('[a-z]+', str(text or '').lower())
  views = {_VIEW_WORDS[word] for word in words if word in _VIEW_WORDS}
  if 'decubitus' in words:  # of a patient who lies on a side
    views.discard(LATERAL)
  return views.pop() if len(views) == 1 and 'oblique' not in words else None


def report_of(study: Study, sections: str) -> str:
  """The text of the wanted sections that are not empty, joined by a blank."""
  texts = (said(study.sections.get(name)) for name in SECTIONS[sections])
  return ' '.join(text for text in texts if text)


def choose_films(study: Study, config: DataConfig) -> Study:
  """The study with `config.views` films; absent ones are None."""
  pairs = list(zip(study.films, study.views, strict=True))
  of = {view: [p for p in pairs if p[1] == view] for view in (FRONTAL, LATERAL)}
  absent = [(None, None)] * config.views
  if config.view_rule == 'first':
    chosen = (pairs + absent)[: config.views]
  elif config.view_rule == 'frontal_first':
    ordered = sorted(pairs, key=lambda pair: pair[1] != FRONTAL)
    chosen = (ordered + absent)[: config.views]
  elif config.view_rule == 'frontal':
    chosen = (of[FRONTAL] + absent)[: config.views]
  else:
    chosen = [(of[view] + absent)[0] for view in (FRONTAL, LATERAL)]
  films, views = zip(*chosen, strict=True)
  return dataclasses.replace(study, films=films, views=views)


def path_inside(path: str, folder: str | os.PathLike) -> str | None:
  """A path that starts at `folder`, or lies in it; None if it leaves it.

  Backslashes are Windows' slashes.
  """
  path = os.path.normpath(path.replace('\\', '/'))
  if os.path.isabs(path):
    path = os.path.relpath(path, folder)
  inside = path.split(os.sep)[0] != os.pardir
  return os.path.join(folder, path) if inside else None


def check_films(dataset: Dataset) -> Dataset:
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
        listed = ', '.join(map(absence, missing))
        name = plain_or_quoted(study.id)
        problems.append(f'{split}/{name}: no such file: {listed}')
      else:
        studies[split].append(study)
  return dataclasses.replace(
    dataset,
    studies=studies,
    problems=problems,
    fingerprint=digest.hexdigest(),
  )


def absence(path: str) -> str:
  """The path of a missing film, and what is there that is nearly so."""
  folder, name = os.path.split(path)
  if os.path.basename(folder) == ANYWHERE:
    return f'{name}, looked for anywhere below {os.path.dirname(folder)}'
  near = _names_in(folder).get(_stem(name), [])
  # Names that look the same show their code points.
  near = [ascii(n) if _composed(n) == _composed(name) else n for n in near]
  # A folder twice in a row, as where images/ is named in images/.
  for twice in itertools.islice(re.finditer(r'(/[^/]+)(?=\1/)', path), 3):
    once = path[: twice.start()] + path[twice.end() :]
    near += [once] if _version_of(once) else []
  return path + (f' (there is {", ".join(near[:3])})' if near else '')


def _composed(name):
  """Letters with their accents; a Mac's file system takes them apart."""
  return unicodedata.normalize('NFC', name)


def _stem(name):
  """What names have in common that are nearly the same."""
  return _composed(os.path.splitext(name)[0].lower())


@functools.lru_cache(8)
def _names_in(folder):
  """{stem: names} of what is in a folder."""
  names = collections.defaultdict(list)
  with contextlib.suppress(OSError, ValueError):
    for name in sorted(os.listdir(folder)):
      names[_stem(name)].append(name)
  return names


def _version_of(path):
  """Size and time of change of a file, or None where there is no such file."""
  try:
    status = pathlib.Path(path).stat()
  except (OSError, ValueError):  # a zero byte in a name is no OSError
    return None
  return status.st_size, status.st_mtime_ns


def refuse_problems(folder: str, problems: Sequence[str], skip_bad: bool):
  """Raises DataError with all `problems`, or logs them if `skip_bad`."""
  if not problems:
    return
  listed = _listed(problems)
  if not skip_bad:
    raise DataError(
      f'{len(problems)} bad studies in {folder}:\n{listed}\n'
      'Repair them, or continue without them: --config.data.skip_bad=True.'
    )
  warn(f'going on without bad studies, {len(problems)} of {folder}:\n{listed}')


def no_study_left(
  folder: str | os.PathLike, split: str | None, problems: Sequence[str]
) -> DataError:
  """The DataError of a split, or of a folder, without a study to be used."""
  listed = _listed(problems)
  return DataError(
    f'No study {f"of the split {split!r} " if split else ""}in {folder} can be '
    f'used:\n{listed}'
  )


def _listed(problems):
  """A line for each of the first ones, and how many more there are."""
  lines = [f'  {problem[:1000]}' for problem in problems[:SHOWN]]
  if len(problems) > SHOWN:
    lines.append(f'  and {len(problems) - SHOWN:,} more')
  return '\n'.join(lines)
