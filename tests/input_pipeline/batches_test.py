import contextlib
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from input_pipeline import batches as pipeline
from input_pipeline import images
from input_pipeline.augmentation import WHOLE
from input_pipeline.study import DataError
from tests.made import opening
from tests.made.opening import assert_same, open_folder
from tests.made.r2gen_folder import film, write_annotation, write_r2gen

CROP = dataclasses.replace(WHOLE, crop=True)
FLIP = dataclasses.replace(CROP, flip=True)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('data')
  write_r2gen(folder)
  return folder


@pytest.fixture(scope='module')
def cache_dir(tmp_path_factory):
  return tmp_path_factory.mktemp('cache')


@pytest.fixture(scope='module')
def data(folder, cache_dir):
  return open_folder(folder, cache_dir)


def train(data, count, augmentation=CROP, **options):
  """The next `count` train batches."""
  return opening.train(data, count, augmentation, **options)


def seen(batches):
  """The studies of real examples, in order."""
  return [int(s) for b in batches for s in b['study_B'][b['mask_B']]]


def _open_shards():
  """Links to prepared records among this process's open files."""
  links = []
  for file in Path('/proc/self/fd').iterdir():
    with contextlib.suppress(OSError):
      links.append(os.readlink(file))
  return sorted(link for link in links if 'array_record' in link)


@pytest.mark.skipif(sys.platform != 'linux', reason='of /proc')
def test_reading_a_split_again_opens_no_more_files(data):
  def read():
    return list(pipeline.eval_batches(data, 'val', batch_size=2))

  first = read()
  before = _open_shards()
  assert before
  for _ in range(3):
    assert_same(read(), first)
  assert _open_shards() == before


def test_studies_have_ids_and_references(data):
  study = data.studies['val'][1]
  assert study.id == 'val-1'
  ids = data.tokenizer.encode(study.report, 12)
  assert data.ids['val'][1].tolist() == ids + [0] * (12 - len(ids))
  assert data.tokenizer.vocabulary == len(data.words.words) + 1
  assert study.reference == data.tokenizer.reference(study.report, 12)
  assert len(study.films) == 2
  assert data.problems == []
  train_words = ' '.join(s.report for s in data.studies['train']).lower()
  for word in data.tokenizer.words:
    assert word in train_words or word == '<unk>'


def test_shapes_and_types_are_always_the_same(data):
  batches = train(data, 4)
  for split in data.studies:
    batches += pipeline.eval_batches(data, split, batch_size=4)
  for batch in batches:
    assert {k: (v.shape, v.dtype.name) for k, v in batch.items()} == {
      'images_BxIxHxW': ((4, 2, 16, 16), 'uint8'),
      'ids_BxT': ((4, 12), 'int32'),
      'box_BxIx4': ((4, 2, 4), 'float32'),
      'flip_BxI': ((4, 2), 'bool'),
      'mask_B': ((4,), 'bool'),
      'mask_BxI': ((4, 2), 'bool'),
      'mirrored_B': ((4,), 'bool'),
      'study_B': ((4,), 'int32'),
    }


@pytest.mark.parametrize('batch_size', [1, 4, 16])
def test_an_epoch_shows_every_study_once(data, batch_size):
  steps = pipeline.steps_per_epoch(data, 'train', batch_size)
  batches = train(data, 2 * steps, batch_size=batch_size)
  epochs = [seen(batches[:steps]), seen(batches[steps:])]
  assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 2
  assert epochs[0] != epochs[1]


def test_rows_carry_the_words_of_their_study(data):
  for batch in train(data, 6):
    for row, ids in enumerate(batch['ids_BxT']):
      if batch['mask_B'][row]:
        expected = data.ids['train'][batch['study_B'][row]]
        np.testing.assert_array_equal(ids, expected)


def test_padding_is_masked_and_shows_real_films(data):
  batch = train(data, 3)[-1]
  assert batch['mask_B'].tolist() == [True, True, False, False]
  assert batch['study_B'][2:].tolist() == [-1, -1]
  assert not batch['ids_BxT'][2:].any()
  assert batch['images_BxIxHxW'][2:].std(axis=(2, 3)).min() > 1


@pytest.mark.parametrize('first_step', [2, 3, 8])
def test_starting_later_gives_the_same_batches(data, first_step):
  whole = train(data, 12, augmentation=FLIP)
  later = train(
    data,
    12 - first_step,
    augmentation=FLIP,
    first_step=first_step,
  )
  assert_same(whole[first_step:], later)


def test_a_far_step_is_reached_at_once(data):
  far = 3_000_001  # 3 steps make an epoch
  (batch,) = train(data, 1, first_step=far)
  assert len(set(seen([batch]))) == 4


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_processes_share_each_evaluation_batch(data, split):
  parts = [
    pipeline.eval_batches(
      data, split, batch_size=4, process_index=index, process_count=2
    )
    for index in range(2)
  ]
  assert_same(
    opening.joined(parts), pipeline.eval_batches(data, split, batch_size=4)
  )


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
@pytest.mark.parametrize('batch_size', [1, 3, 7])
def test_evaluation_shows_every_study_in_order(data, split, batch_size):
  batches = list(pipeline.eval_batches(data, split, batch_size=batch_size))
  for batch in batches:
    assert (batch['box_BxIx4'] == [0, 0, 1, 1]).all()
    assert not batch['flip_BxI'].any()
  assert len(batches) == pipeline.steps_per_epoch(data, split, batch_size)
  assert seen(batches) == list(range(len(data.studies[split])))


def test_evaluation_films_are_the_originals_resized_once(data):
  (batch,) = pipeline.eval_batches(data, 'test', batch_size=4)
  for study, films_IxHxW in enumerate(batch['images_BxIxHxW']):
    for view in range(2):
      original = film([len('test'), study, view])
      expected = images.resize_square(original, 16)
      np.testing.assert_array_equal(films_IxHxW[view], expected)


