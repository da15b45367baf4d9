"""The healthy chest, as far as a phantom has one."""

import dataclasses

import numpy as np

from input_pipeline.phantom.scene import (
  SIDES,
  Ellipsoid,
  Lung,
  Pose,
  Scene,
  Solid,
  Strands,
  line,
  smooth_curve,
)

BONE = 2.2
BONE_BLUR = 0.008
_CORTEX = 0.00022  # section of bone that one point of an outline stands for
_RIBS = 10
_VESSELS = 34  # in each lung
_VERTEBRAE = np.arange(-1.02, 1.05, 0.118)


@dataclasses.dataclass
class Body:
  """The numbers that shape one patient; findings change some of them.

  width, depth, height and fat are factors of the mean patient's.
  """

  width: float
  depth: float
  height: float
  fat: float
  heart_scale: float
  heart_turn: float
  aorta_scale: float = 1.0
  aorta_bulge: float = 0.0
  lung_scale: float = 1.0
  lung_density: float = 0.27
  diaphragm_drop: float = 0.0
  diaphragm_dome: float = 0.46
  diaphragm_raised: dict[str, float] = dataclasses.field(
    default_factory=lambda: dict.fromkeys(SIDES, 0.0)
  )
  spine_bend: float = 0.0
  vessel_gain: float = 1.0


def sample_body(rng: np.random.Generator) -> Body:
  """Habitus of a healthy patient."""
  return Body(
    width=rng.uniform(0.93, 1.06),
    depth=rng.uniform(0.92, 1.08),
    height=rng.uniform(0.95, 1.04),
    fat=rng.uniform(0.94, 1.08),
    heart_scale=rng.uniform(0.95, 1.02),
    heart_turn=rng.uniform(-0.06, 0.06),
  )


def sample_pose(rng: np.random.Generator) -> Pose:
  """A patient never stands quite straight."""
  return Pose(
    yaw=rng.uniform(-0.06, 0.06),
    roll=rng.uniform(-0.03, 0.03),
    shift=(rng.uniform(-0.03, 0.03), rng.uniform(-0.03, 0.03)),
    zoom=rng.uniform(0.96, 1.04),
  )


def build_anatomy(body: Body, rng: np.random.Generator) -> Scene:
  """The patient without the lesions that are put on top."""
  heart, mediastinum = heart_of(body), _mediastinum(body)
  lungs = {
    side: Lung(
      _cavity(body, side),
      outside=[heart, mediastinum, diaphragm(body, side)],
      density=body.lung_density,
    )
    for side in SIDES
  }
  solids = [
    *_spine(body),
    *_aorta(body),
    *_airways(),
    *_hila(body),
    _stomach_gas(body, rng),
  ]
  strands = [cortex(rib_points(body), BONE), *_clavicles(body), *_sternum(body)]
  strands += [_vessels(body, side, rng) for side in SIDES]
  return Scene(
    torso=_torso(body),
    shoulders=_shoulders(body),
    lungs=lungs,
    solids=solids,
    strands=strands,
    poses={'frontal': sample_pose(rng), 'lateral': sample_pose(rng)},
    exposure=rng.uniform(0.7, 1.5),
    gamma=rng.uniform(0.9, 1.1),
  )


def lung_x(body: Body, side: str) -> float:
  """x of the middle of a lung."""
  return SIDES[side] * 0.37 * body.width


def heart_of(body: Body) -> Ellipsoid:
  """Both sides of the heart as one; a larger one grows to the left."""
  grown = body.heart_scale - 1
  return Ellipsoid(
    (0.09 * body.width + 0.11 * grown, 0.14, -0.29 + 0.03 * grown),
    (
      0.30 * body.width * body.heart_scale,
      0.25 * body.depth * body.heart_scale,
      0.225 * (1 + 0.85 * grown),
    ),
    0.45 + body.heart_turn,
  )


