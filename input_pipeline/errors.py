"""The one error that a command prints without a traceback."""

import errno
from collections.abc import Iterable


class UserError(ValueError):
  """What a person can mend, in one sentence.

  It names the field or file, its value, what was expected and what to do.
  Commands print it and exit with a non-zero status; every other exception is
  a fault of the program and keeps its traceback.
  """


def check_choice(field: str, value: object, known: Iterable[str]) -> None:
  """Raises UserError where the value of a field is none of its choices."""
  if value not in known:
    raise UserError(f'{field} is {value!r}; choose from {", ".join(known)}')


def check_least(field: str, value: float, least: float) -> None:
  """Raises UserError where the value of a field is smaller, or not a number."""
  if not value >= least:
    raise UserError(f'{field} is {value}; expected {least} or more')


def check_rate(field: str, value: float) -> None:
  """Raises UserError where the value of a field is not from 0 up to 1."""
  if not 0 <= value < 1:
    raise UserError(f'{field} is {value}; expected at least 0, and less than 1')


def reason(error: Exception) -> str:
  """Why a file cannot be read, where its name is said already."""
  return getattr(error, 'strerror', None) or str(error)


def first_line(error: BaseException) -> str:
  """Of what an exception says, 200 characters at most; else its name."""
  lines = str(error).strip().splitlines()
  if not lines:
    return type(error).__name__
  return lines[0] if len(lines[0]) <= 200 else f'{lines[0][:197]}...'


# Characters of one foreign value, and of several, that a sentence has room for.
_QUOTED, _LISTED = 80, 300


def quoted(value: object) -> str:
  """What stands in somebody's file, as one line of some 80 characters."""
  shown = repr(value)
  return shown if len(shown) <= _QUOTED else f'{shown[:_QUOTED]}...'


def quoted_list(values: Iterable[object]) -> str:
  """The first ones, each `quoted`, and how many more there are."""
  values, shown, length = list(values), [], 0
  while len(shown) < len(values) and length < _LISTED:
    shown.append(quoted(values[len(shown)]))
    length += len(shown[-1])
  more = len(values) - len(shown)
  return ', '.join(shown) + (f' and {more:,} more' if more else '')


def plain_or_quoted(name: str) -> str:
  """A name as it is; `quoted` where it is long or does not print."""
  plain = len(name) <= _QUOTED and name.isprintable()
  return name if plain else quoted(name)


# A disk's errors that a person can mend.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)


def of_the_disk(error: OSError) -> bool:
  """Whether the disk is at fault: full, read-only, forbidden or broken."""
  return error.errno in _DISK
