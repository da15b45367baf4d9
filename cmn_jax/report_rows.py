"""A table of reports that grows by studies: .jsonl or .csv, resumable."""

import csv
import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path

from cmn_jax.own_films import Result
from cmn_jax.report import Writer
from input_pipeline.errors import UserError

_COLUMNS = (
  *('id', 'films', 'report', 'findings', 'probabilities', 'unlike_training'),
  *('left_out', 'error', 'model'),
)


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
  row = {
    'id': result.study.id,
    'films': list(result.films or result.study.films),
    'report': report and report.text,
    'findings': report and [dataclasses.asdict(f) for f in report.findings],
    'probabilities': report
    and {one.name: round(one.probability, 4) for one in report.classes},
    'unlike_training': report and report.unlike_training,
    'left_out': left_out if result.films else [],
    'error': result.error or None,
    'model': key,
  }
  assert tuple(row) == _COLUMNS
  return row


class ReportRows:
  """The file; what is in it already stays, and is not to be done again.

  Attributes:
    done: ids of the studies in it.
  """

  def __init__(self, path: Path, key: str):
    """Opens a new file, or one that an earlier call has begun.

    Args:
      path: ends in .jsonl or .csv.
      key: of `model_key`.

    Raises:
      UserError: another ending, or rows of another model or program.
    """
    if path.suffix not in ('.jsonl', '.csv'):
      raise UserError(
        f'--out {path} ends in {path.suffix!r}: expected .jsonl or .csv'
      )
    self._csv, self._path = path.suffix == '.csv', path
    self.done = set()
    if path.exists() and path.stat().st_size:
      rows, whole = self._rows_in()
      self._check(rows, key)
      self.done = {row['id'] for row in rows}
      os.truncate(path, whole)
    self._file = path.open(
      'a', encoding='utf-8', errors='backslashreplace', newline=''
    )
    if self._csv and not self._file.tell():
      self._file.write(','.join(_COLUMNS) + '\n')

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self._file.close()

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
    try:
      if self._csv:
        rows = list(csv.DictReader(io.StringIO(text)))
      else:
        rows = [json.loads(line) for line in text.split('\n')[:-1]]
      rows = [{'id': r['id'], 'model': r['model']} for r in rows]
      if not all(isinstance(v, str) for row in rows for v in row.values()):
        raise ValueError
      return rows, whole
    except (ValueError, LookupError, TypeError, RecursionError, csv.Error):
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
