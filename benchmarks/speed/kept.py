"""What was measured, in a JSON file: a long run can be gone on with."""

import json
import os
from pathlib import Path

from benchmarks.speed.works import WORKS
from input_pipeline.errors import UserError

_PARTS = ('machine', 'versions', 'plan', 'rows', 'details')
# Of the machine, what two calls must agree on.
_SAME_MACHINE = ('processor', 'cores', 'device')


class KeptError(UserError):
  """A file that is no measurement, or another one's."""


def load(file: Path) -> dict:
  """The content of a file.

  Raises:
    KeptError: the file is no measurement.
  """
  try:
    content = json.loads(file.read_text())
  except ValueError:
    content = None
  if not isinstance(content, dict) or not all(p in content for p in _PARTS):
    raise KeptError(
      f'{file} exists and holds no measurement of this benchmark; name '
      'another file for --json'
    )
  return content


def go_on_with(file: Path, fresh: dict) -> dict:
  """The content of a file of the same machine, versions and sizes.

  Args:
    file: need not exist.
    fresh: a content without rows, of this call.

  Raises:
    KeptError: the file is no measurement, or of something else.
  """
  if not file.exists():
    return fresh
  content = load(file)
  old, new = _identity(content), _identity(fresh)
  differing = [
    f'{name} was {old.get(name)}, is {new.get(name)}'
    for name in sorted(old.keys() | new.keys())
    if old.get(name) != new.get(name)
  ]
  if differing:
    raise KeptError(
      f'{file} holds rows of another measurement ({"; ".join(differing)}); '
      'name another file for --json'
    )
  return content


def _identity(content: dict) -> dict:
  machine = {name: content['machine'].get(name) for name in _SAME_MACHINE}
  return machine | content['versions'] | content['plan']


def has(content: dict, work: str, beside: bool) -> bool:
  """Whether a row is there; `beside`: with the authors' side."""
  return any(
    row['work'] == work and (row['ratio'] is not None or not beside)
    for row in content['rows']
  )


def put(content: dict, row: dict, detail: dict):
  """Adds a row, in the order of WORKS, or takes an older one's place."""
  work = row['work']
  rows = {old['work']: old for old in content['rows']} | {work: row}
  content['rows'] = [rows[name] for name in WORKS if name in rows]
  content['details'][work] = detail


def save(file: Path, content: dict):
  """Writes the file, whole or not at all."""
  partial = file.with_name(f'{file.name}.partial')
  partial.write_text(json.dumps(content, indent=1) + '\n')
  os.replace(partial, file)
