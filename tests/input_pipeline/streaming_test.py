"""Films read from their files each time: the batches of prepared ones."""

import dataclasses
import shutil
import time

import numpy as np
import pytest

from input_pipeline import batches as pipeline
from input_pipeline import images
from input_pipeline.augmentation import WHOLE
from input_pipeline.study import DataError
from tests.made import small_layouts
from tests.made.forbidden import forbid
from tests.made.opening import assert_same, open_folder, train
from tests.made.r2gen_folder import write_annotation, write_r2gen

ALL = dataclasses.replace(
  WHOLE, crop=True, crop_margin=0.1, flip_with_text=True, rotate=5.0
)
CROP = dataclasses.replace(WHOLE, crop=True)
ONE_FILM = {'views': 1, 'min_films': 1, 'min_count': 1}


@pytest.fixture
def folder(tmp_path):
  write_r2gen(tmp_path / 'data')
  return tmp_path / 'data'


def stream(folder, **changes):
  """Opens it for streaming: nothing is written."""
  cache = folder.parent / 'none'
  data = open_folder(folder, cache, stream=True, **changes)
  assert not cache.exists()
  return data


def evaluated(data):
  return [
    batch
    for split in data.studies
    for batch in pipeline.eval_batches(data, split, batch_size=4)
  ]


@pytest.mark.parametrize('recipe', [WHOLE, CROP, ALL])
def test_streamed_batches_are_the_prepared_ones(folder, tmp_path, recipe):
  annotation = write_r2gen(tmp_path / 'other')
  annotation['train'][1]['image_path'].pop()  # a study with one film
  shutil.rmtree(folder)
  (tmp_path / 'other').rename(folder)
  write_annotation(folder, annotation)
  prepared = open_folder(folder, tmp_path / 'cache', min_films=1)
  streamed = stream(folder, min_films=1)
  assert streamed.words.words == prepared.words.words
  assert_same(train(streamed, 7, recipe), train(prepared, 7, recipe))
  assert_same(
    train(streamed, 3, recipe, first_step=4),
    train(prepared, 7, recipe)[4:],
  )
  assert_same(evaluated(streamed), evaluated(prepared))


def test_mimic_cxr_streamed_and_prepared_and_its_reports(tmp_path):
  small_layouts.write_mimic(tmp_path / 'mimic')
  options = ONE_FILM | {'view_rule': 'frontal', 'clean': 'mimic_cxr'}
  prepared = open_folder(tmp_path / 'mimic', tmp_path / 'cache', **options)
  streamed = stream(tmp_path / 'mimic', **options)
  assert streamed.name == 'mimic_cxr'
  batches = train(streamed, 4, CROP, batch_size=2)
  assert_same(batches, train(prepared, 4, CROP, batch_size=2))
  assert_same(evaluated(streamed), evaluated(prepared))
  for batch in batches:
    assert batch['images_BxIxHxW'].shape == (2, 1, 16, 16)
    assert batch['images_BxIxHxW'].std() > 5


def test_opening_reads_no_film_and_batches_few(folder, monkeypatch):
  decoded = []

  def counted(path, read=images.read_film):
    decoded.append(path)
    return read(path)

  monkeypatch.setattr(images, 'read_film', counted)
  data = stream(folder)
  assert decoded == []
  batches = pipeline.train_batches(
    data, batch_size=1, seed=1, augmentation=CROP
  )
  next(batches)
  time.sleep(0.5)  # it reads on, but only a few batches ahead
  assert 2 <= len(decoded) <= 2 * 40
  ahead = len(decoded)
  time.sleep(0.5)
  assert len(decoded) == ahead


@pytest.mark.parametrize('split', ['train', 'test'])
def test_a_bad_film_is_named_with_its_study(folder, split):
  path = folder / 'images' / f'{split}-2' / '1.png'
  path.write_bytes(path.read_bytes()[:300])
  data = stream(folder)
  with pytest.raises(DataError) as caught:
    list(pipeline.eval_batches(data, split, batch_size=4))
  message = str(caught.value)
  assert message.startswith(f'{split}/{split}-2: {path}: damaged or cut short')
  assert 'Repair it' in message and '\n' not in message
  if split == 'train':
    with pytest.raises(DataError, match=r'--config\.data\.skip_bad=True'):
      train(data, 6, CROP)
  else:
    train(data, 6, CROP)
    # Scores are of every study: it cannot be skipped.
    data = stream(folder, skip_bad=True)
    with pytest.raises(DataError, match='scores are of every study'):
      list(pipeline.eval_batches(data, split, batch_size=4))


@pytest.mark.parametrize(
  'fault', ['neither PNG nor JPEG nor DICOM', 'Permission denied']
)
def test_a_bad_training_study_is_skipped_by_its_mask(
  folder, capsys, monkeypatch, fault
):
  good = train(stream(folder), 6, CROP)
  path = folder / 'images' / 'train-2' / '1.png'
  path.write_text('no film at all')
  if fault == 'Permission denied':
    forbid(monkeypatch, path)
  data = stream(folder, skip_bad=True)
  masked = 0
  for batch, before in zip(train(data, 6, CROP), good, strict=True):
    bad_B = before['study_B'] == 2
    masked += bad_B.sum()
    np.testing.assert_array_equal(batch['mask_B'], before['mask_B'] & ~bad_B)
    assert (batch['study_B'][bad_B] == -1).all()
    for name in ('ids_BxT', 'mask_BxI', 'images_BxIxHxW'):
      assert not batch[name][bad_B].any()
    for name in batch:
      np.testing.assert_array_equal(batch[name][~bad_B], before[name][~bad_B])
  assert masked == 2
  warned = capsys.readouterr().err
  assert warned.count('train/train-2: ') == 1
  assert fault in warned


def test_missing_films_are_listed_before_anything_is_read(folder):
  (folder / 'images' / 'val-1' / '0.png').unlink()
  (folder / 'images' / 'train-4' / '1.png').unlink()
  with pytest.raises(DataError, match='2 bad studies') as caught:
    stream(folder)
  assert 'val/val-1: no such file' in str(caught.value)
  data = stream(folder, skip_bad=True)
  assert [s.id for s in data.studies['val']] == ['val-0', 'val-2']
  assert len(train(data, 3, CROP)) == 3


def test_a_prepared_folder_is_not_streamed(folder, tmp_path):
  open_folder(folder, tmp_path / 'cache')
  (out,) = (tmp_path / 'cache').glob('data_*')
  with pytest.raises(DataError, match=r'set data\.stream=False'):
    stream(out)
