"""What each finding changes in the chest."""

import numpy as np

from input_pipeline.findings.vocabulary import DRAWN_FINDINGS, Finding
from input_pipeline.phantom import anatomy
from input_pipeline.phantom.sampling import PHANTOM_FINDINGS
from input_pipeline.phantom.scene import (
  SIDES,
  Ellipsoid,
  Scene,
  Solid,
  line,
)

_ZONE_Z = {'upper': 0.42, 'mid': 0.08, 'lower': -0.25}
_TITANIUM, _STEEL, _PLASTIC = 13.0, 28.0, 20.0

# Gaps between the degrees are wider than the spread inside each.
_HEART_GROWTH = {'mild': 0.36, 'moderate': 0.60, 'severe': 0.86}
_FLUID_LEVEL = {'mild': -0.50, 'moderate': -0.20, 'severe': 0.12}
_COLLAPSE = {'mild': 0.20, 'moderate': 0.37, 'severe': 0.56}
_CONGESTION = {'mild': 0.60, 'moderate': 1.10, 'severe': 1.80}
_CURVATURE = {'mild': 0.18, 'moderate': 0.26, 'severe': 0.31}


def build_scene(findings: list[Finding], rng: np.random.Generator) -> Scene:
  """The patient with `findings`: each complete in side, zone and severity.

  The body and each finding draw from streams of their own, so that the same
  patient is there with and without any one finding.
  """
  for finding in findings:
    _check(finding)
  body_rng, anatomy_rng, *lesion_rngs = rng.spawn(2 + len(DRAWN_FINDINGS))
  streams = dict(zip(DRAWN_FINDINGS, lesion_rngs, strict=True))
  body = anatomy.sample_body(body_rng)
  for finding in findings:
    if finding.name in _DEFORM:
      _DEFORM[finding.name](body, finding)
  scene = anatomy.build_anatomy(body, anatomy_rng)
  for finding in findings:
    if finding.name in _ADD:
      _ADD[finding.name](scene, body, finding, streams[finding.name])
  return scene


def _check(finding):
  if finding.name not in PHANTOM_FINDINGS:
    raise ValueError(
      f'The phantom does not draw {finding.name!r}; expected one of '
      f'{", ".join(PHANTOM_FINDINGS)}.'
    )
  for attribute in PHANTOM_FINDINGS[finding.name]:
    if not getattr(finding, attribute):
      raise ValueError(
        f'{finding} has no {attribute}; give one, or call sampling.complete.'
      )


def _sides(finding):
  return tuple(SIDES) if finding.side == 'bilateral' else (finding.side,)


def _degree(finding, amounts):
  # The reports of a phantom do not grade them all; those of people may.
  return amounts[finding.severity or 'moderate']


def _enlarge_heart(body, finding):
  body.heart_scale += _degree(finding, _HEART_GROWTH)


def _raise_diaphragm(body, finding):
  if finding.zone == 'lower':
    for side in _sides(finding):
      body.diaphragm_raised[side] = 0.10


def _congest_vessels(body, finding):
  body.vessel_gain = 1.0 + 0.35 * _degree(finding, _CONGESTION)


def _overinflate(body, finding):
  del finding
  body.lung_scale = 1.09
  body.lung_density = 0.19
  body.depth *= 1.06
  body.diaphragm_drop = 0.15
  body.diaphragm_dome = 0.17
  body.heart_scale *= 0.80


def _bend_spine(body, finding):
  sign = 1 if finding.side == 'left' else -1
  body.spine_bend = sign * _degree(finding, _CURVATURE)


def _unfold_aorta(body, finding):
  del finding
  body.aorta_scale = 1.45
  body.aorta_bulge = 0.17


_DEFORM = {
  'cardiomegaly': _enlarge_heart,
  'atelectasis': _raise_diaphragm,
  'edema': _congest_vessels,
  'hyperinflation': _overinflate,
  'scoliosis': _bend_spine,
  'tortuous aorta': _unfold_aorta,
}


def _add_effusion(scene, body, finding, rng):
  """Fluid below a bowl: it climbs the chest wall all round (meniscus)."""
  level = _degree(finding, _FLUID_LEVEL) + rng.uniform(-0.03, 0.03)
  for side in _sides(finding):
    center = (0.88 * anatomy.lung_x(body, side), 0.06, level + 1.25)
    air = Ellipsoid(center, (0.56 * body.width, 0.72 * body.depth, 1.25))
    scene.lungs[side].within.append(air)


