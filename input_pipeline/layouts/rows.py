"""Rows of large CSV and JSON-lines files, one at a time; and JSON files."""

import codecs
import contextlib
import csv
import gzip
import io
import itertools
import json
import pathlib
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence

from input_pipeline.errors import quoted, quoted_list
from input_pipeline.study import DataError

_MAX_LINE = 10_000_000  # bytes
_MAX_BLANK = 100_000  # lines
_MAX_JSON = 2_000_000_000  # bytes
_MARKS = (
  (codecs.BOM_UTF32_LE, 'utf-32'),  # begins as the mark of UTF-16 does
  (codecs.BOM_UTF32_BE, 'utf-32'),
  (codecs.BOM_UTF16_LE, 'utf-16'),
  (codecs.BOM_UTF16_BE, 'utf-16'),
  (codecs.BOM_UTF8, 'utf-8-sig'),
)
_DELIMITERS = ',\t;|'


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

  UTF-8, or Windows-1252 where a line is not UTF-8, or UTF-16 with its mark;
  between commas, tabs, semicolons or bars. Rows of another length than the
  header are left out and counted in `dropped`.

  Raises DataError: no such `columns`, one of them twice, quotes that are not
  closed, or a file that is cut short.
  """
  with _complete(path), _open(path) as file:
    lines = _Lines(path, file, 'cp1252')
    first = next(lines, '')
    header, delimiter = _header(path, first, columns)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
      lines.record.clear()
      try:
        row = next(reader, None)
      except csv.Error as error:
        raise DataError(
          f'{path} is damaged from line {lines.begun} on ({error}): is a quote '
          'there never closed?'
        ) from error
      if row is None:
        return
      lines.check_no_row_within(row, len(header), delimiter)
      if len(row) == len(header):
        yield dict(zip(header, row, strict=True))
      elif row:
        dropped[f'row of {path.name} with too few or too many fields'] += 1


def read_json_lines(
  path: pathlib.Path, columns: Sequence[str], dropped: Counter
) -> Iterator[dict]:
  """Yields the object of each line; as `read_csv`, UTF-8 only."""
  with _complete(path), _open(path) as file:
    for line in _Lines(path, file, None):
      if not line.strip():
        continue
      try:
        row = _parse(line)
      except (ValueError, RecursionError):
        row = None
      if isinstance(row, dict) and all(name in row for name in columns):
        yield row
      else:
        wanted = ', '.join(columns)
        dropped[f'line of {path.name} that is no object with {wanted}'] += 1


def read_json(path: pathlib.Path) -> object:
  """The content of a JSON file, plain or .gz.

  Raises DataError: not JSON, cut short, too deep, or a name twice in one
  object, of which JSON's readers would keep the last in silence.
  """
  with _complete(path), _open(path) as file:
    content = file.read(_MAX_JSON + 1)
  if len(content) > _MAX_JSON:
    raise DataError(f'{path} has over {_MAX_JSON:,} bytes.')
  try:
    return _parse(content)
  except (ValueError, RecursionError) as error:  # of syntax or encoding
    raise DataError(f'{path} is not JSON: {str(error)[:200]}.') from None


def _parse(text):
  return json.loads(text, object_pairs_hook=without_doubles)


class DoubledNameError(ValueError):
  """A name stands twice in one of JSON's objects."""


def without_doubles(pairs: Sequence[tuple[str, object]]) -> dict:
  """JSON's object; DoubledNameError where a name is there twice."""
  fields = dict(pairs)
  if len(fields) < len(pairs):
    names = Counter(name for name, _ in pairs)
    name = names.most_common(1)[0][0]
    raise DoubledNameError(f'{quoted(name)} is there twice')
  return fields


def _open(path):
  return gzip.open(path) if path.suffix == '.gz' else path.open('rb')


