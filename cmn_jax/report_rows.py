"""A table of reports that grows by studies: .jsonl or .csv, resumable."""

import csv
import dataclasses
import fcntl
import hashlib
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path

from cmn_jax.own_films import Result
from cmn_jax.report import Writer
from input_pipeline.errors import UserError, plain_or_quoted, quoted_list
from input_pipeline.film_list import FilmStudy, printable
from input_pipeline.terminal import warn

_COLUMNS = (
  *('id', 'films', 'report', 'findings', 'probabilities', 'unlike_training'),
  *('left_out', 'error', 'model'),
)
_HEADER = ','.join(_COLUMNS) + '\n'


def model_key(writer: Writer, beam_size: int | None) -> str:
  """Tells a checkpoint, its classifier and its beams from all others."""
  other = getattr(writer.classifier, 'loaded', None)
  about = [writer.loaded.fingerprint, other and other.fingerprint, beam_size]
  return hashlib.sha256(repr(about).encode()).hexdigest()[:12]


def row_of(result: Result, key: str) -> dict:
  """A result as JSON's types.

  Args:
    result: of a study.
    key: of `model_key`.
  """
  report = result.report
  left_out = [film for film in result.study.films if film not in result.films]
  films = result.films or result.study.films
  row = {
    'id': result.study.id,
    'films': list(map(printable, films)),
    'report': report and report.text,
    'findings': report and [dataclasses.asdict(f) for f in report.findings],
    'probabilities': report
    and {one.name: round(one.probability, 4) for one in report.classes},
    'unlike_training': report and report.unlike_training,
    'left_out': list(map(printable, left_out)) if result.films else [],
    'error': result.error or None,
    'model': key,
  }
  assert tuple(row) == _COLUMNS
  return row


def check_place(flag: str, path: Path) -> None:
  """Raises UserError where no file can be written, before what takes long.

  Args:
    flag: that names it.
    path: of the file, which need not be there.
  """
  if not path.parent.is_dir():
    raise UserError(
      f'{flag} {path}: there is no folder {path.parent}: make it, or name '
      'another file'
    )
  if path.exists() and not path.is_file():
    raise UserError(f'{flag} {path} is no file: name another one')


class ReportRows:
  """The file; what is in it already stays, and is not to be done again.

  No other process can open it until it is closed.

  Attributes:
    done: ids of the studies in it, each with the films that it had.
  """

  def __init__(self, path: Path, key: str):
    """Opens a new file, or one that an earlier call has begun.

    Args:
      path: ends in .jsonl or .csv.
      key: of `model_key`.

    Raises:
      UserError: another ending, rows of another model or program, or another
        process writes it.
    """
    if path.suffix not in ('.jsonl', '.csv'):
      raise UserError(
        f'--out {path} ends in {path.suffix!r}: expected .jsonl or .csv'
      )
    self._csv, self._path = path.suffix == '.csv', path
    self._file = path.open(
      'a', encoding='utf-8', errors='backslashreplace', newline=''
    )
    try:
      self._hold()
      rows, whole = self._rows_in()
      self._check(rows, key)
      self.done = {row['id']: row['films'] for row in rows}
      os.truncate(path, whole)
      if self._csv and not whole:
        self._file.write(_HEADER)
    except BaseException:
      self._file.close()
      raise

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self._file.close()

  def check_films(self, studies: Iterable[FilmStudy]) -> None:
    """Raises UserError where the row of a study is of other films."""
    for study in studies:
      before, now = self.done.get(study.id), _film_set(study.films)
      if before not in (None, now):
        raise UserError(
          f'--out {self._path} has the study {plain_or_quoted(study.id)} with '
          f'other films, {quoted_list(sorted(before - now or before))}, than '
          f'--images, {quoted_list(sorted(now - before or now))}: name another '
          'file, or take its row out to have it written anew'
        )

  def _hold(self) -> None:
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise UserError(
        f'--out {self._path} is written by another process: wait until that '
        'has ended, or name another file'
      ) from None
    except OSError:  # as of Lustre without its flock option
      warn(
        f'{self._path} is on a file system without locks: nothing keeps a '
        'second process from writing it'
      )

  def add(self, rows: Iterable[dict]) -> None:
    """Writes rows of `row_of`, on disk when this returns."""
    self._file.write(''.join(map(self._line, rows)))
    self._file.flush()

  def _line(self, row) -> str:
    if not self._csv:
      return json.dumps(row, ensure_ascii=False) + '\n'
    line = io.StringIO()
    csv.writer(line, lineterminator='\n').writerow(map(_cell, row.values()))
    return line.getvalue()

  def _rows_in(self) -> tuple[list[dict], int]:
    """The rows, without a last one that is cut short, and their bytes."""
    content = self._path.read_bytes()
    whole = content.rfind(b'\n') + 1
    text = content[:whole].decode('utf-8', 'replace')
    start = (_HEADER if self._csv else '{"id": ').encode()
    try:
      if content[: len(start)] != start[: len(content)]:
        raise ValueError
      if self._csv:
        rows = list(csv.DictReader(io.StringIO(text)))
      else:
        rows = [json.loads(line) for line in text.split('\n')[:-1]]
      rows = [
        {
          'id': printable(row['id']),
          'model': row['model'],
          'films': _film_set(_parts(row['films']) + _parts(row['left_out'])),
        }
        for row in rows
      ]
      if not all(isinstance(row['model'], str) for row in rows):
        raise ValueError
      return rows, whole
    except (
      *(ValueError, LookupError, TypeError, AttributeError, RecursionError),
      csv.Error,
    ):
      raise UserError(
        f'--out {self._path} holds other things than this command writes: '
        'expected a new file, or one that it has begun'
      ) from None

  def _check(self, rows, key) -> None:
    others = {row['model'] for row in rows} - {key}
    if others:
      raise UserError(
        f'--out {self._path} has reports of model {min(others)}, and this is '
        f'{key}: another checkpoint, classifier or beam size; expected a file '
        'of its own, name another one'
      )


def _film_set(films: Iterable[str]) -> set[str]:
  """Films, to be compared with those of a row, in whatever order or folder."""
  # A CSV does not tell a path with '; ' in it from two.
  parts = '; '.join(map(printable, films)).split('; ')
  return {os.path.abspath(part) for part in parts if part}


def _parts(films: list | str | None) -> list[str]:
  """The films of a row, which JSON has as a list, CSV as text."""
  return [films] if isinstance(films, str) else films or []


def _cell(value) -> str:
  """A value of a row as text: parts with '; ' between them."""
  if value is None:
    return ''
  if isinstance(value, dict):
    return '; '.join(f'{name} {one:.3f}' for name, one in value.items())
  if isinstance(value, list):
    return '; '.join(
      one['name'] if isinstance(one, dict) else one for one in value
    )
  return {True: 'yes', False: 'no'}.get(value, value)
