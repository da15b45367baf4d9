"""Batches for training and evaluation: tf.data from records or from files.

A batch is a dict of numpy arrays, the same shapes every time:
  images_BxIxHxW  uint8, I views in grey levels; normalise them on the device
  ids_BxT         int32, [0] + word ids + [0], zero padded to max_length
  box_BxIx4       float32, y0, x0, y1, x1: what was cut of the stored image, in
                  fractions of it, after a rotation and before a flip
  flip_BxI        bool, True for images that a flip has mirrored
  mask_B          bool, False for the examples that only fill up a batch
  mask_BxI        bool, False for the films that a study does not have (zeros)
  mirrored_B      bool, True where a flip has swapped the sides of all of it
  study_B         int32, index into `data.studies[split]`; -1 where padding
Padding examples show films of real studies: batch norm sees no blank films.
"""

from collections.abc import Iterator

import numpy as np

from input_pipeline.augmentation import DRAWS, FLIP, WHOLE, augment_films
from input_pipeline.batch_plan import batches_of, part_of, plan_batches
from input_pipeline.config import Augmentation
from input_pipeline.cores import cores
from input_pipeline.data import Data
from input_pipeline.findings.sides import swap_sides
from input_pipeline.store.source import read_on
from input_pipeline.tensorflow_cpu import tf
from input_pipeline.tokenizers import encode_reports

Batch = dict[str, np.ndarray]
_NO_STUDY = -1
_MAX_THREADS = 16


def steps_per_epoch(data: Data, split: str, batch_size: int) -> int:
  """Batches that hold every study of `split` once, the last one padded."""
  return -(-len(data.studies[split]) // batch_size)


def train_batches(
  data: Data,
  *,
  batch_size: int,
  seed: int,
  augmentation: Augmentation,
  first_step: int = 0,
  process_index: int = 0,
  process_count: int = 1,
  shares_N: np.ndarray | None = None,
) -> Iterator[Batch]:
  """Yields train batches for ever, from global step `first_step` on.

  Order and augmentation of an epoch depend on (seed, epoch) alone, so batch n
  is the same wherever the iterator was started, at no cost for the skipped.

  Args:
    data: its train studies are read.
    batch_size: global; each process yields its own batch_size / process_count
      rows, and the processes' rows joined are the batch of a single process.
    seed: a non-negative integer.
    augmentation: what is done to the images.
    first_step: batches to leave out.
    process_index: which part of each batch to read.
    process_count: number of parts.
    shares_N: how often to draw each study, or None for each once an epoch.
  """
  count = len(data.studies['train'])

  def rows():
    return plan_batches(
      count, data.views, batch_size, seed, first_step, shares_N
    )

  part = part_of(batch_size, process_index, process_count)
  return _decoded_batches(data, 'train', rows, part, augmentation)


def eval_batches(
  data: Data,
  split: str,
  *,
  batch_size: int,
  process_index: int = 0,
  process_count: int = 1,
  order: np.ndarray | None = None,
) -> Iterator[Batch]:
  """Yields every study of `split` once, in order, the last batch padded.

  Val and test films are the originals resized to image_size. Train films are
  resized from what is stored of them. Arguments as for `train_batches`, and
  `order`, the numbers of the studies that are wanted; None for all.
  """
  if order is None:
    order = np.arange(len(data.studies[split]))

  def rows():
    for take_B, mask_B in batches_of(order, batch_size, first=0):
      yield take_B, mask_B, np.zeros((batch_size, data.views, DRAWS))

  part = part_of(batch_size, process_index, process_count)
  return _decoded_batches(data, split, rows, part, WHOLE)


def _decoded_batches(data, split, rows, part, augmentation):
  """Batches of the rows `part` of what `rows()` plans, decoded in parallel."""
  studies = data.studies[split]
  # Scores are of every study: nothing is skipped there.
  skip_bad = data.skip_bad and split == 'train'
  films = data.films.split(split, studies, skip_bad)
  ids_NxT = mirrored_ids_NxT = data.ids[split]
  if augmentation.flip_with_text:
    swapped = [swap_sides(study.report) for study in studies]
    mirrored_ids_NxT = encode_reports(data.tokenizer, swapped, data.max_length)
  present_NxI = np.array([[f is not None for f in s.films] for s in studies])

  def read():
    for whole in rows():
      take_B, mask_B, draws_BxIxD = (x[part] for x in whole)
      flip_BxI = draws_BxIxD[..., FLIP] < 0.5
      mirrored_B = flip_BxI[:, 0] & mask_B & augmentation.flip_with_text
      flip_BxI &= augmentation.flip
      flip_BxI |= mirrored_B[:, None]
      ids_BxT = np.where(
        mirrored_B[:, None], mirrored_ids_NxT[take_B], ids_NxT[take_B]
      )
      yield {
        'films': films.take(take_B),
        'draws': draws_BxIxD,
        'flip_BxI': flip_BxI,
        'ids_BxT': np.where(mask_B[:, None], ids_BxT, 0),
        'mask_B': mask_B,
        'mask_BxI': present_NxI[take_B],
        'mirrored_B': mirrored_B,
        'study_B': np.where(mask_B, take_B, _NO_STUDY).astype(np.int32),
      }

  def decode(row):
    item, draws = row.pop('films'), row.pop('draws')
    stored, good = films.decode(item)
    row = _without_bad(row, good) if skip_bad else row
    images_IxHxW, box_Ix4 = augment_films(
      stored,
      data.image_size,
      draws,
      row['flip_BxI'],
      row['mask_BxI'],
      augmentation,
    )
    return row | {'images_BxIxHxW': images_IxHxW, 'box_BxIx4': box_Ix4}

  local = part.stop - part.start
  threads = min(cores(), _MAX_THREADS)
  batches = (
    tf.data.Dataset.from_generator(
      read,
      output_signature={
        'films': tf.TensorSpec([local], films.dtype),
        'draws': tf.TensorSpec([local, data.views, DRAWS], tf.float64),
        'flip_BxI': tf.TensorSpec([local, data.views], tf.bool),
        'ids_BxT': tf.TensorSpec([local, data.max_length], tf.int32),
        'mask_B': tf.TensorSpec([local], tf.bool),
        'mask_BxI': tf.TensorSpec([local, data.views], tf.bool),
        'mirrored_B': tf.TensorSpec([local], tf.bool),
        'study_B': tf.TensorSpec([local], tf.int32),
      },
    )
    .unbatch()
    .map(decode, num_parallel_calls=threads, deterministic=True)
    .batch(local, drop_remainder=True)
    .prefetch(2)
  )
  options = tf.data.Options()
  options.threading.private_threadpool_size = threads
  options.threading.max_intra_op_parallelism = 1
  batches = batches.with_options(options).as_numpy_iterator()
  return read_on(batches, films.faults)


def _without_bad(row, good):
  """One row, masked as if it were padding where its films are not good."""
  return row | {
    'ids_BxT': row['ids_BxT'] * tf.cast(good, tf.int32),
    'mask_B': row['mask_B'] & good,
    'mask_BxI': row['mask_BxI'] & good,
    'mirrored_B': row['mirrored_B'] & good,
    'study_B': tf.where(good, row['study_B'], _NO_STUDY),
  }
