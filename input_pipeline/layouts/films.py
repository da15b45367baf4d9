"""The Indiana collection, however its films lie in a folder."""

import os
import pathlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from input_pipeline.study import (
  ANYWHERE,
  FILM_SUFFIXES,
  OPENI_LICENCE,
  Listing,
  Study,
  join_key,
)


def indiana_listing(
  studies: Iterator[Study], found: Counter, dropped: Counter
) -> Listing:
  """The `Listing` of the collection, which names no split."""
  return Listing(
    name='iu_xray',
    label_source='mesh',
    split_name=None,
    licence=OPENI_LICENCE,
    studies=studies,
    found=found,
    dropped=dropped,
  )


def index_films(folders: Iterable[pathlib.Path]) -> dict[str, str]:
  """Join key of each film below `folders` to its absolute path.

  Of a film in several formats, the first of `FILM_SUFFIXES` is taken.
  """
  film_of = {}
  for folder in folders:
    for path in files_below(os.path.abspath(folder)):
      key = join_key(path) if path.lower().endswith(FILM_SUFFIXES) else ''
      if key and _rank(path) < _rank(film_of.get(key, '')):
        film_of[key] = path
  return film_of


def film_path(film_of: dict[str, str], name: str, folder: pathlib.Path) -> str:
  """Path of the film `name` by its join key; of a missing one, of where."""
  found = film_of.get(join_key(name))
  return found or str(folder / ANYWHERE / os.path.basename(name))


def files_below(
  folder: str | os.PathLike[str],
  on_error: Callable[[OSError], None] | None = None,
) -> Iterator[str]:
  """Files in a fixed order; linked folders are followed, once each.

  Hidden ones are passed over, and what macOS keeps beside a file ('._0.png',
  '__MACOSX').

  Args:
    folder: where they are.
    on_error: called with the error of each folder that cannot be read.
  """
  seen = set()
  for parent, folders, names in os.walk(folder, True, on_error, True):
    real = os.path.realpath(parent)
    if real in seen:
      folders.clear()
      continue
    seen.add(real)
    folders[:] = sorted(name for name in folders if not _is_hidden(name))
    for name in sorted(names):
      if not _is_hidden(name):
        yield os.path.join(parent, name)


def _is_hidden(name):
  return name.startswith('.') or name == '__MACOSX'


def _rank(path):
  suffix = os.path.splitext(path)[1].lower()
  known = suffix in FILM_SUFFIXES
  return FILM_SUFFIXES.index(suffix) if known else len(FILM_SUFFIXES)
