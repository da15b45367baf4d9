"""Shards of resized films in the form that TFDS reads, written in parallel.

Train films keep their shape, the short side at `stored_size`, to be cropped
at random. Val and test films are resized from the original straight to
`image_size`, so that nothing is resampled twice where it is scored.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from input_pipeline import images
from input_pipeline.atomic_write import atomic_path, write_json
from input_pipeline.config import DataConfig
from input_pipeline.cores import cores
from input_pipeline.errors import plain_or_quoted
from input_pipeline.quiet import without_warnings
from input_pipeline.study import SPLITS, Dataset, Study
from input_pipeline.tensorflow_cpu import tfds
from input_pipeline.terminal import progress_bar

SHARD_STUDIES = 256  # as many are decoded again after a kill, at most


def film_key(view: int) -> str:
  """Name of one view's film in a record."""
  return f'film_{view}'


@dataclasses.dataclass(frozen=True)
class Shard:
  """One file of records, and a note on it that is written when it is whole."""

  split: str
  path: pathlib.Path
  note: pathlib.Path
  studies: list[tuple[int, Study]]  # with their numbers in the split


def write_in_threads(shards: Sequence[Shard], config: DataConfig) -> None:
  """Writes shards and their notes, films decoded by threads on all cores."""
  todo = [numbered for shard in shards for numbered in shard.studies]
  decode = functools.partial(_decode, config)
  with (
    contextlib.closing(_map_ahead(decode, todo)) as decoded,
    progress_bar(
      decoded, desc='Preparing films', total=len(todo), unit=' studies'
    ) as bar,
  ):
    films_of = iter(bar)
    for shard in shards:
      films = itertools.islice(films_of, len(shard.studies))
      write_json(shard.note, _write_shard(shard.path, films, config.views))
    next(films_of, None)  # the bar ends where its last item is asked for


def write_shard(shard: Shard, config: DataConfig) -> None:
  """Writes one shard and its note, in this thread alone."""
  films = map(functools.partial(_decode, config), shard.studies)
  write_json(shard.note, _write_shard(shard.path, films, config.views))


def write_shards(
  dataset: Dataset,
  config: DataConfig,
  out: pathlib.Path,
  progress: pathlib.Path,
  write: Callable[[Sequence[Shard], DataConfig], None] = write_in_threads,
) -> dict[str, list[dict]]:
  """Writes the shards that are not there; returns the notes of all.

  Args:
    dataset: its films are read.
    config: what they are made into.
    out: where the shards go.
    progress: a folder for a note on each finished shard.
    write: writes those that are not there.

  Returns:
    {split: [{'kept': numbers of studies, 'problems', 'bytes', 'prints': of
    each study's films, see `print_of`}, ..]}.
  """
  shards = shards_of(dataset, out, progress)
  write([shard for shard in shards if not shard.note.exists()], config)
  notes = {split: [] for split in SPLITS}
  for shard in shards:
    notes[shard.split].append(json.loads(shard.note.read_text()))
  return notes


def _decode(config, numbered):
  number, study = numbered
  prints = []
  films, faults = read_films(study.films, study.split, config, prints)
  return number, study, films, faults, prints


def shards_of(
  dataset: Dataset, out: pathlib.Path, progress: pathlib.Path
) -> list[Shard]:
  """The shards of a data set, there or not; arguments as `write_shards`'."""
  shards = []
  for split in SPLITS:
    numbered = list(enumerate(dataset.studies[split]))
    firsts = range(0, len(numbered), SHARD_STUDIES)
    for index, first in enumerate(firsts):
      path = pathlib.Path(
        _template(out, split).sharded_filepath(
          shard_index=index, num_shards=len(firsts)
        )
      )
      note = progress / f'{path.name}.json'
      studies = numbered[first : first + SHARD_STUDIES]
      shards.append(Shard(split, path, note, studies))
  return shards


