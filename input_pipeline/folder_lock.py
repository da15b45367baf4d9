"""One process at a time in a folder, on one machine or a shared file system."""

import contextlib
import errno
import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from input_pipeline.errors import UserError

NAME = '.lock'
# File systems that cannot lock, such as Lustre without its flock option.
_CANNOT = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextlib.contextmanager
def locked(folder: Path | str, wait: bool = False) -> Iterator[None]:
  """Holds a folder; a process that dies, however it does, holds it no more.

  Args:
    folder: made where it is not there.
    wait: for the process that holds it, with a line on stderr, instead of
      giving up.

  Raises:
    UserError: another process holds it, or a file is in its place.
  """
  folder = Path(folder)
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except (FileExistsError, NotADirectoryError):
    raise UserError(
      f'{folder} cannot be a folder: a file of that name, or above it, is '
      'there; choose another'
    ) from None
  path = folder / NAME
  with path.open('a+') as file:
    try:
      _take(file, folder, wait)
    except OSError as error:
      if error.errno not in _CANNOT:
        raise
      print(
        f'{folder} is on a file system without locks: nothing keeps a second '
        'process from writing there',
        file=sys.stderr,
      )
    file.truncate(0)
    file.write(json.dumps({'host': socket.gethostname(), 'pid': os.getpid()}))
    file.flush()
    yield


def _take(file, folder: Path, wait: bool) -> None:
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    file.seek(0)
    holder = f'{folder} is in use by {_said(file.read())}'
    if not wait:
      raise UserError(
        f'{holder}: wait until that has ended, or choose another folder'
      ) from None
    print(f'{holder}: waiting for it', file=sys.stderr)
    fcntl.flock(file, fcntl.LOCK_EX)


def _said(content: str) -> str:
  """Who holds a lock, as its file says."""
  try:
    about = json.loads(content)
    return f'process {about["pid"]} on {about["host"]}'
  except (ValueError, KeyError, TypeError):  # It has only just begun.
    return 'another process'
