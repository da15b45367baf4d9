"""Batches for training and evaluation: tf.data from the prepared records.

A batch is a dict of numpy arrays, the same shapes every time:
  images_BxIxHxW  uint8, I views in grey levels; normalise them on the device
  ids_BxT         int32, [0] + word ids + [0], zero padded to max_length
  mask_B          bool, False for the examples that only fill up a batch
  mask_BxI        bool, False for the films that a study does not have (zeros)
  mirrored_B      bool, True where a flip has swapped the sides of all of it
  study_B         int32, index into `data.studies[split]`; -1 where padding
Padding examples show films of real studies: batch norm sees no blank films.
"""

import dataclasses
import os
import pathlib

import numpy as np

from input_pipeline.augmentation import DRAWS, FLIP, WHOLE
from input_pipeline.batch_plan import batches_of, part_of, plan_batches
from input_pipeline.datasets import layouts, prepared
from input_pipeline.datasets.study import DataError, Selection
from input_pipeline.records import decode_record
from input_pipeline.sides import swap_sides
from input_pipeline.tensorflow_cpu import tf, tfds
from input_pipeline.tokenizers import (
  PIECE_KINDS,
  SentencePieceTokenizer,
  WordTokenizer,
)

_NO_STUDY = -1
_MAX_THREADS = 16


@dataclasses.dataclass(frozen=True)
class Study:
  """One study as a model and its judges see it."""

  id: str
  report: str
  findings: list | None
  films: tuple[str | None, ...]  # paths of the original files
  labels: dict[str, str] | None  # of `Data.label_source`
  ids: list[int]
  reference: str  # in the words that scores count: what R2Gen scores against


@dataclasses.dataclass(frozen=True)
class Data:
  """A prepared data set; `train_batches` and `eval_batches` read it."""

  name: str
  label_source: str | None
  split_name: str
  tokenizer: WordTokenizer | SentencePieceTokenizer
  words: WordTokenizer  # `words.normal_form(text)` of what a model has written
  studies: dict[str, list[Study]]
  problems: list[str]  # the studies left out, one sentence each
  views: int
  image_size: int
  max_length: int
  builder: tfds.core.DatasetBuilder

  def text_of(self, ids):
    """Generated ids as the text that is scored, in words of the references."""
    return self.words.normal_form(self.tokenizer.decode(ids))


def open_data(
  folder,
  *,
  views,
  image_size,
  stored_size,
  max_length,
  min_count,
  clean,
  cache_dir,
  skip_bad,
  sections,
  view_rule,
  min_films,
  split_from,
  tokenizer,
  pieces,
  reference_length,
):
  """Opens a folder of any layout, or one that `prepare` has written.

  The films of another folder are decoded into `cache_dir` on first use.

  Args:
    folder: see `layouts.LAYOUTS` for what it may hold.
    views: films of each study that are used.
    image_size: side of the square films in a batch, in pixels.
    stored_size: short side of the stored train films, which crops are cut of.
    max_length: ids of a report, with the 0 at both ends.
    min_count: how often a word must appear in the train reports.
    clean: text cleaning, 'iu_xray' or 'mimic_cxr'.
    cache_dir: where prepared films are kept.
    skip_bad: go on without bad studies instead of raising `DataError`.
    sections: of the report, that make the text; a key of `study.SECTIONS`.
    view_rule: which films are used; see `study.VIEW_RULES`.
    min_films: studies that list fewer films are left out.
    split_from: an annotation.json whose split is taken, or None: the layout's
      own split, or 'hash-v1' where it has none.
    tokenizer: 'words', or the kind of SentencePiece, 'unigram' or 'bpe'.
    pieces: how many pieces; 0 for words.
    reference_length: words (with the 0 at both ends) to which references are
      cut: scores compare only where it is equal.
  """
  sizes = prepared.Sizes(views, stored_size, image_size)
  selection = Selection(
    sections=sections,
    views=views,
    view_rule=view_rule,
    min_films=min_films,
    split_from=split_from,
  )
  if prepared.is_prepared(folder):
    opened = prepared.open_prepared(folder)
    _check_prepared(folder, opened.info, sizes, selection)
  else:
    cache_dir = pathlib.Path(cache_dir).absolute()
    dataset = layouts.scan(folder, selection, cache_dir / prepared.UNPACKED)
    out = cache_dir / prepared.prepared_name(dataset, sizes)
    prepared.prepare(dataset, sizes, out, skip_bad)
    opened = prepared.open_prepared(out)
  reports = [study.report for study in opened.studies['train']]
  words = WordTokenizer.fit(reports, min_count, clean)
  ids_of = words
  if _needs_pieces(tokenizer, pieces):
    ids_of = SentencePieceTokenizer.fit(reports, pieces, tokenizer, clean)

  def tokenized(study):
    return Study(
      id=study.id,
      report=study.report,
      findings=study.findings,
      films=study.films,
      labels=study.labels,
      ids=ids_of.encode(study.report, max_length),
      reference=words.reference(study.report, reference_length),
    )

  return Data(
    name=opened.info['name'],
    label_source=opened.info['label_source'],
    split_name=opened.info['split_name'],
    tokenizer=ids_of,
    words=words,
    studies={
      split: [tokenized(study) for study in studies]
      for split, studies in opened.studies.items()
    },
    problems=opened.info['problems'],
    views=views,
    image_size=image_size,
    max_length=max_length,
    builder=opened.builder,
  )


