"""What was measured: kept in files, and shown as one table."""

import dataclasses
import json
from pathlib import Path

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


def at_most(what: str, on: str, value: float, limit: float) -> Row:
  """A row for a difference that must not exceed `limit`."""
  return Row(what, on, f'{value:.1e}', f'{limit:.0e}', bool(value <= limit))


def none_of(what: str, on: str, differing: int, total: int) -> Row:
  """A row for things that must all be identical."""
  return Row(what, on, f'{differing} of {total} differ', '0', differing == 0)


def for_scale(what: str, on: str, measured: str) -> Row:
  """A row without a limit, beside those that have one."""
  return Row(f'for scale: {what}', on, measured, NO_LIMIT, True)


def save(folder: Path, check: str, rows: list[Row], seconds: float):
  """Writes the rows of one check."""
  folder.mkdir(parents=True, exist_ok=True)
  content = {
    'rows': [dataclasses.asdict(row) for row in rows],
    'seconds': seconds,
  }
  (folder / f'{check}.json').write_text(json.dumps(content, indent=1) + '\n')


def load(folder: Path, check: str) -> list[Row] | None:
  """The rows of one check, or None where it was not run."""
  path = folder / f'{check}.json'
  if not path.exists():
    return None
  return [Row(**row) for row in json.loads(path.read_text())['rows']]


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


def load_all(folder: Path, checks) -> list[Row]:
  """The rows of all checks that were run, in the order of `checks`."""
  return [row for check in checks for row in load(folder, check) or ()]
