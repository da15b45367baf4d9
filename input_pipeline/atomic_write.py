"""Files that are written whole or not at all."""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from input_pipeline.errors import UserError


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
  """A path beside `path` to write to; it takes that name when all went well.

  What was written is removed where an exception passes, and a file that was
  there before stays as it was.

  Raises:
    UserError: there is a device or a folder of that name.
  """
  if Path(path).exists() and not Path(path).is_file():
    raise UserError(f'{path} is no file and stays as it is: choose another')
  partial = _partial(path)
  try:
    yield partial
    os.replace(partial, path)
  finally:
    partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
  """As `atomic_path`, for a new folder, or an empty one; it is to be filled."""
  partial = _partial(path)
  partial.mkdir(parents=True)
  try:
    yield partial
    os.replace(partial, path)
  finally:
    shutil.rmtree(partial, ignore_errors=True)


def write_text(path: Path | str, text: str) -> None:
  """Writes `text` as UTF-8, whole or not at all."""
  with atomic_path(path) as partial:
    partial.write_text(text, encoding='utf-8')


def write_json(path: Path | str, content: object) -> None:
  """Writes `content` as indented JSON, whole or not at all."""
  write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + '\n')


def _partial(path):
  path = Path(path)
  return path.with_name(f'.{path.name}.{uuid.uuid4().hex[:8]}.partial')