def diaphragm(body: Body, side: str) -> Ellipsoid:
  """The dome under one lung, the right one a little higher."""
  top = -0.46 + (0.05 if side == 'right' else 0.0)
  top += body.diaphragm_raised[side] - body.diaphragm_drop
  dome = body.diaphragm_dome
  return Ellipsoid(
    (0.92 * lung_x(body, side), 0.08, top - dome),
    (0.48 * body.width, 0.62 * body.depth, dome),
  )


def _torso(body):
  depth = 0.60 * body.depth * body.lung_scale
  trunk = (0.90 * body.width * body.fat, depth * body.fat, 1.62)
  return [
    Ellipsoid((0.0, 0.0, -0.55), trunk),
    Ellipsoid((0.0, -0.05, 0.62), (0.50, 0.43 * body.depth, 0.34)),
    Ellipsoid((0.0, -0.14, 1.0), (0.24, 0.28, 0.70)),
  ]


def _shoulders(body):
  radii = (0.62 * body.width, 0.30, 0.34)
  return [
    Ellipsoid((sign * 0.56, -0.05, 0.45), radii, sign * 0.32)
    for sign in SIDES.values()
  ]


def _cavity(body, side):
  scale = body.lung_scale
  return Ellipsoid(
    (lung_x(body, side), -0.02, -0.10),
    (
      0.325 * body.width * scale,
      0.48 * body.depth * scale,
      0.84 * body.height,
    ),
    -0.10 * SIDES[side],
  )


def _mediastinum(body):
  return Ellipsoid((0.0, -0.04, 0.22), (0.135 * body.width, 0.24, 0.80))


def spine_x(body: Body, z: np.ndarray | float) -> np.ndarray | float:
  """x of the spine at the height z: straight, or one long curve."""
  return body.spine_bend * (1.35 * np.exp(-(((z - 0.12) / 0.42) ** 2)) - 0.35)


def _spine(body):
  return [
    Solid(
      Ellipsoid(
        (float(spine_x(body, z)), -0.36 * body.depth, float(z)),
        (0.082, 0.10, 0.050),
      ),
      1.25,
    )
    for z in _VERTEBRAE
  ]


def _aorta(body):
  """Arch and descending part as a string of overlapping balls."""
  bulge, scale = body.aorta_bulge, body.aorta_scale
  radius = 0.075 * scale
  knob = Solid(
    Ellipsoid(
      (0.115 + 0.55 * bulge, -0.08, 0.36 + 0.25 * bulge), (0.085 * scale,) * 3
    ),
    1.1,
  )
  string = []
  for t in np.linspace(0, 1, 16):
    x = 0.10 + bulge * np.sin(np.pi * min(1.0, 1.25 * t)) - 0.02 * t
    center = (float(x), -0.20, float(0.34 - 0.95 * t))
    string.append(Solid(Ellipsoid(center, (radius,) * 3), 0.50))
  return [knob, *string]


def _airways():
  trachea = Ellipsoid((0.0, -0.06, 0.72), (0.045, 0.05, 0.46))
  bronchi = [
    Ellipsoid((sign * 0.075, -0.06, 0.19), (0.028, 0.04, 0.10), -sign * 0.7)
    for sign in SIDES.values()
  ]
  return [Solid(trachea, -0.9), *(Solid(shape, -0.8) for shape in bronchi)]


def _hila(body):
  return [
    Solid(
      Ellipsoid(
        (sign * 0.165 * body.width, -0.03, 0.10 - 0.03 * sign),
        (0.075, 0.09, 0.12),
      ),
      0.55,
      soft=True,
    )
    for sign in SIDES.values()
  ]


def _stomach_gas(body, rng):
  dome = diaphragm(body, 'left')
  top = dome.center[2] + dome.radii[2]
  size = rng.uniform(0.05, 0.12)
  center = (
    dome.center[0] + rng.uniform(-0.08, 0.04),
    0.1,
    top - 0.07 - 0.6 * size,
  )
  return Solid(Ellipsoid(center, (1.5 * size, 0.2, 0.6 * size)), -0.9)