def _write_shard(path, decoded, views):
  """Writes one file; returns its notes, as `write_shards` has them."""
  features, kept, problems, prints = _features(views), [], [], []
  serializer = tfds.core.example_serializer.ExampleSerializer(
    features.get_serialized_info()
  )

  def records():
    for number, study, films, faults, films_prints in decoded:
      if faults:
        name = plain_or_quoted(study.id)
        problems.append(f'{study.split}/{name}: {" ".join(faults)}')
        continue
      kept.append(number)
      prints.append(films_prints)
      record = {
        'id': study.id,
        'report': study.report,
        'findings': json.dumps(study.findings),
      } | {film_key(view): film for view, film in enumerate(films)}
      example = serializer.get_tf_example(features.encode_example(record))
      # Else the fields' order is another in each process.
      yield number, example.SerializeToString(deterministic=True)

  with atomic_path(path) as partial:
    adapters = tfds.core.file_adapters.ADAPTER_FOR_FORMAT
    adapters[_format()].write_examples(partial, records())
  return {
    'kept': kept,
    'problems': problems,
    'bytes': path.stat().st_size,
    'prints': prints,
  }


BLANK = 'blank'


def print_of(film_HxW: np.ndarray) -> str:
  """Equal for equal films alone; BLANK of one that is of a single grey."""
  if film_HxW.min() == film_HxW.max():
    return BLANK
  digest = hashlib.blake2b(repr(film_HxW.shape).encode(), digest_size=12)
  digest.update(np.ascontiguousarray(film_HxW))
  return digest.hexdigest()


def count_odd_films(notes: dict[str, list[dict]]) -> dict[str, int]:
  """How many films are of one grey, or there twice, by what is odd."""
  found = collections.Counter()
  splits_of = collections.defaultdict(set)
  for split, shards in notes.items():
    for prints in (p for shard in shards for p in shard.get('prints', ())):
      seen = [p for p in prints if p != BLANK]
      found['films of a single grey'] += len(prints) - len(seen)
      found['studies with one film twice'] += len(seen) > len(set(seen))
      for film in seen:
        splits_of[film].add(split)
  found['films that are in two splits'] = sum(
    len(splits) > 1 for splits in splits_of.values()
  )
  return {what: n for what, n in found.items() if n}


def read_films(
  paths: Sequence[str | None],
  split: str,
  config: DataConfig,
  prints: list[str] | None = None,
) -> tuple[list[np.ndarray], list[str]]:
  """The films of a study, zeros where None; and what is wrong with them.

  The prints of the films, of full size, are added to `prints`.
  """
  films, faults = [], []
  for path in paths:
    if path is None:
      films.append(np.zeros([config.image_size] * 2, np.uint8))
      continue
    try:
      film = images.read_film(path)
    except images.ImageError as error:
      faults.append(str(error))
      continue
    if prints is not None:
      prints.append(print_of(film))
    if split == 'train':
      films.append(images.resize_short_side(film, config.stored_size))
    else:
      films.append(images.resize_square(film, config.image_size))
  return films, faults


def write_metadata(
  config: DataConfig, out: pathlib.Path, notes: dict[str, list[dict]]
):
  """Writes what TFDS must know to open `out`; `notes` of `write_shards`."""
  infos = [
    tfds.core.SplitInfo(
      name=split,
      shard_lengths=[len(shard['kept']) for shard in notes[split]],
      num_bytes=sum(shard['bytes'] for shard in notes[split]),
      filename_template=_template(out, split),
    )
    for split in SPLITS
  ]
  with without_warnings():
    tfds.folder_dataset.write_metadata(
      data_dir=out,
      features=_features(config.views),
      split_infos=infos,
      filename_template=_template(out, None),
      check_data=False,
      description='Chest films, resized, and their reports.',
      disable_shuffling=True,  # record i is study i
    )


def _format():
  """Of the records."""
  return tfds.core.FileFormat.ARRAY_RECORD


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
    filetype_suffix=_format().file_suffix,
  )


def _map_ahead(function, items):
  """Results in order, computed by threads on all cores, a few items ahead."""
  workers = cores()
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
