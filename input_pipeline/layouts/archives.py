"""Archives as people download them: unpacked once, and never elsewhere."""

import collections
import contextlib
import functools
import json
import lzma
import pathlib
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence

from input_pipeline import folder_lock
from input_pipeline.atomic_write import atomic_folder, write_json
from input_pipeline.film_limits import MAX_BYTES
from input_pipeline.study import DataError

_LEFT_OUT = 'left_out.json'
_LONGEST_NAME = 255  # bytes
_LONGEST_HEADER = 1 << 20  # bytes of what a tar says of its next member
_HEADERS = (
  tarfile.XHDTYPE,
  tarfile.XGLTYPE,
  tarfile.SOLARIS_XHDTYPE,
  tarfile.GNUTYPE_LONGNAME,
  tarfile.GNUTYPE_LONGLINK,
)
_PART = 1 << 20  # bytes that are unpacked at once
_DAMAGES = (
  EOFError,
  OSError,
  RuntimeError,  # a zip with a password
  NotImplementedError,
  ValueError,  # numbers and names of a tar that are none
  OverflowError,
  lzma.LZMAError,
  tarfile.TarError,
  zipfile.BadZipFile,
  zlib.error,
)


def read_members(
  archive: pathlib.Path,
  suffixes: Sequence[str],
  dropped: collections.Counter,
) -> Iterator[tuple[pathlib.PurePosixPath, Callable[[int], bytes]]]:
  """Yields (name, read) of the regular members with one of `suffixes`.

  `read(n)` gives the next n bytes. Members that point out of the archive,
  links, giants and those with a name that no file can have are left out, and
  counted in `dropped`. Raises DataError if the archive is damaged.
  """
  members = _tar_members if _is_tar(archive) else _zip_members
  with _undamaged(archive):
    for name, size, regular, open_member in members(archive):
      if size < 0:
        raise ValueError(f'a size of {size}')
      path = pathlib.PurePosixPath(name)
      if path.suffix.lower() not in suffixes:
        continue
      if path.is_absolute() or '..' in path.parts or '\\' in name:
        dropped[f'member of {archive.name} that points out of it'] += 1
      elif not regular:
        dropped[f'member of {archive.name} that is no plain file'] += 1
      elif size > MAX_BYTES:
        dropped[f'member of {archive.name} over {MAX_BYTES:,} bytes'] += 1
      elif not _is_a_name(path):
        dropped[f'member of {archive.name} whose name no file can have'] += 1
      else:
        with open_member() as file:
          yield path, functools.partial(_read, archive, file)


def unpack(
  archive: pathlib.Path,
  folder: pathlib.Path,
  suffixes: Sequence[str],
  dropped: collections.Counter,
) -> pathlib.Path:
  """Unpacks into a new folder of `folder`, once; returns its path."""
  status = archive.stat()
  version = f'{status.st_size:x}-{status.st_mtime_ns:x}'
  target = folder / f'{archive.name.split(".")[0]}-{version}'
  if not target.exists():  # what is there is whole, and may be read-only
    with folder_lock.locked(folder, wait=True):
      if not target.exists():
        _unpack(archive, target, suffixes)
  dropped.update(json.loads((target / _LEFT_OUT).read_text()))
  return target


def _unpack(archive, target, suffixes):
  """Unpacks into `target`, of which no other process may write a part."""
  for killed in target.parent.glob(f'.{target.name}.*.partial'):
    shutil.rmtree(killed)
  left_out = collections.Counter()
  with atomic_folder(target) as partial:
    for name, read in read_members(archive, suffixes, left_out):
      path = partial / name
      try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open('wb')
      except (FileExistsError, NotADirectoryError, IsADirectoryError):
        left_out[f'member of {archive.name} that is file and folder'] += 1
        continue
      with file:
        while part := read(_PART):
          file.write(part)
    write_json(partial / _LEFT_OUT, left_out)


def _read(archive, file, size):
  with _undamaged(archive):
    return file.read(size)


def _is_a_name(path):
  """Whether it can be written: Unicode, no zero byte, no part too long."""
  try:
    return '\0' not in str(path) and all(
      len(part.encode()) <= _LONGEST_NAME for part in path.parts
    )
  except UnicodeEncodeError:
    return False


def _is_tar(archive):
  return archive.name.endswith(('.tgz', '.tar.gz', '.tar'))


class _BoundedInfo(tarfile.TarInfo):
  """Refuses long headers, which tarfile would take into memory whole."""

  @classmethod
  def frombuf(cls, *args):
    info = super().frombuf(*args)
    if info.type in _HEADERS and info.size > _LONGEST_HEADER:
      raise ValueError(f'a header of {info.size:,} bytes')
    return info


def _tar_members(archive):
  with tarfile.open(archive, tarinfo=_BoundedInfo) as tar:
    for member in tar:
      opened = functools.partial(tar.extractfile, member)
      yield member.name, member.size, member.isreg(), opened


def _zip_members(archive):
  with zipfile.ZipFile(archive) as file:
    for member in file.infolist():
      mode = member.external_attr >> 16
      regular = not member.is_dir() and (mode & 0o170000) in (0, 0o100000)
      opened = functools.partial(file.open, member)
      yield member.filename, member.file_size, regular, opened


@contextlib.contextmanager
def _undamaged(archive):
  try:
    yield
  except _DAMAGES as error:
    raise DataError(
      f'{archive} is damaged or only half downloaded ({str(error)[:200]}); '
      f'download it again.'
    ) from error
