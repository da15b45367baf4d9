"""Prepared data: films decoded and resized once, in shards that TFDS reads.

Train films keep their shape, the short side at `stored_size`, to be cropped
at random. Val and test films are resized from the original straight to
`image_size`, so that nothing is resampled twice where it is scored.

A prepared folder holds prepared.json (written last: what all of it is),
studies.jsonl (a line for each record, in order) and the shards; it opens
without this project with `tfds.builder_from_directory(folder)`.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import fcntl
import hashlib
import itertools
import json
import os
import pathlib
import shutil

import numpy as np
import tqdm

from input_pipeline import images
from input_pipeline.datasets.study import (
  SPLITS,
  DataError,
  Study,
  no_study_left,
  refuse_problems,
)
from input_pipeline.tensorflow_cpu import tfds, without_warnings

SHARD_STUDIES = 256  # as many are decoded again after a kill, at most

_INFO, _STUDIES, _PROGRESS = 'prepared.json', 'studies.jsonl', 'progress'
_FORMAT, _LOCK = 1, '.lock'
UNPACKED = 'unpacked'  # folder in a prepared one, for films out of archives
_RECORDS = tfds.core.FileFormat.ARRAY_RECORD
_write_records = tfds.core.file_adapters.ADAPTER_FOR_FORMAT[
  _RECORDS
].write_examples


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


@dataclasses.dataclass(frozen=True)
class Sizes:
  """What a film is made into; sides in pixels."""

  views: int
  stored_size: int
  image_size: int

  def __post_init__(self):
    if self.stored_size < self.image_size:
      raise ValueError(
        f'stored_size {self.stored_size} is smaller than image_size '
        f'{self.image_size}: no crop of that size can be cut.'
      )


def prepared_name(dataset, sizes):
  """A folder name that tells these films, texts and sizes from all others."""
  key = [_FORMAT, dataset.fingerprint, dataclasses.astuple(sizes)]
  digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
  name = ''.join(c if c.isalnum() else '_' for c in dataset.name)
  return f'{name}_{digest}'


def is_prepared(folder):
  """Whether `folder` is a prepared one, finished or not."""
  folder = pathlib.Path(folder)
  return (folder / _INFO).exists() or (folder / _PROGRESS).exists()


def prepare(dataset, sizes, out, skip_bad):
  """Writes the prepared folder `out`; goes on where a killed call stopped.

  Args:
    dataset: a `study.Dataset`.
    sizes: a `Sizes`.
    out: new, empty, or of an earlier call with the same data and sizes.
    skip_bad: leave out studies with unreadable films instead of raising.
  """
  out = pathlib.Path(out).absolute()
  out.mkdir(parents=True, exist_ok=True)
  with _locked(out):
    if not (out / _INFO).exists():
      _write(dataset, sizes, out, skip_bad)
    info = _read_info(out)
    if info['key'] != prepared_name(dataset, sizes):
      raise DataError(
        f'{out} holds other data ({info["key"]}) than this '
        f'({prepared_name(dataset, sizes)}): choose another folder.'
      )
    refuse_problems(dataset.folder, info['problems'], skip_bad)


def open_prepared(folder):
  """The `Prepared` of a finished folder; DataError if it is none."""
  folder = pathlib.Path(folder)
  info = _read_info(folder)
  studies = {split: [] for split in SPLITS}
  with (folder / _STUDIES).open(encoding='utf-8') as lines:
    for line in lines:
      fields = json.loads(line)
      for name in ('films', 'views', 'mesh'):
        fields[name] = fields[name] and tuple(fields[name])
      studies[fields['split']].append(Study(**fields))
  with without_warnings():
    builder = tfds.builder_from_directory(folder)
  return Prepared(info, studies, builder)


def refuse_foreign(out):
  """Raises DataError if `out` holds what no preparation has put there."""
  if not pathlib.Path(out).is_dir() or is_prepared(out):
    return
  foreign = sorted(path.name for path in pathlib.Path(out).iterdir())
  foreign = [name for name in foreign if name not in (_LOCK, UNPACKED)]
  if foreign:
    raise DataError(
      f'{out} already holds {", ".join(foreign[:5])}: choose an empty folder, '
      f'or a new one.'
    )


def film_key(view):
  """Name of one view's film in a record."""
  return f'film_{view}'


