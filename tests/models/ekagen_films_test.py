"""Masks follow their films, and each film is drawn anew."""

import jax
import numpy as np
import pytest

from cmn_jax.models.ekagen_films import cut_masks, dim_first, redrawn
from input_pipeline.augmentation import DRAWS, augment_film
from input_pipeline.config import Augmentation
from input_pipeline.tensorflow_cpu import tf

SIZE, STORED = 32, 40


@pytest.mark.parametrize(
  'changes',
  [
    {},
    {'crop': True},
    {'crop': True, 'crop_margin': 0.3},
    {'crop': True, 'flip': True},
  ],
)
def test_masks_are_cut_as_the_pipeline_cuts_films(changes):
  """A film that is its own mask, of blocks that survive a resize."""
  rng = np.random.default_rng(0)
  blocks = rng.random((4, 4)) < 0.5
  film = np.kron(blocks, np.ones((STORED // 4, STORED // 4))) > 0
  mask = np.kron(blocks, np.ones((SIZE // 4, SIZE // 4))) > 0
  for seed in range(5):
    draws = np.random.default_rng(seed).random(DRAWS)
    flip = bool(seed % 2) and bool(changes.get('flip'))
    cut, box = augment_film(
      tf.constant(255 * film.astype(np.uint8)),
      SIZE,
      tf.constant(draws),
      tf.constant(flip),
      Augmentation(**changes),
    )
    ours = cut_masks(mask[None], box.numpy()[None], np.array([flip]))
    differing = np.mean(np.asarray(ours[0]) != (cut.numpy() > 127))
    assert differing < 0.06  # at the blocks' edges


def test_the_first_film_that_is_there_is_dimmed():
  films = np.full((3, 2, 4, 4), 100, np.uint8)
  there = np.array([[True, True], [False, True], [True, False]])
  masks = np.zeros((3, 4, 4), bool)
  masks[:, :2] = True
  dimmed = np.asarray(dim_first(films, there, masks, 0.0))
  assert dimmed.dtype == np.uint8 and (dimmed[:, :, :2] == 100).all()
  below = dimmed[:, :, 2:].max(axis=(2, 3))
  assert below.tolist() == [[40, 100], [100, 40], [40, 100]]
  one = dim_first(films[:, :1], there[:, :1], masks, 0.0)
  assert np.asarray(one)[:, 0, 2:].max() == 40


def test_whole_films_keep_their_masks():
  mask = np.random.default_rng(1).random((2, SIZE, SIZE)) < 0.5
  whole = np.array([[0, 0, 1, 1]] * 2, np.float32)
  ours = cut_masks(mask, whole, np.zeros(2, bool))
  np.testing.assert_array_equal(ours, mask)


def _drawn(films, **on):
  off = dict.fromkeys(('quarter_turns', 'flip', 'light'), False)
  return np.asarray(redrawn(jax.random.key(0), films, **{**off, **on}))


def test_films_are_turned_and_mirrored_each_by_itself():
  film = np.arange(9, dtype=np.uint8).reshape(3, 3)
  films = np.broadcast_to(film, (40, 2, 3, 3))
  np.testing.assert_array_equal(_drawn(films), films)
  turned = {x.tobytes() for x in _drawn(films, quarter_turns=True)[:, 0]}
  assert turned == {np.rot90(film, n).tobytes() for n in range(4)}
  flipped = _drawn(films, flip=True).reshape(-1, 3, 3)
  assert {x.tobytes() for x in flipped} == {
    film.tobytes(),
    film[:, ::-1].tobytes(),
  }


def test_light_stays_within_its_bounds():
  films = np.full((200, 1, 2, 2), 100, np.uint8)
  lit = _drawn(films, light=True)
  # A film of one grey has no contrast to change.
  assert 50 <= lit.min() < 60 and 120 < lit.max() <= 130
  films[:, :, 0] = 60
  lit = _drawn(films, light=True).astype(int)
  steep = lit[:, 0, 1, 0] - lit[:, 0, 0, 0]
  assert 40 * 0.5 * 0.8 - 1 <= steep.min() < steep.max() <= 40 * 1.3 * 1.5 + 1
