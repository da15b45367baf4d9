"""One phantom patient: a chest of ellipsoids and thin strands, in 3-D.

x runs from the patient's right to the left, y from back to front, z from feet
to head. One unit is half the width of a film, about 18 cm. Densities are
relative to water.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

SIDES = {'right': -1, 'left': 1}
_POINTS_PER_KNOT = 40


@dataclasses.dataclass(frozen=True)
class Ellipsoid:
  """`tilt` turns it in the coronal plane (radians, top to the left)."""

  center: tuple[float, float, float]
  radii: tuple[float, float, float]
  tilt: float = 0.0

  @functools.cached_property
  def form(self) -> np.ndarray:
    """(3, 3) matrix A with (p - center)' A (p - center) = 1 on the surface."""
    axes = self._axes()
    return (axes.T / np.square(self.radii)) @ axes

  @functools.cached_property
  def inverse_form(self) -> np.ndarray:
    """(3, 3) inverse of `form`: its diagonal holds the squared extents."""
    axes = self._axes()
    return (axes.T * np.square(self.radii)) @ axes

  def _axes(self):
    cos, sin = np.cos(self.tilt), np.sin(self.tilt)
    return np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])

  def contains(self, points_Px3: np.ndarray) -> np.ndarray:
    """(P,) whether each point lies inside."""
    offset = points_Px3 - np.array(self.center)
    return ((offset @ self.form) * offset).sum(axis=1) < 1

  def scaled(self, factor: float) -> 'Ellipsoid':
    """The same shape around the same center, `factor` times as large."""
    return dataclasses.replace(
      self, radii=tuple(factor * radius for radius in self.radii)
    )


@dataclasses.dataclass(frozen=True)
class Solid:
  """Density added to what is already there; negative for gas.

  A soft one fades from its middle to its surface. `lung` names the side
  outside of which nothing is added, `floor` is the lowest z of a gas level.
  """

  shape: Ellipsoid
  density: float
  soft: bool = False
  lung: str = ''
  floor: float = -np.inf


@dataclasses.dataclass(frozen=True)
class Strands:
  """Thin things as point masses: bone cortex, vessels, wires.

  `lung` names the side outside of whose aerated tissue nothing is drawn.
  """

  points_Px3: np.ndarray
  mass_P: np.ndarray
  radius: float  # each point is spread this far
  lung: str = ''


@dataclasses.dataclass
class Lung:
  """Air fills `cavity`, inside every one of `within`, outside `outside`.

  With a pneumothorax the lung itself has shrunk to `collapsed`, and what is
  left of the cavity holds free air.
  """

  cavity: Ellipsoid
  outside: list[Ellipsoid]
  density: float  # of aerated tissue
  within: list[Ellipsoid] = dataclasses.field(default_factory=list)
  collapsed: Ellipsoid | None = None

  def contains_tissue(self, points_Px3: np.ndarray) -> np.ndarray:
    """(P,) whether each point lies in aerated lung."""
    inside = self.cavity.contains(points_Px3)
    for shape in self.within + [self.collapsed] * bool(self.collapsed):
      inside &= shape.contains(points_Px3)
    for shape in self.outside:
      inside &= ~shape.contains(points_Px3)
    return inside


@dataclasses.dataclass(frozen=True)
class Pose:
  """How the patient stands before the detector of one view."""

  yaw: float  # radians
  roll: float
  shift: tuple[float, float]
  zoom: float


@dataclasses.dataclass
class Scene:
  """All that the two films of one patient show."""

  torso: list[Ellipsoid]
  shoulders: list[Ellipsoid]  # out of the beam of the lateral film
  lungs: dict[str, Lung]
  solids: list[Solid]
  strands: list[Strands]
  poses: dict[str, Pose]
  exposure: float
  gamma: float


def line(
  knots: Sequence[Sequence[float]], thickness: float, density: float
) -> Strands:
  """A wire through `knots`; `thickness` is its radius."""
  points_Px3 = smooth_curve(knots)
  step_P = np.linalg.norm(np.gradient(points_Px3, axis=0), axis=1)
  area = np.pi * thickness**2
  return Strands(points_Px3, density * area * step_P, thickness)


def smooth_curve(knots: Sequence[Sequence[float]]) -> np.ndarray:
  """(P, 3) points of a Catmull-Rom curve through K knots."""
  knots = np.array(knots, float)
  before, after = 2 * knots[0] - knots[1], 2 * knots[-1] - knots[-2]
  padded = np.stack([before, *knots, after])
  t = np.linspace(0, 1, _POINTS_PER_KNOT, endpoint=False)[:, None]
  pieces = []
  for a, b, c, d in zip(
    padded, padded[1:], padded[2:], padded[3:], strict=False
  ):
    slope, bend = c - a, 2 * a - 5 * b + 4 * c - d
    twist = 3 * (b - c) + d - a
    pieces.append(b + 0.5 * t * (slope + t * (bend + t * twist)))
  return np.concatenate([*pieces, knots[-1:]])
