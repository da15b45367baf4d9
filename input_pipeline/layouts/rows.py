"""Rows of large CSV and JSON-lines files, one at a time."""

import codecs
import contextlib
import csv
import gzip
import io
import json
import pathlib
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence

from input_pipeline.study import DataError

_CHUNK_BYTES = 1 << 20
_MAX_LINE = 10_000_000  # characters


def find_table(folder: pathlib.Path, name: str) -> pathlib.Path | None:
  """Path of `name` in `folder`, plain or with .gz behind it; None if absent."""
  for path in (pathlib.Path(folder, name), pathlib.Path(folder, name + '.gz')):
    if path.is_file():
      return path
  return None


def need_table(folder: pathlib.Path, name: str) -> pathlib.Path:
  """As `find_table`; DataError if absent."""
  path = find_table(folder, name)
  if path is None:
    raise DataError(f'{folder} holds no {name} (nor {name}.gz).')
  return path


def read_csv(
  path: pathlib.Path, columns: Sequence[str], dropped: Counter
) -> Iterator[dict[str, str]]:
  """Yields each row as a dict; no more than one row is in memory.

  UTF-8, or Latin-1 if the file is not UTF-8. Rows of another length than the
  header are left out and counted in `dropped`.

  Raises DataError: no such `columns`, or a file that is cut short.
  """
  encoding = _encoding_of(path)
  with _complete(path), _open(path) as file:
    reader = csv.reader(_lines(path, file, encoding))
    header = [name.strip() for name in next(reader, [])]
    missing = [name for name in columns if name not in header]
    if missing:
      raise DataError(
        f'{path} has no column {", ".join(missing)}; it has '
        f'{", ".join(header[:30]) or "nothing"}.'
      )
    for row in reader:
      if len(row) == len(header):
        yield dict(zip(header, row, strict=True))
      elif row:
        dropped[f'row of {path.name} with too few or too many fields'] += 1


def read_json_lines(
  path: pathlib.Path, columns: Sequence[str], dropped: Counter
) -> Iterator[dict]:
  """Yields the object of each line; as `read_csv`, UTF-8 only."""
  with _complete(path), _open(path) as file:
    for line in _lines(path, file, 'utf-8-sig'):
      if not line.strip():
        continue
      try:
        row = json.loads(line)
      except (ValueError, RecursionError):
        row = None
      if isinstance(row, dict) and all(name in row for name in columns):
        yield row
      else:
        wanted = ', '.join(columns)
        dropped[f'line of {path.name} that is no object with {wanted}'] += 1


def _open(path):
  return gzip.open(path) if path.suffix == '.gz' else path.open('rb')


def _lines(path, file, encoding):
  """Lines, none longer than a report can be."""
  text = io.TextIOWrapper(file, encoding, newline='')
  while line := text.readline(_MAX_LINE):
    if len(line) == _MAX_LINE:
      raise DataError(f'{path} has a line of over {_MAX_LINE:,} characters.')
    yield line


def _encoding_of(path):
  decoder = codecs.getincrementaldecoder('utf-8')()
  with _complete(path), _open(path) as file:
    while chunk := file.read(_CHUNK_BYTES):
      try:
        decoder.decode(chunk)
      except UnicodeDecodeError:
        return 'latin-1'
  return 'utf-8-sig'


@contextlib.contextmanager
def _complete(path):
  """Turns what a damaged file raises into a DataError that names it."""
  try:
    yield
  except (
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    csv.Error,
    UnicodeError,
  ) as error:
    raise DataError(
      f'{path} is damaged or only half downloaded ({error}).'
    ) from error
