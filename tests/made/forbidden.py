"""Files that may not be read, also where root runs the tests, who reads all."""

import errno
import pathlib


def forbid(monkeypatch, path: pathlib.Path, method: str = 'read_bytes'):
  """From now on that method of `path` is refused."""
  allowed = getattr(pathlib.Path, method)

  def refuse(self, *args, **options):
    if self == path:
      raise PermissionError(errno.EACCES, 'Permission denied', str(self))
    return allowed(self, *args, **options)

  monkeypatch.setattr(pathlib.Path, method, refuse)
