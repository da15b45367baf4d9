"""What was measured: kept in one file by check, and shown as tables."""

import dataclasses
import json
from pathlib import Path

from input_pipeline.atomic_write import write_json

NO_LIMIT = 'none'


@dataclasses.dataclass(frozen=True)
class Row:
  """One line of the table.

  Attributes:
    what: that was compared.
    on: what, and how much of it.
    measured: the largest difference, in words or digits.
    limit: what it may be.
    ok: whether it is within.
  """

  what: str
  on: str
  measured: str
  limit: str
  ok: bool


@dataclasses.dataclass(frozen=True)
class Check:
  """What one check gave.

  Attributes:
    versions: of the code that it compared with, and of what ran it.
    rows: in their order.
  """

  versions: str
  rows: list[Row]


def at_most(what: str, on: str, value: float, limit: float) -> Row:
  """A row for a difference that must not exceed `limit`."""
  return Row(what, on, f'{value:.1e}', f'{limit:.0e}', bool(value <= limit))


def none_of(what: str, on: str, differing: int, total: int) -> Row:
  """A row for things that must all be identical."""
  return Row(what, on, f'{differing} of {total} differ', '0', differing == 0)


def for_scale(what: str, on: str, measured: str) -> Row:
  """A row without a limit, beside those that have one."""
  return Row(f'for scale: {what}', on, measured, NO_LIMIT, True)


def load(file: Path) -> dict[str, Check]:
  """All checks by name that `save` has put into a file; none without it."""
  if not file.exists():
    return {}
  return {
    name: Check(kept['versions'], [Row(**row) for row in kept['rows']])
    for name, kept in json.loads(file.read_text()).items()
  }


def save(file: Path, name: str, check: Check):
  """Puts one check into a file; those of other names stay as they were."""
  checks = load(file) | {name: check}
  write_json(file, {k: dataclasses.asdict(v) for k, v in checks.items()})


def table(rows: list[Row]) -> str:
  """A Markdown table."""
  lines = [
    '| Compared | On | Largest difference | Limit | Within |',
    '| --- | --- | --- | --- | --- |',
  ]
  for row in rows:
    verdict = 'yes' if row.ok else '**no**'
    if row.limit == NO_LIMIT:
      verdict = '-'
    lines.append(
      f'| {row.what} | {row.on} | {row.measured} | {row.limit} | {verdict} |'
    )
  return '\n'.join(lines)
