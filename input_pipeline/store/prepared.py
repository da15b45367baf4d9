"""A prepared folder: films decoded and resized once, and all that is known.

It holds prepared.json (written last: what all of it is), studies.jsonl (a line
for each record, in order) and the shards; it opens without this project with
`tfds.builder_from_directory(folder)`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import shutil
from collections.abc import Callable, Sequence

from input_pipeline import folder_lock
from input_pipeline.atomic_write import write_json, write_text
from input_pipeline.config import DataConfig
from input_pipeline.layouts.rows import read_json
from input_pipeline.quiet import without_warnings
from input_pipeline.store.shards import (
  Shard,
  count_odd_films,
  write_in_threads,
  write_metadata,
  write_shards,
)
from input_pipeline.study import (
  SPLITS,
  DataError,
  Dataset,
  Study,
  no_study_left,
  refuse_problems,
  study_of,
)
from input_pipeline.tensorflow_cpu import tfds

_INFO, _STUDIES, _PROGRESS = 'prepared.json', 'studies.jsonl', 'progress'
_FORMAT, _KEY = 1, 'key'
UNPACKED = 'unpacked'  # folder in a prepared one, for films out of archives


@dataclasses.dataclass(frozen=True)
class Prepared:
  """An opened prepared folder.

  Attributes:
    info: the fields of prepared.json.
    studies: by split; record i of a split is its study i.
    builder: of TFDS, for the records.
  """

  info: dict
  studies: dict[str, list[Study]]
  builder: tfds.core.DatasetBuilder


def prepared_name(dataset: Dataset, config: DataConfig) -> str:
  """A folder name of its own for these films, texts and sizes."""
  key = [_FORMAT, dataset.fingerprint, tuple(config.sizes.values())]
  digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
  name = ''.join(c if c.isalnum() else '_' for c in dataset.name)
  return f'{name}_{digest}'


def is_prepared(folder: str | pathlib.Path) -> bool:
  """Whether `folder` is a prepared one, finished or not."""
  folder = pathlib.Path(folder)
  return (folder / _INFO).exists() or (folder / _PROGRESS / _KEY).exists()


def prepare(
  dataset: Dataset,
  config: DataConfig,
  out: pathlib.Path,
  write: Callable[[Sequence[Shard], DataConfig], None] = write_in_threads,
):
  """Writes the prepared folder `out`; resumes where a killed call stopped.

  Args:
    dataset: its studies are written.
    config: what their films are made into; with `skip_bad`, studies with
      unreadable films are left out.
    out: new, empty, or of an earlier call with the same data and sizes.
    write: writes the shards that are not there yet.

  Raises:
    DataError: unreadable films, or `out` holds something else.
  """
  out.mkdir(parents=True, exist_ok=True)
  with folder_lock.locked(out, wait=True):
    if not (out / _INFO).exists():
      _write(dataset, config, out, write)
    info = _read_info(out)
    if info['key'] != prepared_name(dataset, config):
      raise DataError(
        f'{out} holds other data ({info["key"]}) than this '
        f'({prepared_name(dataset, config)}): choose another folder.'
      )
    if not config.skip_bad:
      refuse_problems(dataset.folder, info['problems'], False)


def open_prepared(folder: str | pathlib.Path) -> Prepared:
  """The `Prepared` of a finished folder; DataError if it is none."""
  folder = pathlib.Path(folder)
  info = _read_info(folder)
  studies = {split: [] for split in SPLITS}
  try:
    with (folder / _STUDIES).open(encoding='utf-8') as lines:
      for line in lines:
        study = study_of(json.loads(line))
        studies[study.split].append(study)
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise DataError(
      f'{folder / _STUDIES} is damaged ({type(error).__name__}): delete '
      f'{folder}, and it is prepared again.'
    ) from error
  with without_warnings():
    builder = tfds.builder_from_directory(folder)
  return Prepared(info, studies, builder)


def refuse_foreign(out: str | pathlib.Path):
  """Raises DataError if `out` holds what no preparation has put there."""
  if not pathlib.Path(out).is_dir() or is_prepared(out):
    return
  foreign = sorted(path.name for path in pathlib.Path(out).iterdir())
  ours = [folder_lock.NAME, UNPACKED]
  progress = pathlib.Path(out, _PROGRESS)
  if progress.is_dir() and not any(progress.glob('[!.]*')):
    ours.append(_PROGRESS)  # its key did not come to be: killed, or a full disk
  foreign = [name for name in foreign if name not in ours]
  if foreign:
    raise DataError(
      f'{out} already holds {", ".join(foreign[:5])}: choose an empty folder, '
      f'or a new one.'
    )


def _read_info(folder):
  try:
    info = read_json(folder / _INFO)
    if not isinstance(info, dict):
      raise DataError(f'{folder / _INFO} is no object of JSON.')
  except FileNotFoundError:
    raise DataError(
      f'{folder} is not prepared to its end: run the same command of '
      f'input_pipeline.prepare again, it resumes where it stopped.'
    ) from None
  except DataError as error:
    raise DataError(
      f'{folder} is damaged: {error} Delete it, and it is prepared again.'
    ) from error
  if info.get('format') != _FORMAT:
    raise DataError(
      f'{folder} was prepared by another version (format '
      f'{info.get("format")}, here {_FORMAT}): prepare it again.'
    )
  return info


def _write(dataset, config, out, write):
  _claim(out, prepared_name(dataset, config))
  for killed in out.glob('.*.partial'):
    killed.unlink(missing_ok=True)  # a worker that goes on may have named it
  try:
    with without_warnings():
      shards = write_shards(dataset, config, out, out / _PROGRESS, write)
    problems = [*dataset.problems]
    for split in SPLITS:
      faults = [p for shard in shards[split] for p in shard['problems']]
      problems += faults
      if not any(shard['kept'] for shard in shards[split]):
        raise no_study_left(dataset.folder, split, problems)
    if not config.skip_bad:
      refuse_problems(dataset.folder, problems, False)
  except DataError:
    shutil.rmtree(out / _PROGRESS)
    for path in out.glob('*.array_record-*'):
      path.unlink()
    raise
  write_metadata(config, out, shards)
  _write_studies(dataset, out, shards)
  found = dataset.found | count_odd_films(shards)
  _write_info(
    dataclasses.replace(dataset, problems=problems, found=found), config, out
  )
  shutil.rmtree(out / _PROGRESS, ignore_errors=True)


def _claim(out, key):
  """Makes `out` the folder of `key`, unless it is somebody else's."""
  progress = out / _PROGRESS
  owner = progress / _KEY
  if owner.exists() and owner.read_text() == key:
    return  # a killed call, resumed
  if owner.exists():
    raise DataError(
      f'{out} holds other data ({owner.read_text()}), not prepared to its end: '
      f'remove it, or choose another folder.'
    )
  refuse_foreign(out)
  progress.mkdir(exist_ok=True)
  write_text(owner, key)


def _write_studies(dataset, out, shards):
  with (out / _STUDIES).open('w', encoding='utf-8') as lines:
    for split in SPLITS:
      for number in (n for shard in shards[split] for n in shard['kept']):
        study = dataclasses.asdict(dataset.studies[split][number])
        lines.write(json.dumps(study) + '\n')


def _write_info(dataset, config, out):
  info = (
    {'format': _FORMAT, 'key': prepared_name(dataset, config)}
    | vars(dataset)
    | config.selection
    | config.sizes
  )
  del info['studies']
  write_json(out / _INFO, info)
