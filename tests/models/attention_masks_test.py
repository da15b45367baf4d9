"""Masks of attention: rules, and what is dimmed outside of them."""

import jax
import numpy as np
import pytest

from cmn_jax.models.attention_masks import (
  attention_mask,
  class_gradients,
  class_maps,
  class_masks,
  dim_outside,
)
from cmn_jax.models.ekagen_names import JET, THRESHOLD


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


def test_each_class_has_its_mask_and_joined_they_are_the_films():
  rng = np.random.default_rng(0)
  maps = rng.standard_normal((2, 3, 3, 4)).astype(np.float32)
  kernel = rng.standard_normal((4, 3)).astype(np.float32)
  logits, bounds = maps.mean(axis=(1, 2)) @ kernel, [0.4, 0.3, 0.2]
  present = 1 / (1 + np.exp(-logits)) > bounds
  present[:, 1] = False
  for rule in (JET, THRESHOLD):
    found = np.asarray(
      class_masks(maps, logits, kernel, bounds, (9, 9), rule, left_out=[1])
    )
    assert found.any(axis=(2, 3)).tolist() == present.tolist()
    whole = class_maps(maps, class_gradients(logits, kernel, 9), (9, 9))
    np.testing.assert_array_equal(
      found.any(axis=1), attention_mask(whole, present, rule)
    )


@pytest.mark.parametrize('sure', [20.0, 60.0])
def test_a_class_has_a_mask_however_sure_the_classifier_is(sure):
  rng = np.random.default_rng(1)
  maps = np.abs(rng.standard_normal((1, 4, 4, 3))).astype(np.float32)
  kernel = np.ones((3, 1), np.float32)
  at_logit = [
    np.asarray(
      class_masks(maps, np.full((1, 1), x), kernel, [0.5], (16, 16), rule)
    )
    for rule in (JET, THRESHOLD)
    for x in (3.0, sure)
  ]
  for doubtful, certain in (at_logit[:2], at_logit[2:]):
    assert certain.any()
    assert (certain != doubtful).mean() < 0.01


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
