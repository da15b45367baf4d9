"""From a scene to a film: exact line integrals, photons, film curve.

The beam is parallel. Along each ray the chords through all ellipsoids are
exact, so both views show the same patient.
"""

import numpy as np

from input_pipeline.phantom.scene import (
  Ellipsoid,
  Lung,
  Pose,
  Scene,
  Solid,
  Strands,
)

VIEWS = ('frontal', 'lateral')
Box = tuple[slice, slice]  # rows and columns of an image
ATTENUATION = 1.9  # of water, for one unit of length
_PHOTONS = 4e7  # on a film in the open beam
_SCATTER = 0.02  # of the open beam
_FOCUS = 0.0045  # blur of focal spot and detector


class Camera:
  """Pixel grid of one view, and the axes right, up, depth in the patient."""

  def __init__(self, view: str, pose: Pose, size: int):
    cos, sin = np.cos(pose.yaw), np.sin(pose.yaw)
    right, depth = np.array([cos, sin, 0.0]), np.array([-sin, cos, 0.0])
    if view == 'lateral':  # the patient faces the left edge of the film
      right, depth = -depth, right
    up = np.array([0.0, 0.0, 1.0])
    cos, sin = np.cos(pose.roll), np.sin(pose.roll)
    self.axes = np.stack(
      [cos * right - sin * up, sin * right + cos * up, depth]
    )
    grid = ((np.arange(size) + 0.5) / size * 2 - 1) / pose.zoom
    self.u = grid + pose.shift[0]
    self.v = -grid + pose.shift[1]
    self.size, self.view = size, view
    self.pitch = 2 / size / pose.zoom

  def whole(self) -> Box:
    """The box of all pixels."""
    return slice(0, self.size), slice(0, self.size)

  def box(self, shape: Ellipsoid) -> Box:
    """(rows, columns) slices that hold the shadow of `shape`."""
    extent = np.sqrt(np.diag(self.axes @ shape.inverse_form @ self.axes.T))
    u, v = (self.axes @ np.array(shape.center))[:2]
    left = np.searchsorted(self.u, u - extent[0])
    right = np.searchsorted(self.u, u + extent[0])
    top = np.searchsorted(-self.v, -(v + extent[1]))
    bottom = np.searchsorted(-self.v, -(v - extent[1]))
    return slice(top, bottom), slice(left, right)

  def chord(self, shape: Ellipsoid, box: Box) -> tuple[np.ndarray, ...]:
    """(entry, exit, half_2) of each ray in `box`; a miss has equal ends.

    `half_2` is 1 for a ray through the center and 0 at the edge.
    """
    form = self.axes @ shape.form @ self.axes.T
    u, v, w = self.axes @ np.array(shape.center)
    du, dv = self.u[None, box[1]] - u, self.v[box[0], None] - v
    along = form[2, 2]
    skew = (form[2, 0] * du + form[2, 1] * dv) / along
    across = form[0, 0] * du**2 + 2 * form[0, 1] * du * dv + form[1, 1] * dv**2
    half_2 = np.maximum(1 - across + along * skew**2, 0)
    half = np.sqrt(half_2 / along)
    return w - skew - half, w - skew + half, half_2


def render(
  scene: Scene, view: str, size: int, rng: np.random.Generator
) -> np.ndarray:
  """uint8 (size, size): bone white, air black, the patient's right at left.

  Args:
    view: 'frontal' or 'lateral'.
    rng: draws the photons.
  """
  if view not in VIEWS:
    raise ValueError(f'view is {view!r}; expected one of {VIEWS}.')
  camera = Camera(view, scene.poses[view], size)
  water = project(scene, camera)
  return develop(expose(water, scene.exposure, rng), scene.gamma)


def project(scene: Scene, camera: Camera) -> np.ndarray:
  """(size, size) line integral of density, in units of water."""
  arms_raised = camera.view == 'lateral'
  torso = scene.torso if arms_raised else scene.torso + scene.shoulders
  total = _torso_length(torso, camera)
  for lung in scene.lungs.values():
    _remove_air(total, lung, camera)
  for solid in scene.solids:
    _add_solid(total, solid, scene.lungs, camera)
  for radius in sorted({strand.radius for strand in scene.strands}):
    group = [s for s in scene.strands if s.radius == radius]
    total += _blur(_splat(group, scene.lungs, camera), radius / camera.pitch)
  return np.maximum(total, 0)


def expose(
  water: np.ndarray, exposure: float, rng: np.random.Generator
) -> np.ndarray:
  """Share of the photons that reach each pixel, with their noise."""
  size = len(water)
  photons = _PHOTONS * exposure / size**2
  expected = photons * (np.exp(-ATTENUATION * water) + _SCATTER)
  counts = rng.poisson(expected)
  return _blur(counts / photons, 0.5 * _FOCUS * size)


