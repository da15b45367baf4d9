"""Whether a film looks like those of training, by statistics of its pixels.

No network is asked: 52 numbers of a film (greys, coarse shape, symmetry,
sharpness) and how far they lie from those of training films, which fall into a
few groups, such as frontal and lateral ones. How far is normal is what training
films say that were left out of the fit.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image

from input_pipeline.errors import UserError

_GRID, _LOW = 32, 6
_GREYS = np.linspace(0.02, 0.98, 9)
_PLACES = np.arange(_GRID) + 0.5
# Rows of the cosine transform, orthonormal.
_COSINES = np.cos(np.pi / _GRID * np.arange(_LOW)[:, None] * _PLACES)
_COSINES *= np.sqrt(np.where(np.arange(_LOW) > 0, 2, 1) / _GRID)[:, None]
# Groups of films, where there are enough to tell them apart.
_GROUPS, _FILMS_FOR_GROUPS, _FEWEST = 3, 300, 20
# Share of training films that are left out as odd, and that may look foreign.
_ODD, _FOREIGN = 0.02, 0.005
# A number that never differs in training may do so by this much.
_LEAST_DEVIATION = 0.005


@dataclasses.dataclass(frozen=True)
class FilmLook:
  """How much a film looks like those of training.

  Attributes:
    distance: all but one in two hundred training films lie nearer than 1.
    inverted: whether its negative does, and nearer than itself.
  """

  distance: float
  inverted: bool

  @property
  def unlike(self) -> bool:
    """Whether it does not look like them."""
    return self.inverted or self.distance > 1


@dataclasses.dataclass(frozen=True)
class FilmStatistics:
  """What training films are like.

  Attributes:
    centre_D: mean of each number, and
    deviation_D: its deviation.
    means_KxD: of the groups, in deviations from the centre.
    precision_KxDxD: inverse covariance of each group, in the same unit.
    threshold: distance that one in two hundred is beyond.
  """

  centre_D: np.ndarray
  deviation_D: np.ndarray
  means_KxD: np.ndarray
  precision_KxDxD: np.ndarray
  threshold: float

  def to_json(self) -> dict:
    """As JSON's types, five digits of each number."""
    return {
      name: _rounded(np.asarray(value).tolist())
      for name, value in dataclasses.asdict(self).items()
    }

  @classmethod
  def from_json(cls, content: dict) -> 'FilmStatistics':
    """Of what `to_json` gave.

    Raises:
      UserError: it gave something else.
    """
    try:
      arrays = {k: np.asarray(v, np.float64) for k, v in content.items()}
      known = cls(**{**arrays, 'threshold': float(content['threshold'])})
      known.look(np.zeros((8, 8), np.uint8))
      if not all(np.isfinite(value).all() for value in arrays.values()):
        raise ValueError('numbers that are none')
    except Exception as error:  # Of other types and shapes.
      raise UserError(
        f'film_statistics are not what training wrote ({str(error)[:200]})'
      ) from error
    return known

  def look(self, film_HxW: np.ndarray) -> FilmLook:
    """How a film looks, uint8, of the size that the model takes."""
    numbers = [statistics_of(film_HxW), statistics_of(255 - film_HxW)]
    own, negative = self._distances(np.stack(numbers)) / self.threshold
    return FilmLook(round(float(own), 3), bool(negative < min(own, 1)))

  def _distances(self, numbers_NxD: np.ndarray) -> np.ndarray:
    """Mahalanobis distance from the nearest group, (N,)."""
    z_NxD = (numbers_NxD - self.centre_D) / self.deviation_D
    off_NxKxD = z_NxD[:, None] - self.means_KxD
    squared_NxK = np.einsum(
      'nkd,kde,nke->nk',
      off_NxKxD,
      self.precision_KxDxD,
      off_NxKxD,
      optimize=True,
    )
    return np.sqrt(squared_NxK.min(axis=1))


def sentence_of(looks: Sequence[FilmLook]) -> str:
  """What a person is told of a study's films, '' where all look usual."""
  said = []
  for number, look in enumerate(looks, start=1):
    which = f'film {number}' if len(looks) > 1 else 'the film'
    if look.inverted:
      said.append(
        f'{which} does not look like the films it was trained on, its negative '
        'does more: it may be inverted'
      )
    elif look.unlike:
      said.append(
        f'{which} does not look like the films it was trained on '
        f'({look.distance:.1f} times as far as 99.5 % of them)'
      )
  return '; '.join(said)