def _read_info(folder):
  try:
    info = json.loads((folder / _INFO).read_text())
  except FileNotFoundError:
    raise DataError(
      f'{folder} is not prepared to its end: run the same command of '
      f'input_pipeline.prepare again, it goes on where it stopped.'
    ) from None
  if info.get('format') != _FORMAT:
    raise DataError(
      f'{folder} was prepared by another version (format '
      f'{info.get("format")}, here {_FORMAT}): prepare it again.'
    )
  return info


def _write(dataset, sizes, out, skip_bad):
  _claim(out, prepared_name(dataset, sizes))
  try:
    with without_warnings():
      shards = _write_shards(dataset, sizes, out)
    problems = [*dataset.problems]
    for split in SPLITS:
      faults = [p for shard in shards[split] for p in shard['problems']]
      problems += faults
      if not any(shard['kept'] for shard in shards[split]):
        raise no_study_left(dataset.folder, split, problems)
    refuse_problems(dataset.folder, problems, skip_bad)
  except DataError:
    shutil.rmtree(out / _PROGRESS)
    for path in out.glob('*.array_record-*'):
      path.unlink()
    raise
  _write_metadata(sizes, out, shards)
  _write_studies(dataset, out, shards)
  _write_info(dataset, sizes, out, problems)
  shutil.rmtree(out / _PROGRESS)


def _claim(out, key):
  """Makes `out` the folder of `key`, unless it is somebody else's."""
  progress = out / _PROGRESS
  owner = progress / 'key'
  if owner.exists() and owner.read_text() == key:
    return  # a killed call: go on
  if progress.exists():
    raise DataError(
      f'{out} holds other data ({owner.read_text()}), not prepared to its end: '
      f'remove it, or choose another folder.'
    )
  refuse_foreign(out)
  progress.mkdir()
  owner.write_text(key)


def _features(views):
  # Plain bytes: decoding PNG made a train batch take over twice as long.
  film = tfds.features.Tensor(
    shape=(None, None),
    dtype=np.uint8,
    encoding='bytes',
    doc='8 bit grey; zeros where the view is absent',
  )
  return tfds.features.FeaturesDict(
    {
      'id': tfds.features.Text(),
      'report': tfds.features.Text(),
      'findings': tfds.features.Text(doc='JSON: a list, or null'),
    }
    | {film_key(view): film for view in range(views)}
  )


def _template(out, split):
  return tfds.core.ShardedFileTemplate(
    data_dir=out,
    dataset_name='studies',
    split=split,
    filetype_suffix=_RECORDS.file_suffix,
  )