def develop(intensity: np.ndarray, gamma: float) -> np.ndarray:
  """Film: the logarithm, between the soft tissue and the open beam."""
  density = -np.log(np.maximum(intensity, 1e-4))
  low, high = np.percentile(density, [4, 97])
  # Above the densest tissue there is room for bone and metal in front of it.
  grey = np.clip((density - low) / (1.25 * (high - low)), 0, 1) ** gamma
  return np.round(255 * grey).astype(np.uint8)


def _torso_length(shapes, camera):
  """Length inside any of the shapes, which overlap on each ray they share."""
  first, last = np.inf, -np.inf
  for shape in shapes:
    entry, exit_, half_2 = camera.chord(shape, camera.whole())
    hit = half_2 > 0
    first = np.minimum(first, np.where(hit, entry, np.inf))
    last = np.maximum(last, np.where(hit, exit_, -np.inf))
  return np.maximum(last - first, 0)


def _remove_air(total, lung, camera):
  box = camera.box(lung.cavity)
  aerated = _aerated(lung, camera, box)
  if lung.collapsed is None:
    total[box] -= (1 - lung.density) * aerated
  else:  # free air around a lung that holds less of it
    tissue = _aerated(lung, camera, box, inside=lung.collapsed)
    total[box] -= aerated - 1.6 * lung.density * tissue


def _aerated(lung: Lung, camera, box, inside: Ellipsoid | None = None):
  """Length of each ray in the lung's air, or in the part `inside` a shape."""
  entry, exit_, _ = camera.chord(lung.cavity, box)
  for shape in [*lung.within, inside] if inside else lung.within:
    start, end, _ = camera.chord(shape, box)
    entry, exit_ = np.maximum(entry, start), np.minimum(exit_, end)
  exit_ = np.maximum(entry, exit_)
  cuts = []
  for shape in lung.outside:
    start, end, _ = camera.chord(shape, box)
    cuts.append((np.clip(start, entry, exit_), np.clip(end, entry, exit_)))
  return exit_ - entry - _union_length(cuts)


def _union_length(intervals):
  """Length of the union of K intervals on each ray."""
  starts = np.stack([start for start, _ in intervals])
  ends = np.stack([end for _, end in intervals])
  order = np.argsort(starts, axis=0, kind='stable')
  starts = np.take_along_axis(starts, order, axis=0)
  ends = np.take_along_axis(ends, order, axis=0)
  length, reached = 0.0, -np.inf
  for start, end in zip(starts, ends, strict=True):
    length = length + np.maximum(end - np.maximum(start, reached), 0)
    reached = np.maximum(reached, end)
  return length


def _add_solid(total, solid: Solid, lungs, camera):
  box = camera.box(solid.shape)
  entry, exit_, half_2 = camera.chord(solid.shape, box)
  length = exit_ - entry
  if solid.lung:
    length = _aerated(lungs[solid.lung], camera, box, inside=solid.shape)
  if solid.soft:  # density 1 - r^2: its integral is 2/3 of the chord, faded
    length = 2 / 3 * half_2 * length
  above = camera.v[box[0], None] > solid.floor
  total[box] += solid.density * length * above


def _splat(strands: list[Strands], lungs: dict[str, Lung], camera):
  """Point masses shared out to the four nearest pixels."""
  size = camera.size
  image = np.zeros((size + 1) * (size + 1))
  for strand in strands:
    points, mass = strand.points_Px3, strand.mass_P
    if strand.lung:
      kept = lungs[strand.lung].contains_tissue(points)
      points, mass = points[kept], mass[kept]
    column = (points @ camera.axes[0] - camera.u[0]) / camera.pitch
    row = (camera.v[0] - points @ camera.axes[1]) / camera.pitch
    seen = (column > 0) & (column < size - 1) & (row > 0) & (row < size - 1)
    column, row, mass = column[seen], row[seen], mass[seen]
    left, top = column.astype(int), row.astype(int)
    right_share, low_share = column - left, row - top
    for i, share_i in ((0, 1 - low_share), (1, low_share)):
      for j, share_j in ((0, 1 - right_share), (1, right_share)):
        index = (top + i) * (size + 1) + left + j
        image += np.bincount(index, mass * share_i * share_j, len(image))
  image = image.reshape(size + 1, size + 1)[:size, :size]
  return image / camera.pitch**2


def _blur(image, sigma):
  """Gaussian blur, `sigma` in pixels; edges are repeated."""
  reach = max(1, int(3 * sigma + 0.5))
  offsets = np.arange(-reach, reach + 1)
  kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
  kernel /= kernel.sum()
  for axis in (0, 1):
    margin = [(reach, reach) if a == axis else (0, 0) for a in (0, 1)]
    padded = np.pad(image, margin, mode='edge')
    image = np.zeros_like(image)
    for weight, offset in zip(kernel, offsets + reach, strict=True):
      cut = slice(offset, offset + image.shape[axis])
      image += weight * (padded[cut] if axis == 0 else padded[:, cut])
  return image
