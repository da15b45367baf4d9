"""Whether a film looks like those of training, by its pixels alone."""

import json

import numpy as np
import pytest

from input_pipeline.errors import UserError
from input_pipeline.film_statistics import (
  FilmLook,
  FilmStatistics,
  fit_statistics,
  sentence_of,
  statistics_of,
)

SIZE = 48


def _films(count, seed=0):
  """Two kinds of bright ovals on dark, each a little other."""
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
  for n in range(count):
    wide, high = (0.8, 0.5) if n % 2 else (0.4, 0.9)
    wide, high = (v * rng.uniform(0.9, 1.1) for v in (wide, high))
    oval = np.exp(-((x / wide) ** 2) - (y / high) ** 2)
    film = 30 + 150 * oval + rng.normal(0, 5, oval.shape)
    yield np.clip(film, 0, 255).astype(np.uint8)


@pytest.fixture(scope='module')
def known():
  fitted = fit_statistics(np.stack([statistics_of(f) for f in _films(320)]))
  return FilmStatistics.from_json(json.loads(json.dumps(fitted.to_json())))


def test_films_of_the_same_kinds_look_alike(known):
  unlike = [known.look(film).unlike for film in _films(100, seed=1)]
  assert sum(unlike) <= 3


def test_other_films_do_not(known):
  film = next(_films(1, seed=2))
  noise = np.random.default_rng(0).integers(0, 256, film.shape, np.uint8)
  for other in (np.zeros_like(film), noise, film // 4, film[:, ::-1].T):
    assert known.look(other).unlike
  inverted = known.look(255 - film)
  assert inverted.inverted and inverted.unlike
  assert not known.look(film).inverted


def test_what_is_said(known):
  looks = [FilmLook(0.5, False), FilmLook(2.0, False), FilmLook(0.9, True)]
  said = sentence_of(looks)
  assert said.startswith('film 2 does not look like the films')
  assert '2.0 times' in said and 'it may be inverted' in said
  assert sentence_of(looks[:1]) == ''


@pytest.mark.parametrize(
  ('name', 'value'),
  [
    ('centre_D', [0.0] * 51),
    ('deviation_D', [[1.0], [2.0, 3.0]]),
    ('means_KxD', None),
    ('precision_KxDxD', 'none'),
    ('threshold', 10**400),
    ('other', 1),
  ],
)
def test_other_numbers_than_training_wrote(known, name, value):
  with pytest.raises(UserError, match='not what training wrote'):
    FilmStatistics.from_json({**known.to_json(), name: value})


def test_few_films_tell_nothing():
  numbers = np.stack([statistics_of(film) for film in _films(19)])
  assert numbers.shape == (19, 52)
  assert fit_statistics(numbers) is None
  assert fit_statistics(np.concatenate([numbers, numbers])) is not None