def statistics_of(film_HxW: np.ndarray) -> np.ndarray:
  """The 52 numbers of a uint8 film."""
  shares = np.bincount(film_HxW.ravel(), minlength=256) / film_HxW.size
  greys = np.searchsorted(np.cumsum(shares), _GREYS) / 255
  film = film_HxW.astype(np.float32) / 255
  box = Image.Resampling.BOX
  small = np.asarray(Image.fromarray(film).resize((_GRID, _GRID), box))
  shape = _COSINES @ small @ _COSINES.T / _GRID
  centred = small - small.mean()
  power = max(float(np.sum(centred**2)), 1e-6)
  across, down = np.diff(film, axis=1), np.diff(film, axis=0)
  coarse = sum(np.abs(np.diff(small, axis=a)).mean() for a in (0, 1))
  sharpness = [np.abs(x).mean() for x in (across, down, np.diff(down, axis=1))]
  return np.array(
    [
      *greys,
      *shape.ravel()[1:],
      np.sum(centred * centred[:, ::-1]) / power,
      np.sum(centred * centred[::-1]) / power,
      *np.log(np.array([*sharpness, coarse]) + 1e-3),
      shares[:2].sum(),
      shares[254:].sum(),
    ]
  )


def fit_statistics(numbers_NxD: np.ndarray) -> FilmStatistics | None:
  """What films are like whose numbers these are; None of too few films."""
  if len(numbers_NxD) < _FEWEST:
    return None
  groups = _GROUPS if len(numbers_NxD) >= _FILMS_FOR_GROUPS else 1
  # By lot: frontal and lateral films may take turns.
  order = np.random.default_rng(0).permutation(len(numbers_NxD))
  halves = numbers_NxD[order[::2]], numbers_NxD[order[1::2]]
  left_out = [
    _fit(one, groups)._distances(other) for one, other in (halves, halves[::-1])
  ]
  threshold = np.quantile(np.concatenate(left_out), 1 - _FOREIGN)
  fitted = _fit(numbers_NxD, groups)
  return dataclasses.replace(fitted, threshold=float(threshold))


def _fit(numbers_NxD, groups: int) -> FilmStatistics:
  """Twice without the films that are far off."""
  fitted, kept = None, numbers_NxD
  for _ in range(3):
    if fitted is not None:
      distances = fitted._distances(numbers_NxD)
      kept = numbers_NxD[distances <= np.quantile(distances, 1 - _ODD)]
    fitted = _fit_groups(kept, groups)
  return fitted


def _fit_groups(numbers_NxD, groups: int) -> FilmStatistics:
  centre_D = numbers_NxD.mean(axis=0)
  deviation_D = np.maximum(numbers_NxD.std(axis=0), _LEAST_DEVIATION)
  z_NxD = (numbers_NxD - centre_D) / deviation_D
  group_N = _grouped(z_NxD, groups)
  members = [z_NxD[group_N == group] for group in range(groups)]
  return FilmStatistics(
    centre_D,
    deviation_D,
    np.stack([z.mean(axis=0) for z in members]),
    np.stack([_precision(z) for z in members]),
    1.0,
  )


def _grouped(z_NxD, groups: int) -> np.ndarray:
  """k-means from even places along the direction that differs most."""
  if groups == 1:
    return np.zeros(len(z_NxD), int)
  order = np.argsort(z_NxD @ np.linalg.eigh(np.cov(z_NxD.T))[1][:, -1])
  places = (np.arange(groups) + 0.5) / groups * len(order)
  means_KxD = z_NxD[order[places.astype(int)]]
  for _ in range(30):
    nearest_N = ((z_NxD[:, None] - means_KxD) ** 2).sum(axis=2).argmin(axis=1)
    # A group that has become empty stays where it was.
    means_KxD = np.stack(
      [
        z_NxD[nearest_N == k].mean(axis=0) if (nearest_N == k).any() else mean
        for k, mean in enumerate(means_KxD)
      ]
    )
  return nearest_N


def _precision(z_NxD) -> np.ndarray:
  """Inverse covariance, drawn to the unit matrix the more, the fewer films."""
  films, numbers = z_NxD.shape
  drawn = numbers / (numbers + films)
  covariance = (1 - drawn) * np.cov(z_NxD.T) + drawn * np.eye(numbers)
  return np.linalg.inv(covariance)


def _rounded(value):
  if isinstance(value, list):
    return [_rounded(one) for one in value]
  return float(f'{value:.5g}')