def _header(path, line, columns):
  """The names of the columns, and what stands between them."""

  def split(delimiter):
    (row,) = csv.reader([line], delimiter=delimiter) if line.strip() else [[]]
    return [name.strip() for name in row]

  def absent(delimiter):
    return [name for name in columns if name not in split(delimiter)]

  delimiter = min(_DELIMITERS, key=lambda d: len(absent(d)))  # first of equals
  header = split(delimiter)
  if absent(delimiter):
    raise DataError(
      f'{path} has no column {", ".join(absent(delimiter))}; it has '
      f'{quoted_list(header) or "nothing"}.'
    )
  twice = [name for name, n in Counter(header).items() if name and n > 1]
  if twice:
    raise DataError(
      f'{path} has the column {quoted_list(twice)} twice: which of them is '
      'meant? Rename or remove the other.'
    )
  return header, delimiter


class _Lines:
  """The lines of a file, none longer than a report can be.

  Attributes:
    begun: number of the line in which the record begins, from 1.
    record: the lines of the record so far; its reader clears it.
  """

  def __init__(self, path, file, fallback):
    """Reads `file`; lines that are no UTF-8 are `fallback`, if there is one."""
    self.record, self._path, self._number, self._blank = [], path, 0, 0
    start = file.read(4)
    file.seek(0)
    marked = (code for mark, code in _MARKS if start.startswith(mark))
    encoding = next(marked, None if fallback else 'utf-8')
    if encoding:
      self._pieces = self._read(io.TextIOWrapper(file, encoding, newline=''))
    else:
      lines = self._read(file)
      pieces = (line.splitlines(keepends=True) for line in lines)
      self._pieces = (
        _decode(piece, fallback)
        for piece in itertools.chain.from_iterable(pieces)
      )

  def __iter__(self):
    return self

  def __next__(self):
    line = next(self._pieces)
    self._number += 1
    if '\0' in line:
      raise DataError(
        f'{self._path}, line {self._number}, holds zero bytes: expected UTF-8, '
        'or UTF-16 that begins with its mark.'
      )
    self._blank = 0 if line.strip() else self._blank + 1
    if self._blank > _MAX_BLANK:
      raise DataError(f'{self._path} has over {_MAX_BLANK:,} blank lines.')
    self.record.append(line)
    return line

  @property
  def begun(self):
    return self._number + 1 - len(self.record)

  def check_no_row_within(self, row, fields, delimiter):
    """Raises DataError where a field has swallowed whole rows of the file.

    A line of prose has blanks before its first comma or behind its commas; and
    lines of a text that ends as no row begins are that text's.
    """
    more = self.record[1:]
    if more and len(row) == fields and not _ends_in_a_row(row, delimiter):
      return
    for line in more:
      parts = line.rstrip('\r\n').split(delimiter, 1)
      if len(parts) < 2 or not parts[0] or set(parts[0]) & set(' \t"'):
        continue
      row = next(csv.reader([line], delimiter=delimiter), [])
      if len(row) == fields and not any(part[:1] == ' ' for part in row):
        raise DataError(
          f'{self._path}: a quote opens in line {self.begun} and closes behind '
          f'other rows, such as {quoted(line.strip())}.'
        )

  def _read(self, file):
    while line := file.readline(_MAX_LINE):
      if len(line) == _MAX_LINE:
        raise DataError(
          f'{self._path} has a line of over {_MAX_LINE:,} characters.'
        )
      yield line


def _ends_in_a_row(row, delimiter):
  """Whether a field of several lines may have swallowed others of its column.

  If a row of the right length has, its last line holds what stands before that
  column in the row where the quote has closed.
  """
  for place, field in enumerate(row):
    *above, last = re.split('[\r\n]', field)
    if above and last.count(delimiter) >= place:
      return True
  return False


def _decode(line, fallback):
  for encoding in ('utf-8', fallback):
    try:
      return line.decode(encoding)
    except UnicodeDecodeError:
      continue
  return line.decode('latin-1')  # Windows-1252 leaves five bytes undefined


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
      f'{path} is damaged or only half downloaded ({str(error)[:200]}).'
    ) from error
