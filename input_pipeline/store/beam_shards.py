"""Shards written by Apache Beam, each by whichever worker comes to it.

What is sent is small: a file has a line for each shard, with its studies, and
the workers get lines of it. A shard and its note are written where one process
writes them, so all hosts must see films and `out` under the same paths.
"""

import dataclasses
import json
import socket
from collections.abc import Sequence
from pathlib import Path

from input_pipeline import beam
from input_pipeline.atomic_write import atomic_path
from input_pipeline.config import DataConfig
from input_pipeline.errors import UserError
from input_pipeline.quiet import without_warnings
from input_pipeline.store.shards import Shard, write_shard
from input_pipeline.study import study_of

_LISTING = 'missing.jsonl'
# What no record holds.
_UNSENT = {'sections': {}, 'mesh': None, 'labels': None, 'reference': ''}


def write_in_beam(
  shards: Sequence[Shard], config: DataConfig, flags: Sequence[str]
) -> None:
  """Writes shards and their notes; what a killed call has written stays.

  Args:
    shards: that are not there yet.
    config: what their films are made into.
    flags: Beam's own command line.

  Raises:
    UserError: see `beam.map_lines`; or a host does not see the folders.
  """
  if not shards:
    return
  folder = shards[0].note.parent
  with atomic_path(folder / _LISTING) as partial, partial.open('w') as file:
    file.writelines(f'{_line_of(shard)}\n' for shard in shards)
  beam.map_lines(folder / _LISTING, write_line, flags, config=config)
  # Listed, as a file system of several hosts remembers for a while that a name
  # was not there.
  there = {path.name for path in folder.iterdir()}
  absent = [shard for shard in shards if shard.note.name not in there]
  if absent:
    raise UserError(
      f'Beam has ended, but {len(absent):,} of {len(shards):,} shards are not '
      f'in {folder.parent}: {beam.SHARED}'
    )


def write_line(line: str, config: DataConfig) -> None:
  """Writes the shard of a line; Beam calls it, on any host, twice if need be.

  Raises:
    UserError: this host does not see the folders, or cannot write.
  """
  fields = json.loads(line)
  shard = Shard(
    split=fields['split'],
    path=Path(fields['path']),
    note=Path(fields['note']),
    studies=[(number, study_of(study)) for number, study in fields['studies']],
  )
  if shard.note.exists():
    return
  films = [film for _, study in shard.studies for film in study.films if film]
  # They were there a moment ago: a film that is gone is no bad film.
  for path in (shard.path.parent, *films):
    beam.check_seen(path)
  try:
    with without_warnings():
      write_shard(shard, config)
  except OSError as error:
    raise UserError(f'{socket.gethostname()}: {error}') from error


def _line_of(shard: Shard) -> str:
  studies = [
    (number, dataclasses.asdict(dataclasses.replace(study, **_UNSENT)))
    for number, study in shard.studies
  ]
  paths = {
    name: str(getattr(shard, name).absolute()) for name in ('path', 'note')
  }
  return json.dumps({'split': shard.split, 'studies': studies} | paths)