def test_train_films_in_evaluation_are_whole(data):
  (batch,) = pipeline.eval_batches(data, 'train', batch_size=10)
  for study, films_IxHxW in enumerate(batch['images_BxIxHxW']):
    original = film([len('train'), study, 0])
    stored = images.resize_short_side(original, 24)
    expected = images.resize_square(stored, 16).astype(int)
    np.testing.assert_allclose(films_IxHxW[0], expected, atol=2)


def test_without_crop_training_sees_whole_films_too(data):
  (batch,) = train(data, 1, batch_size=10, augmentation=WHOLE)
  (ordered,) = pipeline.eval_batches(data, 'train', batch_size=10)
  np.testing.assert_array_equal(
    batch['images_BxIxHxW'], ordered['images_BxIxHxW'][batch['study_B']]
  )


def test_crops_are_cut_everywhere_and_for_each_view_apart(data):
  cuts = []  # for each film (top, left) as fractions of the way
  for batch in train(data, 40, batch_size=10):
    for row, study in enumerate(batch['study_B']):
      for view, (top, left, bottom, right) in enumerate(
        batch['box_BxIx4'][row]
      ):
        whole = images.resize_short_side(film([5, study, view]), 24)
        height, width = whole.shape
        top, bottom = round(top * height), round(bottom * height)
        left, right = round(left * width), round(right * width)
        np.testing.assert_array_equal(
          batch['images_BxIxHxW'][row, view], whole[top:bottom, left:right]
        )
        cuts.append((top / (height - 16), left / (width - 16)))
  cuts = np.array(cuts).reshape(-1, 2, 2)
  assert cuts.min(axis=(0, 1)).tolist() == [0, 0]
  assert cuts.max(axis=(0, 1)).tolist() == [1, 1]
  of_axes_and_views = np.corrcoef(cuts.reshape(-1, 4).T)
  assert np.abs(of_axes_and_views - np.eye(4)).max() < 0.25


def test_flips_mirror_half_of_the_films(data):
  flipped = 0
  plain = train(data, 20, batch_size=10)
  mirrored = train(data, 20, batch_size=10, augmentation=FLIP)
  for one, other in zip(plain, mirrored, strict=True):
    expected = np.where(
      other['flip_BxI'][..., None, None],
      one['images_BxIxHxW'][..., ::-1],
      one['images_BxIxHxW'],
    )
    np.testing.assert_array_equal(other['images_BxIxHxW'], expected)
    np.testing.assert_array_equal(other['box_BxIx4'], one['box_BxIx4'])
    assert not one['flip_BxI'].any()
    flipped += other['flip_BxI'].sum()
  assert 150 < flipped < 250  # of 400


@pytest.mark.parametrize('kind', ['unigram', 'bpe'])
def test_pieces_instead_of_words(data, folder, cache_dir, kind):
  other = open_folder(
    folder,
    cache_dir,
    tokenizer=kind,
    pieces=30,
    max_length=40,
  )
  assert other.tokenizer.kind == kind
  assert other.words.words == data.tokenizer.words
  (batch,) = pipeline.eval_batches(other, 'val', batch_size=3)
  assert batch['ids_BxT'].shape == (3, 40)
  for study, same, ids in zip(
    other.studies['val'], data.studies['val'], batch['ids_BxT'], strict=True
  ):
    assert study.reference == same.reference
    written = other.tokenizer.decode(ids[1:])
    words = other.words.normal_form(written).split()
    assert study.reference == ' '.join(words[:11])


def test_pieces_are_learnt_from_train_alone(tmp_path):
  annotation = write_r2gen(tmp_path / 'data')
  options = {'tokenizer': 'bpe', 'pieces': 30}
  data = open_folder(tmp_path / 'data', tmp_path / 'cache', **options)
  for split in ('val', 'test'):
    annotation[split][0]['report'] = 'Something else, which nobody has seen.'
  write_annotation(tmp_path / 'data', annotation)
  other = open_folder(tmp_path / 'data', tmp_path / 'cache', **options)
  assert other.tokenizer.to_json() == data.tokenizer.to_json()
  annotation['train'][0]['report'] = 'Something else, which nobody has seen.'
  write_annotation(tmp_path / 'data', annotation)
  other = open_folder(tmp_path / 'data', tmp_path / 'cache', **options)
  assert other.tokenizer.to_json() != data.tokenizer.to_json()


def test_bad_studies_are_skipped_in_studies_and_films(tmp_path):
  folder = tmp_path / 'data'
  write_r2gen(folder)
  (folder / 'images' / 'test-1' / '0.png').write_bytes(b'no film')
  with pytest.raises(DataError, match='test/test-1'):
    open_folder(folder, tmp_path / 'cache')
  data = open_folder(folder, tmp_path / 'cache', skip_bad=True)
  assert [s.id for s in data.studies['test']] == ['test-0', 'test-2', 'test-3']
  assert len(data.problems) == 1
  (batch,) = pipeline.eval_batches(data, 'test', batch_size=4)
  expected = images.resize_square(film([len('test'), 2, 0]), 16)
  np.testing.assert_array_equal(batch['images_BxIxHxW'][1, 0], expected)


def test_tensorflow_is_quiet_and_sees_no_gpu():
  code = (
    'from input_pipeline.tensorflow_cpu import tf; tf.constant(1) + 1; '
    'assert not tf.config.get_visible_devices("GPU")'
  )
  done = subprocess.run(
    [sys.executable, '-c', code], check=True, capture_output=True, text=True
  )
  assert done.stdout + done.stderr == ''
