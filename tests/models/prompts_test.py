"""Findings as prompts: who states them, and what the decoder sees of them."""

import jax
import numpy as np
import pytest

from cmn_jax.decoding.generate import attention_of_words
from cmn_jax.models.film_features import (
  Opinion,
  OpinionConfig,
  feature_sizes,
  pooled_films,
  standardise,
  stated,
)
from cmn_jax.models.images import Encoded
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.tasks.opinion import feature_scale, fit_opinion
from tests.made import small

ENCODER = small.add_tiny_encoder()
SIZES = feature_sizes(ENCODER, 4, small.VIEWS, small.SIZE)
STATING = OpinionConfig(sum(SIZES), 3, stated_above=0.3, study_above=0.6)


@pytest.fixture(scope='module')
def prompted():
  model = ReportGenerator(small.tiny(opinion=STATING))
  return model, small.variables(model, views=small.VIEWS)


def _encoded(model, variables, images, stated_BxG, train=False):
  """Patches and mask of maps that are given, with these prompts."""

  def encode(module, images):
    mask_BxI = np.ones(images.shape[:2], bool)
    maps = module.visual_encoder(images, mask_BxI, False)
    given = Encoded(maps, stated_BxG)
    return module.encode(given, np.ones(len(maps), bool), train, mask_BxI)

  rngs = {'dropout': jax.random.key(1)}
  return jax.jit(lambda v, x: model.apply(v, x, method=encode, rngs=rngs))(
    variables, images
  )


def test_a_finding_is_stated_in_a_study_that_is_sure_of_any():
  p = np.array([[0.31, 0.7, 0.29], [0.31, 0.59, 0.5], [0.0, 0.61, 0.0]])
  assert np.asarray(stated(p, STATING)).tolist() == [
    [True, True, False],
    [False] * 3,
    [False, True, False],
  ]


def test_each_map_and_pooling_counts_alike():
  sizes = [2, 6]
  pooled = np.random.default_rng(0).normal(3, 2, (50, 8))
  scale = feature_scale(pooled, sizes)
  np.testing.assert_allclose(
    [(scale['weight'][part] ** 2).sum() for part in (slice(2), slice(2, 8))],
    0.5,
  )
  np.testing.assert_allclose(scale['centre'], pooled.mean(0))


def test_a_fitted_opinion_finds_what_features_show():
  rng = np.random.default_rng(0)
  labels_SxC = (rng.random((200, 3)) < 0.3).astype(np.float32)
  pooled_SxD = rng.normal(size=(200, sum(SIZES))).astype(np.float32)
  pooled_SxD[:, :3] += 8 * labels_SxC
  fitted = fit_opinion(pooled_SxD, labels_SxC, SIZES, l2=1e-5)
  said = Opinion(STATING).apply({'params': fitted}, pooled_SxD)
  np.testing.assert_array_equal(said, labels_SxC > 0)


def test_films_alone_give_the_opinion_of_their_pooled_maps(prompted):
  model, variables = prompted
  images, mask_B = small.images(4), np.ones(4, bool)
  mask_BxI = np.ones((4, small.VIEWS), bool)

  @jax.jit
  def pooled(images, mask_BxI):
    return model.apply(
      variables,
      images,
      method=lambda m, x: pooled_films(m.visual_encoder, x, mask_B, mask_BxI),
    )

  rng = np.random.default_rng(0)
  opinion = {
    **feature_scale(np.asarray(pooled(images, mask_BxI)), SIZES),
    'findings': 20 * rng.normal(size=(sum(SIZES), 3)),
    'findings_bias': np.zeros(3),
  }
  params = {**variables['params'], 'opinion': opinion}
  variables = {**variables, 'params': params}
  said = Opinion(STATING).apply({'params': opinion}, pooled(images, mask_BxI))
  assert 0 < np.mean(said) < 1
  patches, mask = jax.jit(
    lambda v, x: model.apply(v, x, mask_B, method='encode')
  )(variables, images)
  given, given_mask = _encoded(model, variables, images, said)
  np.testing.assert_allclose(patches, given, atol=1e-5)
  np.testing.assert_array_equal(mask, given_mask)
  # An image that a study does not have says what the mean of them does.
  seen = pooled(images, mask_BxI)
  one = pooled(images, mask_BxI & np.array([True, False]))
  missing = np.isnan(one)
  assert (missing.mean(axis=0) % 1 == 0).all() and missing.mean() == 0.5
  np.testing.assert_array_equal(one[~missing], seen[~missing])
  scale = [opinion[name] for name in ('centre', 'deviation', 'weight')]
  np.testing.assert_array_equal(standardise(one, *scale)[missing], 0)
  np.testing.assert_array_equal(
    Opinion(STATING).apply({'params': opinion}, one),
    Opinion(STATING).apply(
      {'params': opinion}, np.where(missing, opinion['centre'], one)
    ),
  )


def test_prompts_are_tokens_behind_the_patches(prompted):
  model, variables = prompted
  images = small.images(2)
  said = np.array([[True, False, True], [False, False, True]])
  patches, mask = _encoded(model, variables, images, said)
  absent, present = variables['params']['prompt_embed']
  np.testing.assert_allclose(
    patches[:, -3:], np.where(said[..., None], present, absent)
  )
  assert mask.all() and mask.shape[-1] == patches.shape[1]
  # In training some are hidden, patches never.
  wide = small.images(64, size=32)
  _, mask = _encoded(model, variables, wide, np.ones((64, 3), bool), True)
  assert mask[..., :-3].all() and 0.75 < mask[..., -3:].mean() < 0.99


def test_decoding_step_by_step_sees_them_too(prompted):
  model, variables = prompted
  images = small.images(2)
  ids = np.random.default_rng(0).integers(1, 30, (2, 10))
  ids[:, 0] = 0
  patches, mask = _encoded(
    model, variables, images, np.array([[True] * 3, [False] * 3])
  )
  full = jax.jit(lambda v, *x: model.apply(v, *x, method='decode'))(
    variables, ids[:, :-1], patches, mask
  )
  shared, cache = jax.jit(
    lambda v, *x: model.apply(v, *x, 1, method='start_decoding')
  )(variables, patches, mask)
  step = jax.jit(lambda v, *x: model.apply(v, *x, method='decode_step'))
  for t in range(4):
    row, cache, seen = step(variables, ids[:, t : t + 1], t, cache, shared)
    np.testing.assert_allclose(row[:, 0], full[:, t], atol=3e-5)
  # What a word looks at is patches; the rest of it went to prompts.
  assert seen.shape[-1] == patches.shape[1] - 3
  assert (seen.sum(-1) < 1).all()
  look = jax.jit(attention_of_words(model))(variables, images, ids)
  assert look.shape[-1] == seen.shape[-1]
