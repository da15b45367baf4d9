"""Where the films of a batch come from: prepared records, or the files.

Both give the same pixels: a training film with its short side at
`stored_size`, the others square at `image_size`.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from input_pipeline.config import DataConfig
from input_pipeline.errors import plain_or_quoted
from input_pipeline.quiet import without_warnings
from input_pipeline.store.shards import film_key, read_films
from input_pipeline.study import DataError, Study
from input_pipeline.tensorflow_cpu import tf, tfds
from input_pipeline.terminal import warn


@dataclasses.dataclass(frozen=True)
class SplitFilms:
  """The films of one split.

  Attributes:
    take: numbers of studies, (B,), to an array of what `decode` reads.
    dtype: of that array, TensorFlow's.
    decode: one element to its films, uint8 (H, W) each, and whether they are
      good. In TensorFlow, run in parallel.
    faults: holds the DataError that has stopped `decode`, if one has.
  """

  take: Callable
  dtype: tf.DType
  decode: Callable
  faults: list[DataError]


class PreparedFilms:
  """Films that are decoded and resized already."""

  def __init__(self, builder: tfds.core.DatasetBuilder, views: int):
    self._builder, self._views = builder, views
    self.key = str(builder.data_dir)
    # Opened once: tf.data holds on to what it has ever read from.
    self._records, self._lock = {}, threading.Lock()

  def split(
    self, name: str, studies: Sequence[Study], skip_bad: bool
  ) -> SplitFilms:
    """The `SplitFilms` of a split; all of them are good."""
    del studies, skip_bad
    if name not in self._records:
      self._records[name] = self._builder.as_data_source(
        name, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
      )
    records = self._records[name]

    def decode(record):
      with without_warnings():  # TFDS calls a part of itself deprecated
        study = self._builder.info.features.deserialize_example(record)
      films = [study[film_key(view)] for view in range(self._views)]
      return films, tf.constant(True)

    def take(numbers_B):
      with self._lock:
        return records.__getitems__(numbers_B.tolist())

    return SplitFilms(take, tf.string, decode, [])


class StreamedFilms:
  """Films that are read, decoded and resized each time, a batch ahead."""

  def __init__(self, config: DataConfig, key: str):
    self._config = config
    self.key = key

  def split(
    self, name: str, studies: Sequence[Study], skip_bad: bool
  ) -> SplitFilms:
    """The `SplitFilms` of a split.

    Args:
      name: 'train', 'val' or 'test'.
      studies: of that split.
      skip_bad: films that cannot be read make a study that is not good; else
        they stop the reading with a DataError.
    """
    views, size = self._config.views, self._config.image_size
    faults, warned = [], set()
    blank = [np.zeros((size, size), np.uint8)] * views

    def read(number):
      study = studies[number]
      films, wrong = read_films(study.films, name, self._config)
      if not wrong:
        return *films, True
      message = f'{name}/{plain_or_quoted(study.id)}: {" ".join(wrong)}'
      if not skip_bad:
        faults.append(DataError(f'{message} {_advice(name)}'))
        raise faults[-1]
      if number not in warned:
        warn(f'going on without a bad study, {message}')
        warned.add(number)
      return *blank, False

    def decode(number):
      *films, good = tf.numpy_function(
        read, [number], [tf.uint8] * views + [tf.bool]
      )
      for film in films:
        film.set_shape([None, None])
      return films, tf.ensure_shape(good, [])

    return SplitFilms(np.asarray, tf.int64, decode, faults)


class MadeUpFilms:
  """One study's films of random greys, shown for every study."""

  def __init__(self, config: DataConfig):
    self._config = config
    self.key = 'made up'

  def split(
    self, name: str, studies: Sequence[Study], skip_bad: bool
  ) -> SplitFilms:
    """The `SplitFilms` of a split; all of them are good."""
    del studies, skip_bad
    c = self._config
    side = c.stored_size if name == 'train' else c.image_size
    greys = np.random.default_rng(0).integers(256, size=(c.views, side, side))
    films = list(np.uint8(greys))

    def decode(number):
      del number
      return list(map(tf.constant, films)), tf.constant(True)

    return SplitFilms(np.asarray, tf.int64, decode, [])


def _advice(split):
  if split == 'train':
    return 'Repair it, or continue without it: --config.data.skip_bad=True.'
  return (
    'Repair it, or take the study out of the data: scores are of every study '
    'of a split.'
  )


def read_on(batches: Iterator[dict], faults: list[DataError]) -> Iterator[dict]:
  """The batches; where a film stops them, its own DataError is raised."""
  try:
    yield from batches
  except tf.errors.OpError:
    if faults:
      raise faults[0] from None
    raise
