"""The films of the phantom: physics, and that every finding can be seen."""

import itertools
import zlib

import numpy as np
import pytest

from input_pipeline.findings import Finding
from input_pipeline.phantom import render as film
from input_pipeline.phantom.films import draw_study
from input_pipeline.phantom.lesions import build_scene
from input_pipeline.phantom.sampling import PHANTOM_FINDINGS
from input_pipeline.phantom.scene import (
  Ellipsoid,
  Lung,
  Pose,
  Scene,
  Solid,
  line,
)

STRAIGHT = Pose(yaw=0.0, roll=0.0, shift=(0.0, 0.0), zoom=1.0)
TURNED = Pose(yaw=0.2, roll=-0.1, shift=(0.05, -0.02), zoom=1.1)
EGG = Ellipsoid((0.1, -0.2, 0.05), (0.5, 0.3, 0.2), tilt=0.4)


def scene_of(solids=(), strands=(), lungs=None):
  """A scene without a patient around it."""
  return Scene(
    torso=[Ellipsoid((9.0, 9.0, 9.0), (0.1, 0.1, 0.1))],
    shoulders=[],
    lungs=lungs or {},
    solids=list(solids),
    strands=list(strands),
    poses=dict.fromkeys(film.VIEWS, STRAIGHT),
    exposure=1.0,
    gamma=1.0,
  )


def mass(image, camera):
  return image.sum() * camera.pitch**2


@pytest.mark.parametrize('view', film.VIEWS)
def test_chords_of_a_ball(view):
  camera = film.Camera(view, STRAIGHT, 101)  # the middle pixel is at 0, 0
  ball = Ellipsoid(
    (0.0, 0.3, 0.0) if view == 'frontal' else (0.3, 0, 0), (0.5,) * 3
  )
  entry, exit_, _ = camera.chord(ball, camera.whole())
  assert (exit_ - entry)[50, 50] == pytest.approx(1.0)
  distance = np.hypot(camera.u[60], camera.v[40])
  expected = 2 * np.sqrt(0.25 - distance**2)
  assert (exit_ - entry)[40, 60] == pytest.approx(expected)
  assert (entry + exit_)[50, 50] / 2 == pytest.approx(0.3)
  assert (exit_ - entry)[0, 0] == 0


@pytest.mark.parametrize('view', film.VIEWS)
@pytest.mark.parametrize('pose', [STRAIGHT, TURNED])
@pytest.mark.parametrize(('soft', 'share'), [(False, 1.0), (True, 0.4)])
def test_a_solid_weighs_the_same_from_everywhere(view, pose, soft, share):
  # The integral of 1 - r^2 over a ball is 2/5 of its volume.
  camera = film.Camera(view, pose, 200)
  image = film.project(scene_of([Solid(EGG, 2.0, soft=soft)]), camera)
  volume = 4 / 3 * np.pi * np.prod(EGG.radii)
  assert mass(image, camera) == pytest.approx(2 * share * volume, rel=2e-3)


@pytest.mark.parametrize('view', film.VIEWS)
def test_strands_keep_their_mass(view):
  camera = film.Camera(view, TURNED, 96)
  wire = line([(-0.3, 0.1, 0.2), (0.1, -0.2, 0.0), (0.2, 0.3, -0.4)], 0.02, 5)
  image = film.project(scene_of(strands=[wire]), camera)
  assert mass(image, camera) == pytest.approx(wire.mass_P.sum(), rel=1e-6)


def test_gas_lies_above_its_level():
  camera = film.Camera('frontal', STRAIGHT, 64)
  image = film.project(scene_of([Solid(EGG, 1.0, floor=0.05)]), camera)
  assert image[camera.v > 0.06].sum() > 0
  assert image[camera.v < 0.04].sum() == 0


@pytest.mark.parametrize('view', film.VIEWS)
@pytest.mark.parametrize('collapsed', [False, True])
def test_air_in_the_lung_agrees_with_counting_points(view, collapsed):
  lung = Lung(
    cavity=Ellipsoid((0.3, 0.0, 0.0), (0.4, 0.5, 0.8), 0.1),
    outside=[
      Ellipsoid((0.1, 0.1, -0.2), (0.3, 0.3, 0.3), 0.4),
      Ellipsoid((0.3, 0.0, -0.9), (0.5, 0.6, 0.5)),
      Ellipsoid((0.0, 0.0, 0.2), (0.15, 0.3, 0.8)),
    ],
    density=0.25,
    within=[Ellipsoid((0.3, 0.0, 0.7), (0.5, 0.6, 1.0))],
  )
  half = Ellipsoid((0.2, 0.0, -0.1), (0.25, 0.4, 0.5))
  camera = film.Camera(view, TURNED, 24)
  image = film._aerated(
    lung, camera, camera.whole(), inside=half if collapsed else None
  )
  if collapsed:
    lung.collapsed = half
  depth = np.linspace(-1.2, 1.2, 600)
  counted = np.zeros_like(image)
  for row, column in itertools.product(range(24), range(24)):
    ray = np.stack(
      np.broadcast_arrays(camera.u[column], camera.v[row], depth), axis=-1
    )
    counted[row, column] = lung.contains_tissue(ray @ camera.axes).mean() * 2.4
  assert counted.max() > 0.3
  np.testing.assert_allclose(image, counted, atol=0.015)


