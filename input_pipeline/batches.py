"""Batches for training and evaluation: tf.data from records or from files.

A batch is a dict of numpy arrays, the same shapes every time:
  images_BxIxHxW  uint8, I views in grey levels; normalise them on the device
  ids_BxT         int32, [0] + word ids + [0], zero padded to max_length
  mask_B          bool, False for the examples that only fill up a batch
  mask_BxI        bool, False for the films that a study does not have (zeros)
  mirrored_B      bool, True where a flip has swapped the sides of all of it
  study_B         int32, index into `data.studies[split]`; -1 where padding
Padding examples show films of real studies: batch norm sees no blank films.
"""

import os

import numpy as np

from input_pipeline.augmentation import DRAWS, FLIP, WHOLE, augment_films
from input_pipeline.batch_plan import batches_of, part_of, plan_batches
from input_pipeline.findings.sides import swap_sides
from input_pipeline.store.source import read_on
from input_pipeline.tensorflow_cpu import tf

_NO_STUDY = -1
_MAX_THREADS = 16


def steps_per_epoch(data, split, batch_size):
  """Batches that hold every study of `split` once, the last one padded."""
  return -(-len(data.studies[split]) // batch_size)


def train_batches(
  data,
  *,
  batch_size,
  seed,
  augmentation,
  first_step=0,
  process_index=0,
  process_count=1,
  shares_N=None,
):
  """Yields train batches for ever, from global step `first_step` on.

  Order and augmentation of an epoch depend on (seed, epoch) alone, so batch n
  is the same wherever the iterator was started, at no cost for the skipped.

  Args:
    data: a `data.Data`.
    batch_size: global; each process yields its own batch_size / process_count
      rows, and the processes' rows joined are the batch of a single process.
    seed: a non-negative integer.
    augmentation: an `Augmentation`.
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


def eval_batches(data, split, *, batch_size, process_index=0, process_count=1):
  """Yields every study of `split` once, in order, the last batch padded.

  Val and test films are the originals resized to image_size. Train films are
  resized from what is stored of them. Arguments as for `train_batches`.
  """
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
  ids_NxT = padded_ids(data, split)
  mirrored_ids_NxT = ids_NxT
  if augmentation.flip_with_text:
    mirrored_ids_NxT = padded_ids(data, split, swap_sides)
  present_NxI = np.array([[f is not None for f in s.films] for s in studies])

  def read():
    for whole in rows():
      take_B, mask_B, draws_BxIxD = (x[part] for x in whole)
      flip_BxI = draws_BxIxD[..., FLIP] < 0.5
      mirrored_B = flip_BxI[:, 0] & mask_B & augmentation.flip_with_text
      if augmentation.flip_with_text:
        flip_BxI = np.repeat(mirrored_B[:, None], data.views, axis=1)
      ids_BxT = np.where(
        mirrored_B[:, None], mirrored_ids_NxT[take_B], ids_NxT[take_B]
      )
      yield {
        'films': films.take(take_B),
        'draws': draws_BxIxD,
        'flip': flip_BxI,
        'ids_BxT': np.where(mask_B[:, None], ids_BxT, 0),
        'mask_B': mask_B,
        'mask_BxI': present_NxI[take_B],
        'mirrored_B': mirrored_B,
        'study_B': np.where(mask_B, take_B, _NO_STUDY).astype(np.int32),
      }

  def decode(row):
    item, draws, flip = (row.pop(name) for name in ('films', 'draws', 'flip'))
    stored, good = films.decode(item)
    row = _without_bad(row, good) if skip_bad else row
    images_IxHxW = augment_films(
      stored, data.image_size, draws, flip, row['mask_BxI'], augmentation
    )
    return row | {'images_BxIxHxW': images_IxHxW}

  local = part.stop - part.start
  threads = min(len(os.sched_getaffinity(0)), _MAX_THREADS)
  batches = (
    tf.data.Dataset.from_generator(
      read,
      output_signature={
        'films': tf.TensorSpec([local], films.dtype),
        'draws': tf.TensorSpec([local, data.views, DRAWS], tf.float64),
        'flip': tf.TensorSpec([local, data.views], tf.bool),
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


def padded_ids(data, split, change=None):
  """The references of a split, [0] + word ids + [0] and zeros, (S, T).

  `change`, if given, is what is done to each report before it is encoded.
  """
  studies = data.studies[split]
  ids_NxT = np.zeros((len(studies), data.max_length), np.int32)
  for row, study in zip(ids_NxT, studies, strict=True):
    ids = study.ids
    if change:
      ids = data.tokenizer.encode(change(study.report), data.max_length)
    row[: len(ids)] = ids
  return ids_NxT
