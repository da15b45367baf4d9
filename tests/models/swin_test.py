"""Swin: sizes of maps, the shift, and what it leaves out in training."""

import jax
import numpy as np
import pytest

from cmn_jax.models.encoders import ENCODERS
from cmn_jax.models.swin import Swin, relative_places
from tests.made import small


def _encoder(**changes):
  fields = {'stage_sizes': (1, 2), 'heads': 2, 'width': 8, 'window': 3}
  return Swin(**{**fields, **changes})


def _films(size: int):
  rng = np.random.default_rng(0)
  return rng.standard_normal((2, 1, size, size, 3)).astype(np.float32)


def _variables(encoder, size: int):
  mask = np.ones((2, 1), bool)
  shapes = jax.eval_shape(
    lambda: encoder.init(jax.random.key(0), _films(size), mask, False)
  )
  return small.drawn(shapes, 1, 0.3)


def _apply(encoder, variables, films, train=False, key=None):
  """Its maps of films, which are all there."""
  rngs = {} if key is None else {'dropout': jax.random.key(key)}
  mask = np.ones((2, 1), bool)
  apply = jax.jit(lambda v, x: encoder.apply(v, x, mask, train, rngs=rngs))
  return np.asarray(apply(variables, films))


@pytest.mark.parametrize(('size', 'places'), [(48, 6), (40, 5), (24, 3)])
def test_any_size_that_divides_into_patches(size, places):
  encoder = _encoder()
  found = _apply(encoder, _variables(encoder, size), _films(size))
  assert found.shape == (2, 1, places, places, 16)
  assert np.all(np.isfinite(found))


def test_other_sizes_are_named():
  with pytest.raises(ValueError, match='image_size'):
    _variables(_encoder(), 50)


def test_the_last_stage_is_shifted_only_when_asked():
  for size, differs in ((24, True), (48, False)):
    variables = _variables(_encoder(), size)
    a, b = (
      _apply(_encoder(shift_last_stage=shift), variables, _films(size))
      for shift in (False, True)
    )
    assert (np.abs(a - b).max() > 1e-3) == differs


def test_stochastic_depth_is_of_training_alone():
  encoder, films = _encoder(drop_path=0.5), _films(24)
  variables = _variables(encoder, 24)
  still = _apply(encoder, variables, films)
  drawn = [_apply(encoder, variables, films, True, key) for key in (0, 1)]
  assert np.abs(drawn[0] - still).max() > 0
  assert np.abs(drawn[0] - drawn[1]).max() > 0


def test_relative_places():
  places = relative_places(7)
  assert places.shape == (49, 49)
  assert places[0, 0] == 6 * 13 + 6 and places[0, 48] == 0
  assert places[48, 0] == 168


def test_swin_t_has_its_published_size():
  encoder = ENCODERS['swin_t'](width=64)
  shapes = jax.eval_shape(
    lambda: encoder.init(
      jax.random.key(0), _films(64), np.ones((2, 1), bool), False
    )
  )
  assert sum(x.size for x in jax.tree.leaves(shapes)) == 27_519_354