def rib_points(body: Body) -> np.ndarray:
  """(side, rib, outline, along, 3): ribs as hollow flat tubes on the cage."""
  sign = np.array([-1.0, 1.0])[:, None, None, None]
  rib = np.arange(_RIBS)[None, :, None, None]
  turn = np.linspace(0, 2 * np.pi, 10, endpoint=False)[None, None, :, None]
  reach = 2.0 + 0.06 * np.minimum(rib, 5)
  along = np.linspace(0, 1, 130)[None, None, None, :]
  angle = 0.12 + reach * along
  z = 0.82 - 0.142 * rib * body.height
  z = z + 0.06 * np.sin(np.pi * along) - (0.24 + 0.018 * rib) * along**1.3
  z = z + 0.030 * np.cos(turn)
  ring = np.sqrt(np.maximum(1 - ((z + 0.16) / (1.05 * body.height)) ** 2, 0.05))
  out = 0.011 * np.sin(turn)
  scale = body.lung_scale
  x = sign * (0.735 * body.width * scale * ring + out) * np.sin(angle)
  y = -0.02 - (0.53 * body.depth * scale * ring + out) * np.cos(angle)
  # Only the part behind follows a bent spine.
  x = x + spine_x(body, z) * np.clip(1 - 2.5 * along, 0, 1)
  return np.stack(np.broadcast_arrays(x, y, z), axis=-1)


def cortex(points: np.ndarray, density: float) -> Strands:
  """The surface of bones from (..., outline, along, 3) points."""
  step = np.linalg.norm(np.gradient(points, axis=-2), axis=-1)
  mass = density * _CORTEX * step
  return Strands(points.reshape(-1, 3), mass.reshape(-1), BONE_BLUR)


def _clavicles(body):
  bones = []
  for sign in SIDES.values():
    knots = [
      (sign * 0.09, 0.26, 0.60),
      (sign * 0.28, 0.28, 0.635),
      (sign * 0.50 * body.width, 0.16, 0.70),
      (sign * 0.78 * body.width, 0.05, 0.76),
    ]
    center = smooth_curve(knots)
    turn = np.linspace(0, 2 * np.pi, 8, endpoint=False)[:, None]
    ring = 0.032 * np.stack([0 * turn, np.sin(turn), np.cos(turn)], axis=-1)
    bones.append(cortex(center[None] + ring, density=4.0))
  return bones


def sternum_y(body: Body, z: np.ndarray | float) -> np.ndarray | float:
  """Depth of the sternum at the height z."""
  return 0.52 * body.depth * body.lung_scale - 0.26 * np.maximum(z, 0)


def _sternum(body):
  knots = [(0, sternum_y(body, z), z) for z in (0.52, 0.2, 0.0, -0.3)]
  return [line(knots, 0.035, 0.5)]


def _vessels(body, side, rng):
  """Pulmonary vessels: from the hilum outwards, thinner as they go."""
  sign = SIDES[side]
  count = (_VESSELS, 1)
  elevation = rng.uniform(-1.35, 1.25, count)
  azimuth = rng.uniform(-1.1, 1.1, count)
  length = rng.uniform(0.35, 0.72, count)
  bend = rng.normal(0, 0.10, (_VESSELS, 1, 3))
  start = rng.normal(0, 0.035, (_VESSELS, 1, 3))
  thickness = rng.uniform(0.010, 0.021, count)
  t = np.linspace(0, 1, 36)[None, :]
  reach = length * t
  points = np.stack(
    [
      sign * (0.14 * body.width + reach * np.cos(elevation) * np.cos(azimuth)),
      -0.02 + reach * np.cos(elevation) * np.sin(azimuth),
      0.06 + 1.1 * reach * np.sin(elevation),
    ],
    axis=-1,
  )
  points = points + start + bend * (t**2)[..., None]
  width = thickness * (1 - 0.72 * t) * np.sqrt(body.vessel_gain)
  mass = 1.1 * np.pi * width**2 * length / t.size
  return Strands(points.reshape(-1, 3), mass.reshape(-1), 0.008, lung=side)