def _needs_pieces(tokenizer, pieces):
  """Whether SentencePiece is asked for; ValueError if it is not clear."""
  if tokenizer != 'words' and tokenizer not in PIECE_KINDS:
    raise ValueError(
      f"tokenizer is {tokenizer!r}; expected 'words' or one of {PIECE_KINDS}."
    )
  if (tokenizer == 'words') != (pieces == 0):
    raise ValueError(
      f'tokenizer {tokenizer!r} does not go with pieces {pieces}: words have '
      f'0, the others as many as the vocabulary is to hold.'
    )
  return tokenizer != 'words'


def _check_prepared(folder, info, sizes, selection):
  """Raises DataError where a prepared folder is not what is asked for."""
  wanted = dataclasses.asdict(sizes) | {
    'sections': selection.sections,
    'view_rule': selection.view_rule,
    'min_films': selection.min_films,
  }
  others = [
    f'{name} {info[name]} (wanted: {value})'
    for name, value in wanted.items()
    if info[name] != value
  ]
  if others:
    raise DataError(
      f'{folder} was prepared with {", ".join(others)}: prepare it again, or '
      f'set these fields to what it has.'
    )


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
    data: from `open_data`.
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
  records = data.builder.as_data_source(
    split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
  )
  ids_NxT = padded_ids(data, split)
  mirrored_ids_NxT = ids_NxT
  if augmentation.flip_with_text:
    mirrored_ids_NxT = padded_ids(data, split, swap_sides)
  studies = data.studies[split]
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
        'records': records.__getitems__(take_B.tolist()),
        'draws': draws_BxIxD,
        'flip': flip_BxI,
        'ids_BxT': np.where(mask_B[:, None], ids_BxT, 0),
        'mask_B': mask_B,
        'mask_BxI': present_NxI[take_B],
        'mirrored_B': mirrored_B,
        'study_B': np.where(mask_B, take_B, _NO_STUDY).astype(np.int32),
      }

  def decode(row):
    record, draws, flip = (row.pop(k) for k in ('records', 'draws', 'flip'))
    films = decode_record(
      data, record, draws, flip, row['mask_BxI'], augmentation
    )
    return row | {'images_BxIxHxW': films}

  local = part.stop - part.start
  threads = min(len(os.sched_getaffinity(0)), _MAX_THREADS)
  batches = (
    tf.data.Dataset.from_generator(
      read,
      output_signature={
        'records': tf.TensorSpec([local], tf.string),
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
  return batches.with_options(options).as_numpy_iterator()


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
