"""Masks of attention: rules, and what is dimmed outside of them."""

import jax
import numpy as np
import pytest

from cmn_jax.models.attention_masks import (
  JET,
  THRESHOLD,
  attention_mask,
  class_gradients,
  class_maps,
  dim_outside,
  film_masks,
)


def test_gradients_are_what_differentiating_gives():
  rng = np.random.default_rng(0)
  maps = rng.standard_normal((2, 3, 3, 5)).astype(np.float32)
  kernel = rng.standard_normal((5, 4)).astype(np.float32)

  def probabilities(maps):
    return jax.nn.sigmoid(maps.mean(axis=(1, 2)) @ kernel)

  found = class_gradients(maps.mean(axis=(1, 2)) @ kernel, kernel, 9)
  for n in range(4):
    want = jax.grad(lambda x: probabilities(x)[:, n].sum())(maps)  # noqa: B023
    np.testing.assert_allclose(found[:, n], want.mean((1, 2)), rtol=1e-5)


def test_jet_leaves_out_the_faintest_and_the_peak():
  level = np.arange(256) / 255 + 1e-6
  maps = np.zeros((1, 1, 1, 256 * 5), np.float32)
  maps[0, 0, 0, ::5] = level
  found = np.asarray(attention_mask(maps, np.ones((1, 1), bool), JET))[0, 0]
  # Every level is alone within its square of five.
  assert np.flatnonzero(found[::5]).tolist() == list(range(7, 249))


def test_threshold_joins_the_classes_that_are_present():
  maps = np.zeros((1, 3, 4, 4), np.float32)
  maps[0, 0, 0, 0] = maps[0, 1, 1, 1] = maps[0, 2, 2, 2] = 1
  present = np.array([[True, False, True]])
  found = np.asarray(attention_mask(maps, present, THRESHOLD, 0.5))[0]
  assert np.argwhere(found).tolist() == [[0, 0], [2, 2]]
  with pytest.raises(ValueError, match='mask_rule'):
    attention_mask(maps, present, 'hot')


def test_nothing_present_or_seen_gives_an_empty_mask():
  maps = class_maps(np.zeros((1, 2, 2, 3)), np.ones((1, 2, 3)), (8, 8))
  for present in ([[True, True]], [[False, False]]):
    for rule in (JET, THRESHOLD):
      assert not attention_mask(maps, np.array(present), rule).any()


def test_film_masks_leave_classes_out():
  maps = np.zeros((1, 2, 2, 1), np.float32)
  maps[0, 0, 0] = 1
  logits, kernel = np.zeros((1, 2)), np.ones((1, 2), np.float32)
  options = ((8, 8), THRESHOLD, 0.5)
  some = film_masks(maps, logits, kernel, [0.4, 0.6], *options)
  none = film_masks(maps, logits, kernel, [0.4, 0.6], *options, left_out=[0])
  assert some.any() and not none.any()


def test_outside_a_mask_films_are_dimmed_as_the_authors_round():
  films = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
  inside = np.zeros((1, 16, 16), bool)
  inside[:, :8] = True
  want = np.where(inside, films, (films * 0.4).astype(np.uint8))
  np.testing.assert_array_equal(dim_outside(films, inside, 0.4), want)
  # Exactly as much as must be exceeded is too little.
  np.testing.assert_array_equal(dim_outside(films, inside, 0.5), films)
  empty = np.zeros_like(inside)
  np.testing.assert_array_equal(dim_outside(films, empty), films)