def _add_opacity(scene, body, finding, rng):
  """A patch of soft, overlapping clouds."""
  for side in _sides(finding):
    middle = _place(body, side, finding.zone, rng, spread=0.03)
    for _ in range(6):
      offset = rng.normal(0, (0.060, 0.070, 0.055))
      radii = rng.uniform(0.16, 0.22, 3)
      cloud = Ellipsoid(tuple(middle + offset), tuple(radii))
      scene.solids.append(Solid(cloud, 0.52, soft=True, lung=side))


def _add_nodule(scene, body, finding, rng):
  _add_ball(scene, body, finding, rng, 0.05, (0.060, 0.070), 6.5)


def _add_granuloma(scene, body, finding, rng):
  _add_ball(scene, body, finding, rng, 0.06, (0.028, 0.034), 20.0)


def _add_ball(scene, body, finding, rng, spread, radii, density):
  for side in _sides(finding):
    center = _place(body, side, finding.zone, rng, spread)
    ball = Ellipsoid(tuple(center), (rng.uniform(*radii),) * 3)
    scene.solids.append(Solid(ball, density))


def _place(body, side, zone, rng, spread):
  """A point in one zone of a lung, clear of heart and hilum."""
  lateral = {'upper': -0.01, 'mid': 0.08, 'lower': 0.10}[zone]
  x = anatomy.lung_x(body, side) + SIDES[side] * lateral
  y = rng.uniform(-0.15, 0.10)
  offset = rng.uniform(-spread, spread, 2)
  return np.array([x + offset[0], y, _ZONE_Z[zone] + offset[1]])


def _add_pneumothorax(scene, body, finding, rng):
  """The lung shrinks towards its hilum; its pleura shows as a line."""
  share = _degree(finding, _COLLAPSE) + rng.uniform(-0.02, 0.02)
  for side in _sides(finding):
    lung = scene.lungs[side]
    x, y, z = lung.cavity.center
    center = (x - SIDES[side] * 0.42 * share, y, z - 0.42 * share)
    rx, ry, rz = lung.cavity.radii
    radii = (
      rx * (1 - 0.95 * share),
      ry * (1 - 0.6 * share),
      rz * (1 - 0.62 * share),
    )
    lung.collapsed = Ellipsoid(center, radii, lung.cavity.tilt)
    scene.solids.append(Solid(lung.collapsed, 2.2, lung=side))
    inner = Ellipsoid(
      center, tuple(radius - 0.012 for radius in radii), lung.cavity.tilt
    )
    scene.solids.append(Solid(inner, -2.2, lung=side))


def _add_atelectasis(scene, body, finding, rng):
  """Two or three dense plates; at the base, above a raised diaphragm."""
  for side in _sides(finding):
    x = anatomy.lung_x(body, side)
    dome = anatomy.diaphragm(body, side)
    low = dome.center[2] + dome.radii[2] + 0.09
    if finding.zone != 'lower':
      low = _ZONE_Z[finding.zone] - 0.08
    for plate in range(rng.integers(2, 4)):
      z = low + 0.08 * plate + rng.uniform(-0.015, 0.015)
      center = (x + rng.uniform(-0.03, 0.05), rng.uniform(-0.1, 0.1), z)
      shape = Ellipsoid(center, (0.22, 0.24, 0.017), rng.uniform(-0.2, 0.2))
      scene.solids.append(Solid(shape, 0.95, lung=side))


def _add_edema(scene, body, finding, rng):
  """Clouds around both hila, and short septal lines at the lung edges."""
  amount = _degree(finding, _CONGESTION)
  for side, sign in SIDES.items():
    for _ in range(5):
      x = sign * (0.23 * body.width + rng.uniform(-0.03, 0.10))
      center = (x, rng.uniform(-0.12, 0.10), 0.05 + rng.uniform(-0.17, 0.17))
      cloud = Ellipsoid(center, (0.27, 0.30, 0.32))
      scene.solids.append(Solid(cloud, 0.25 * amount, soft=True, lung=side))
    edge = sign * 0.66 * body.width
    for z in np.linspace(-0.42, -0.20, 5):
      knots = [(edge - sign * 0.10, -0.05, z), (edge, -0.05, z + 0.01)]
      scene.strands.append(line(knots, 0.010, 1.3 * amount))


