"""EKAGen's captioner: its cache, its stop, what is frozen, and its sizes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cmn_jax.decoding.ekagen import make_writer
from cmn_jax.interop.ekagen import (
  captioner_rows,
  captioner_variables,
  to_captioner,
)
from cmn_jax.interop.names import ConversionError
from cmn_jax.models.ekagen import (
  END,
  START,
  Captioner,
  CaptionerShape,
  trained_params,
)
from cmn_jax.models.images import Encoded
from tests.made import small

STUDIES, SIZE = 3, 64


def _shape(**changes) -> CaptionerShape:
  fields = {
    'vocabulary': 30,
    'encoder': small.add_tiny_encoder(),
    'encoder_width': 4,
    'width': 16,
    'heads': 4,
    'hidden': 20,
    'word_hidden': 24,
    'layers': 1,
    'dropout': 0.0,
    'max_length': 10,
  }
  return CaptionerShape(**{**fields, **changes})


def _drawn(shape: CaptionerShape, seed: int = 0):
  """A model and random variables, in which biases matter."""
  model = Captioner(shape)
  rng = np.random.default_rng(seed)

  def draw(x):
    return 0.4 * rng.standard_normal(x.shape).astype(np.float32)

  start = captioner_variables(model)
  stats = jax.tree.map(lambda x: np.ones(x.shape, np.float32), start)
  variables = {'params': jax.tree.map(draw, start['params'])}
  variables['batch_stats'] = stats['batch_stats']
  films = small.images(STUDIES, seed, SIZE, 1)
  size = (STUDIES, shape.max_length, shape.width)
  knowledge = rng.standard_normal(size).astype(np.float32)
  return model, variables, films, knowledge


def _apply(model, variables, films, ids, knowledge, mask_BxI=None):
  """Log-probabilities of a full pass."""
  mask_B = np.ones(STUDIES, bool)

  def full(variables, films, ids, knowledge):
    return model.apply(
      variables, films, ids, mask_B, False, mask_BxI, knowledge
    )

  return jax.jit(full)(variables, films, ids, knowledge)


@pytest.mark.parametrize(('beams', 'attended'), [(1, False), (3, True)])
def test_written_reports_have_the_probability_that_a_full_pass_gives(
  beams, attended
):
  shape = _shape(layers=2, attend_knowledge=attended)
  model, variables, films, knowledge = _drawn(shape)
  mask_B = np.ones(STUDIES, bool)
  write = jax.jit(make_writer(model, beams, 9))
  ids, sums = write(variables, films, mask_B, None, knowledge)
  ids = np.asarray(ids)
  framed = np.pad(ids, ((0, 0), (1, 1)))
  framed[:, 0] = START
  log_probs = _apply(model, variables, films, framed, knowledge)
  picked = np.take_along_axis(
    np.asarray(log_probs)[:, :-1], ids[..., None], axis=2
  )[..., 0]
  length_B = np.where(
    (ids == END).any(1), (ids == END).argmax(1) + 1, ids.shape[1]
  )
  real = np.arange(ids.shape[1]) < length_B[:, None]
  np.testing.assert_allclose(sums, (picked * real).sum(1), atol=1e-4)
  assert not ids[~real].any()


def test_more_beams_find_nothing_worse():
  model, variables, films, knowledge = _drawn(_shape())
  mask_B = np.ones(STUDIES, bool)
  sums = [
    jax.jit(make_writer(model, beams, 9))(
      variables, films, mask_B, None, knowledge
    )[1]
    for beams in (1, 4)
  ]
  assert np.all(np.asarray(sums[1]) >= np.asarray(sums[0]) - 1e-5)


def test_knowledge_of_another_study_changes_what_is_written():
  model, variables, films, knowledge = _drawn(_shape())
  ids = np.ones((STUDIES, 11), np.int32)
  here, there = (
    _apply(model, variables, films, ids, k)
    for k in (knowledge, knowledge[::-1])
  )
  assert np.abs(np.asarray(here - there)).max() > 0.1


@pytest.mark.parametrize('attended', [False, True])
def test_a_word_sees_later_knowledge_where_it_is_attended(attended):
  model, variables, films, knowledge = _drawn(_shape(attend_knowledge=attended))
  ids = np.ones((STUDIES, 11), np.int32)
  other = knowledge.copy()
  other[:, 5:] = 1
  here, there = (
    np.asarray(_apply(model, variables, films, ids, k))
    for k in (knowledge, other)
  )
  assert np.any(here[:, 5:] != there[:, 5:])
  assert np.any(here[:, :5] != there[:, :5]) == attended


@pytest.mark.parametrize('placed', [False, True])
def test_placed_tokens_tell_equal_patches_apart(placed):
  model, variables, *_ = _drawn(_shape(layers=2, placed_tokens=placed))
  maps = np.ones((STUDIES, 1, 4, 4, 8), np.float32)
  shown = Encoded(np.random.default_rng(0).normal(size=8) * maps)
  variables['params']['patch_embed']['kernel'] = np.ones((8, 16), np.float32)
  tokens_BxPxD = model.apply(
    variables, shown, np.ones(STUDIES, bool), method='encode'
  ).tokens_BxPxD
  spread_B = np.ptp(tokens_BxPxD, axis=1).max(axis=1)
  assert np.all(spread_B > 0.1) if placed else np.all(spread_B < 1e-5)


@pytest.mark.parametrize('name', ['attend_knowledge', 'placed_tokens'])
def test_fields_of_ours_are_refused_for_the_authors_files(name):
  with pytest.raises(ConversionError, match=name):
    to_captioner(_shape(encoder='resnet18', **{name: True}), {})


def test_a_first_teacher_has_no_knowledge():
  model, variables, films, _ = _drawn(_shape(knowledge=False))
  mask_B = np.ones(STUDIES, bool)
  ids, _ = jax.jit(make_writer(model, 2, 9))(variables, films, mask_B)
  assert ids.shape == (STUDIES, 9)
  assert not [k for k in variables['params'] if 'fuse' in str(k)]


def test_knowledge_is_asked_for():
  model, variables, films, _ = _drawn(_shape())
  with pytest.raises(ValueError, match='none was given'):
    model.apply(
      variables,
      films,
      np.ones((STUDIES, 11), np.int32),
      np.ones(STUDIES, bool),
      False,
    )


def test_an_absent_film_changes_nothing():
  model, variables, films, knowledge = _drawn(_shape())
  two = np.concatenate([films, films[::-1]], axis=1)
  mask_BxI = np.tile([True, False], (STUDIES, 1))
  ids = np.ones((STUDIES, 11), np.int32)
  one = _apply(model, variables, films, ids, knowledge)
  other = _apply(model, variables, two, ids, knowledge, mask_BxI)
  np.testing.assert_allclose(one, other, atol=1e-5)


def _gradient(shape):
  model, variables, films, knowledge = _drawn(shape)
  ids = np.array([[1, 5, 6, 2, *[0] * 7]] * STUDIES, np.int32)

  def loss(params):
    log_probs = model.apply(
      {**variables, 'params': params},
      films,
      ids,
      np.ones(STUDIES, bool),
      True,
      knowledge_BxTxD=knowledge,
      mutable=['batch_stats'],
    )[0]
    return jnp.sum(jnp.square(log_probs))

  return variables['params'], jax.jit(jax.grad(loss))(variables['params'])


@pytest.mark.parametrize('frozen', ['none', 'stem', 'all'])
def test_gradients_come_to_what_is_trained_alone(frozen):
  shape = _shape(frozen=frozen)
  params, grads = _gradient(shape)
  moved = jax.tree.map(lambda g: bool(np.any(np.asarray(g))), grads)
  expected = trained_params(shape, params)
  assert moved == expected
  encoder = jax.tree.leaves(expected['visual_encoder'])
  assert any(encoder) == (frozen != 'all')
  assert all(encoder) == (frozen == 'none')
  # The pad gets none.
  rows = np.abs(np.asarray(grads['word_embed'])).sum(axis=1)
  assert rows[0] == 0 and np.all(rows[[1, 2, 5, 6]] > 0)


def test_sizes_are_the_published_ones():
  shape = CaptionerShape(vocabulary=760)
  variables = captioner_variables(Captioner(shape))
  numbers = sum(x.size for x in jax.tree.leaves(variables))
  trained = trained_params(shape, variables['params'])
  learned = sum(
    x.size
    for x, yes in zip(
      jax.tree.leaves(variables['params']),
      jax.tree.leaves(trained),
      strict=True,
    )
    if yes
  )
  assert (numbers, learned) == (63_083_448, 62_650_360)
  packed = 2 * 2 * 18  # Three projections of 18 attentions are one with them.
  assert len(captioner_rows(shape)) - packed == 752


def test_patches_are_dropped_in_training_alone():
  model, variables, films, knowledge = _drawn(_shape(patch_dropout=0.5))
  ids = np.ones((STUDIES, 11), int)
  mask_B = np.ones(STUDIES, bool)

  def said(train, seed=0):
    keys = {'dropout': jax.random.key(seed)}
    inputs = films, ids, mask_B, train, None, knowledge
    return model.apply(variables, *inputs, rngs=keys, mutable='batch_stats')[0]

  plain = Captioner(_shape())
  assert np.abs(said(True, 1) - said(True, 2)).max() > 1e-3
  want = _apply(plain, variables, films, ids, knowledge)
  np.testing.assert_allclose(said(False), want, atol=1e-5)


def test_values_out_of_range_are_named():
  with pytest.raises(ValueError, match='frozen'):
    _shape(frozen='half')
  with pytest.raises(ValueError, match='resnet99'):
    _shape(encoder='resnet99')
  model = Captioner(_shape())
  with pytest.raises(ValueError, match='max_words'):
    make_writer(model, 1, 11)
  with pytest.raises(ValueError, match='beam_size'):
    make_writer(model, 2, 9, stop_at_end=False)


@pytest.mark.parametrize('encoder', ['vit_b16', 'swin_t'])
def test_other_encoders_go_by_name(encoder):
  shape = dataclasses.replace(_shape(encoder=encoder), encoder_width=4)
  variables = captioner_variables(Captioner(shape))
  assert 'visual_encoder' in variables['params']
