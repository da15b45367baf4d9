"""Masks in files: what a known classifier gives, and files for other films."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from ml_collections import ConfigDict

from cmn_jax.models.ekagen_films import unpacked
from cmn_jax.tasks import mask_files
from cmn_jax.tasks.diagnosis import at_size
from input_pipeline.errors import UserError
from input_pipeline.images import resize_square
from input_pipeline.study import SPLITS

SIZE = 10
META = {
  'task': 'diagnose',
  'diagnosis': {
    'classes': ['edema', 'mass'],
    'thresholds': [0.5, 0.5],
    'shift_last_stage': False,
  },
  'config': {
    'model': {'encoder': 'resnet18', 'encoder_width': 4, 'dtype': 'float32'},
    'data': {'image_size': SIZE},
  },
}


@pytest.fixture
def data(tmp_path):
  """Three studies a split; of each the films' paths are enough."""
  images = tmp_path / 'images'
  studies = {
    split: [
      SimpleNamespace(
        id=f'{split}-{n}', films=(str(images / f'{split}-{n}' / '0.png'),)
      )
      for n in range(3)
    ]
    for split in SPLITS
  }
  return SimpleNamespace(studies=studies, image_size=SIZE, name='iu_xray')


@pytest.fixture
def masks(monkeypatch):
  """What the locator gives: masks (S, H, W) of odd width."""
  masks = np.zeros((3, SIZE, SIZE), bool)
  masks[0, :5] = masks[1, 2, 9] = True

  def packed(*_):
    return {
      'packed': np.packbits(masks, axis=-1),
      'cover': np.array([[0.5, 0], [0, 0.01], [0, 0]]),
      'said': np.array([[True, False], [False, True], [True, False]]),
    }

  monkeypatch.setattr(mask_files, 'packed_masks', packed)
  return masks


def _write(data, tmp_path, **options):
  locator = SimpleNamespace(meta=META, fingerprint='0' * 64, origin='x')
  config = ConfigDict({'data': {'dir': str(tmp_path)}})
  return mask_files.write_masks(
    locator, config, data, tmp_path / 'masks', **options
  )


def test_masks_come_back_and_stand_in_their_form_too(data, masks, tmp_path):
  lines = _write(data, tmp_path, npy=True)
  assert 'val: 2 of 3 films have a mask, of 26 % of the film' in lines
  assert any(line.split() == 'edema 2 films 25.0 %'.split() for line in lines)
  for split in SPLITS:
    packed = mask_files.read_masks(tmp_path / 'masks', data, split)
    np.testing.assert_array_equal(unpacked(packed, SIZE), masks)
    np.testing.assert_array_equal(unpacked(packed[[1]], SIZE), masks[[1]])
  theirs = tmp_path / 'masks' / f'images{SIZE}_array' / 'val-1' / '0.npy'
  np.testing.assert_array_equal(np.load(theirs), masks[1])


def _with(path, about: str) -> bytes:
  """A file of masks that says something else of them."""
  with np.load(path) as file:
    arrays = {**file, 'about': about}
  out = io.BytesIO()
  np.savez(out, **arrays)
  return out.getvalue()


def test_what_does_not_fit_is_told_in_one_sentence(data, masks, tmp_path):
  _write(data, tmp_path)

  def refused(says, **changes):
    other = SimpleNamespace(**{**vars(data), **changes})
    with pytest.raises(UserError, match=says) as error:
      mask_files.read_masks(tmp_path / 'masks', other, 'val')
    assert '\n' not in str(error.value)

  refused('holds masks of 10 pixels, data.image_size is 12', image_size=12)
  fewer = {**data.studies, 'val': data.studies['val'][:2]}
  refused('of 3 studies, the data have 2, of which 2', studies=fewer)
  turned = {**data.studies, 'val': data.studies['val'][::-1]}
  refused('the order is another', studies=turned)
  path = tmp_path / 'masks' / 'val.npz'
  whole = path.read_bytes()
  for damaged in (b'PK', b'', whole[: len(whole) // 2], _with(path, '[1]')):
    path.write_bytes(damaged)
    refused('val.npz cannot be read')
  with pytest.raises(UserError, match='choose from jet, threshold'):
    _write(data, tmp_path, rule='hot')


def test_films_are_resized_as_pillow_does():
  rng = np.random.default_rng(0)
  rough = rng.integers(0, 256, (2, 30, 30), np.uint8)
  for size in (22, 45):
    found = np.asarray(at_size(rough, size)).astype(int)
    wanted = np.stack([resize_square(film, size) for film in rough])
    assert np.abs(found - wanted).max() <= 1