def _add_pacemaker(scene, body, finding, rng):
  """A box under the clavicle, and a lead down to the right ventricle."""
  for side in _sides(finding):
    sign = SIDES[side]
    box = np.array((sign * 0.47 * body.width, 0.42, 0.46))
    box[[0, 2]] += rng.uniform(-0.03, 0.03, 2)
    shape = Ellipsoid(tuple(box), (0.115, 0.035, 0.095))
    scene.solids.append(Solid(shape, _TITANIUM))
    heart = anatomy.heart_of(body).center
    lead = [
      tuple(box),
      (sign * 0.34, 0.30, 0.61),
      (sign * 0.12 - 0.03, 0.10, 0.55),
      (-0.10, 0.02, 0.34),
      (-0.12, 0.04, 0.0),
      (-0.06, 0.14, -0.34),
      (heart[0] + 0.09, 0.24, heart[2] - 0.12),
    ]
    scene.strands.append(line(lead, 0.010, _STEEL))


def _add_sternotomy(scene, body, finding, rng):
  """Six wire loops around the sternum."""
  del finding
  turn = np.linspace(0, 2 * np.pi, 9)
  for z in np.linspace(0.44, -0.26, 6) + rng.uniform(-0.012, 0.012, 6):
    x = 0.045 * np.cos(turn)
    y = anatomy.sternum_y(body, z) + 0.03 * np.sin(turn)
    knots = np.stack([x, y, z + 0.028 * np.sin(turn)], axis=-1)
    scene.strands.append(line(knots, 0.009, _STEEL))


def _add_fracture(scene, body, finding, rng):
  """Three neighbouring ribs broken behind, with a step and callus."""
  points = anatomy.rib_points(body)
  for side in _sides(finding):
    first = int(rng.integers(3, 5))
    start = int(rng.integers(30, 37))
    for rib in range(first, first + 3):
      piece = points[list(SIDES).index(side), rib, :, start : start + 45]
      scene.strands.append(anatomy.cortex(piece, -anatomy.BONE))
      stepped = piece + np.array((0.0, 0.0, -0.068))
      scene.strands.append(anatomy.cortex(stepped, 1.5 * anatomy.BONE))
      for end in (piece[:, 0], stepped[:, 0]):
        callus = Ellipsoid(tuple(end.mean(axis=0)), (0.040, 0.040, 0.040))
        scene.solids.append(Solid(callus, 5.0, soft=True))


def _add_pleural_thickening(scene, body, finding, rng):
  """A dense cap over the apex, or a band along the side of the chest."""
  depth = rng.uniform(0.18, 0.23)
  for side in _sides(finding):
    lung = scene.lungs[side]
    x, y, z = lung.cavity.center
    rx, ry, rz = lung.cavity.radii
    if finding.zone == 'upper':
      air = Ellipsoid((x, y, z - 1.0), (0.8, 0.9, rz + 1.0 - depth))
    else:
      center = (x - SIDES[side] * 0.6 * depth, y, z)
      air = Ellipsoid(center, (rx, 1.5 * ry, 1.3 * rz), lung.cavity.tilt)
    lung.within.append(air)


def _add_hiatal_hernia(scene, body, finding, rng):
  """A round mass behind the heart, half filled with gas above a level."""
  del finding
  x, z = rng.uniform(-0.02, 0.05), rng.uniform(-0.37, -0.33)
  wall = Ellipsoid((x, -0.20 * body.depth, z), (0.19, 0.17, 0.17))
  scene.solids.append(Solid(wall, 0.6))
  level = z + rng.uniform(-0.02, 0.01)
  scene.solids.append(Solid(wall.scaled(0.86), -2.4, floor=level))


def _add_catheter(scene, body, finding, rng):
  """A line from the arm along the subclavian vein to the caval vein."""
  for side in _sides(finding):
    sign = SIDES[side]
    tip = rng.uniform(-0.06, 0.02)
    knots = [
      (sign * 1.00, -0.02, 0.40),
      (sign * 0.80 * body.width, 0.05, 0.52),
      (sign * 0.55 * body.width, 0.18, 0.66),
      (sign * 0.30, 0.22, 0.60),
      (sign * 0.10 - 0.05, 0.12, 0.48),
      (-0.135, 0.04, 0.30),
      (-0.14, 0.03, tip),
    ]
    scene.strands.append(line(knots, 0.012, _PLASTIC))


_ADD = {
  'effusion': _add_effusion,
  'opacity': _add_opacity,
  'nodule': _add_nodule,
  'pneumothorax': _add_pneumothorax,
  'atelectasis': _add_atelectasis,
  'edema': _add_edema,
  'granuloma': _add_granuloma,
  'pacemaker': _add_pacemaker,
  'sternotomy': _add_sternotomy,
  'fracture': _add_fracture,
  'pleural thickening': _add_pleural_thickening,
  'hiatal hernia': _add_hiatal_hernia,
  'catheter': _add_catheter,
}
