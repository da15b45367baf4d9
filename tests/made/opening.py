"""Opens small folders, and compares what comes out of them."""

import itertools

import numpy as np

from input_pipeline import batches as pipeline
from input_pipeline.data import Data, DataConfig, open_data

_OPTIONS = {
  'image_size': 16,
  'stored_size': 24,
  'max_length': 12,
  'reference_length': 12,
  'min_count': 2,
}


def open_folder(folder, cache_dir, **changes) -> Data:
  """A folder of any layout."""
  options = _OPTIONS | {'cache_dir': str(cache_dir)} | changes
  return open_data(DataConfig(str(folder), **options))


def train(opened, count, augmentation, batch_size=4, seed=7, **options):
  """The next `count` train batches."""
  batches = pipeline.train_batches(
    opened,
    batch_size=batch_size,
    seed=seed,
    augmentation=augmentation,
    **options,
  )
  return list(itertools.islice(batches, count))


def joined(parts):
  """Batches of several processes as those of one."""
  return [
    {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}
    for batches in zip(*parts, strict=True)
  ]


def assert_same(batches, others):
  """Both give the same arrays, one batch after the other."""
  for batch, other in zip(batches, others, strict=True):
    assert batch.keys() == other.keys()
    for name in batch:
      np.testing.assert_array_equal(batch[name], other[name])