def test_photon_noise_has_the_variance_of_poisson():
  water = np.full((200, 200), 0.5)
  for exposure in (0.5, 2.0):
    noise = film.expose(water, exposure, np.random.default_rng(0))
    blurred = film._blur(
      np.random.default_rng(1).standard_normal((200, 200)),
      0.5 * film._FOCUS * 200,
    )
    counts = film._PHOTONS * exposure / 200**2 * noise.mean()
    expected = blurred.std() / np.sqrt(counts)
    assert noise.std() / noise.mean() == pytest.approx(expected, rel=0.05)


def test_both_films_show_a_nodule_at_the_same_height():
  findings = [Finding('nodule', 'left', 'upper')]
  scene = build_scene(findings, np.random.default_rng(3))
  healthy = build_scene([], np.random.default_rng(3))
  rows = []
  for view in film.VIEWS:
    camera = film.Camera(view, STRAIGHT, 100)
    change = film.project(scene, camera) - film.project(healthy, camera)
    rows.append((change.sum(axis=1) @ np.arange(100)) / change.sum())
  assert rows[0] == pytest.approx(rows[1], abs=0.1)


def test_films_look_alike_at_every_size():
  scene = build_scene([], np.random.default_rng(4))
  small, large = (
    film.render(scene, 'frontal', size, np.random.default_rng(0)).astype(float)
    for size in (64, 128)
  )
  large = large.reshape(64, 2, 64, 2).mean(axis=(1, 3))
  assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.99
  assert abs(small.mean() - large.mean()) < 5


def test_films_are_grey_and_use_the_whole_scale():
  for image in draw_study([], seed=0, index=0, size=80):
    assert image.dtype == np.uint8
    assert image.shape == (80, 80)
    assert image.min() == 0
    assert image.max() > 200
    assert 40 < image.mean() < 140


def test_another_view_is_refused():
  scene = build_scene([], np.random.default_rng(0))
  with pytest.raises(ValueError, match="view is 'oblique'"):
    film.render(scene, 'oblique', 64, np.random.default_rng(0))


def all_findings():
  """Each finding of the phantom in every side, zone and severity."""
  return [
    Finding(name, **dict(zip(attributes, values, strict=True)))
    for name, attributes in PHANTOM_FINDINGS.items()
    for values in itertools.product(*attributes.values())
  ]


def visibility(findings, patient, size=112):
  """How far the frontal film changes, in units of re-drawn photon noise.

  The neighbourhood of a finding is where it changes the noise-free line
  integrals by a quarter of its greatest change or more. There, the root mean
  square grey difference between the film with and the film without it, each
  with photons of its own, is divided by that between two films without it.
  So 1 means that nothing can be seen.
  """
  with_it = build_scene(findings, np.random.default_rng(patient))
  without = build_scene([], np.random.default_rng(patient))
  camera = film.Camera('frontal', without.poses['frontal'], size)
  change = np.abs(film.project(with_it, camera) - film.project(without, camera))
  near = change >= 0.25 * change.max()

  def rendered(scene, photons):
    rng = np.random.default_rng(photons)
    return film.render(scene, 'frontal', size, rng).astype(float)[near]

  first, second = rendered(without, 1), rendered(without, 2)
  seen = ((rendered(with_it, 3) - first) ** 2).mean()
  noise = ((second - first) ** 2).mean()
  return np.sqrt(seen / noise)


@pytest.mark.parametrize('finding', all_findings(), ids=str)
def test_every_finding_can_be_seen(finding):
  assert visibility([finding], patient=11) > 3


def test_the_measure_of_visibility_is_1_where_there_is_nothing():
  assert visibility([], patient=11) == pytest.approx(1, abs=0.1)


# Checksums of draw_study(findings, seed=1, index=0, size=64). If they change,
# the same seed gives other films: then write.VERSION must go up, too.
GOLDEN = {
  (): (3533896432, 2194361824),
  ('effusion', 'left', '', 'moderate'): (206893086, 4215117443),
  ('pacemaker', 'right', '', ''): (420816871, 4039694521),
}


@pytest.mark.parametrize('finding', GOLDEN)
def test_the_same_seed_gives_the_same_films(finding):
  findings = [Finding(*finding)] if finding else []
  films = draw_study(findings, seed=1, index=0, size=64)
  sums = tuple(zlib.crc32(image.tobytes()) for image in films)
  assert sums == GOLDEN[finding]