def _write_shards(dataset, sizes, out):
  """Writes the shards that are not there; returns the notes of all."""
  notes = {split: [] for split in SPLITS}
  features = _features(sizes.views)
  missing = []
  for split in SPLITS:
    studies = dataset.studies[split]
    count = -(-len(studies) // SHARD_STUDIES)
    for number in range(count):
      path = pathlib.Path(
        _template(out, split).sharded_filepath(
          shard_index=number, num_shards=count
        )
      )
      first = number * SHARD_STUDIES
      note = out / _PROGRESS / f'{path.name}.json'
      if note.exists():
        notes[split].append(json.loads(note.read_text()))
      else:
        notes[split].append(None)
        block = list(enumerate(studies))[first : first + SHARD_STUDIES]
        missing.append((split, number, path, note, block))

  def decode(numbered):
    return numbered[0], *_read_films(numbered[1], sizes)

  todo = [numbered for *_, block in missing for numbered in block]
  bar = tqdm.tqdm(
    _map_ahead(decode, todo), 'Preparing films', len(todo), unit=' studies'
  )
  decoded = iter(bar)
  for split, number, path, note, block in missing:
    shard = itertools.islice(decoded, len(block))
    written = _write_shard(path, features, shard, dataset.studies[split])
    _replace(note, json.dumps(written))
    notes[split][number] = written
  bar.close()
  return notes


def _write_shard(path, features, decoded, studies):
  """Writes one file; returns its notes: kept studies, problems and bytes."""
  kept, problems = [], []

  def records():
    for number, films, faults in decoded:
      study = studies[number]
      if faults:
        problems.append(f'{study.split}/{study.id}: {" ".join(faults)}')
        continue
      kept.append(number)
      record = {
        'id': study.id,
        'report': study.report,
        'findings': json.dumps(study.findings),
      } | {film_key(view): film for view, film in enumerate(films)}
      yield number, features.serialize_example(record)

  part = path.with_name(path.name + '.part')
  _write_records(part, records())
  part.replace(path)
  return {'kept': kept, 'problems': problems, 'bytes': path.stat().st_size}


def _read_films(study, sizes):
  """The films of a study, zeros where absent; and what is wrong with them."""
  films, faults = [], []
  for path in study.films:
    if path is None:
      films.append(np.zeros([sizes.image_size] * 2, np.uint8))
      continue
    try:
      film = images.read_film(path)
    except images.ImageError as error:
      faults.append(str(error))
      continue
    if study.split == 'train':
      films.append(images.resize_short_side(film, sizes.stored_size))
    else:
      films.append(images.resize_square(film, sizes.image_size))
  return films, faults


def _write_metadata(sizes, out, shards):
  infos = [
    tfds.core.SplitInfo(
      name=split,
      shard_lengths=[len(shard['kept']) for shard in shards[split]],
      num_bytes=sum(shard['bytes'] for shard in shards[split]),
      filename_template=_template(out, split),
    )
    for split in SPLITS
  ]
  with without_warnings():
    tfds.folder_dataset.write_metadata(
      data_dir=out,
      features=_features(sizes.views),
      split_infos=infos,
      filename_template=_template(out, None),
      check_data=False,
      description='Chest films, resized, and their reports.',
      disable_shuffling=True,  # record i is study i
    )


def _write_studies(dataset, out, shards):
  with (out / _STUDIES).open('w', encoding='utf-8') as lines:
    for split in SPLITS:
      for number in (n for shard in shards[split] for n in shard['kept']):
        study = dataclasses.asdict(dataset.studies[split][number])
        lines.write(json.dumps(study) + '\n')


def _write_info(dataset, sizes, out, problems):
  fields = dataclasses.asdict(dataclasses.replace(dataset, studies={}))
  del fields['studies']
  info = (
    {'format': _FORMAT, 'key': prepared_name(dataset, sizes)}
    | fields
    | dataclasses.asdict(sizes)
    | {'problems': problems}
  )
  _replace(out / _INFO, json.dumps(info, indent=1))


def _replace(path, text):
  """Writes a file whole or not at all."""
  part = path.with_name(path.name + '.part')
  part.write_text(text)
  part.replace(path)


def _map_ahead(function, items):
  """Results in order, computed by threads on all cores, a few items ahead."""
  workers = len(os.sched_getaffinity(0))
  pool = concurrent.futures.ThreadPoolExecutor(workers)
  try:
    pending = collections.deque()
    for item in items:
      pending.append(pool.submit(function, item))
      if len(pending) > 4 * workers:
        yield pending.popleft().result()
    while pending:
      yield pending.popleft().result()
  finally:
    pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _locked(folder):
  """One process at a time prepares; the others wait and find it done."""
  with (folder / _LOCK).open('w') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield
