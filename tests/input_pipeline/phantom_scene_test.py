"""The patients of the phantom: what they have, and where it lies."""

import collections
import itertools

import numpy as np
import pytest

from input_pipeline.findings import ATTRIBUTES, DRAWN_FINDINGS, Finding
from input_pipeline.phantom.lesions import build_scene
from input_pipeline.phantom.render import Camera, project
from input_pipeline.phantom.sampling import (
  PHANTOM_FINDINGS,
  complete,
  sample_findings,
)
from input_pipeline.phantom.scene import Ellipsoid, line


@pytest.fixture(scope='module')
def patients():
  """The findings of 3,000 patients."""
  return [sample_findings(np.random.default_rng([3, i])) for i in range(3000)]


def shadow(finding, size=64, patient=5):
  """What a finding adds to the frontal line integrals (rows from the head)."""
  with_it = build_scene([finding], np.random.default_rng(patient))
  without = build_scene([], np.random.default_rng(patient))
  camera = Camera('frontal', without.poses['frontal'], size)
  return np.abs(project(with_it, camera) - project(without, camera))


def center_of(image):
  rows, columns = np.indices(image.shape)
  return (rows * image).sum() / image.sum(), (
    columns * image
  ).sum() / image.sum()


def test_the_phantom_draws_the_findings_of_the_vocabulary():
  assert set(PHANTOM_FINDINGS) == set(DRAWN_FINDINGS)
  for name, attributes in PHANTOM_FINDINGS.items():
    assert set(attributes) <= set(ATTRIBUTES[name])


def test_another_patients_findings_are_seldom_right(patients):
  counts = collections.Counter(
    finding.name for findings in patients for finding in findings
  )
  total = sum(counts.values())
  by_chance = sum(count**2 for count in counts.values()) / len(patients)
  assert by_chance / total < 0.05  # the F1 of perfect reports, dealt out
  different = {tuple(map(str, findings)) for findings in patients[:240]}
  assert len(different) > 240 / 3


def test_every_finding_is_frequent_and_half_are_normal(patients):
  counts = collections.Counter(
    finding.name for findings in patients for finding in findings
  )
  assert set(counts) == set(PHANTOM_FINDINGS)
  assert min(counts.values()) > 0.03 * len(patients)
  normal = sum(not findings for findings in patients) / len(patients)
  assert 0.42 < normal < 0.52
  assert {len(findings) for findings in patients} == {0, 1, 2, 3}


def test_findings_carry_exactly_their_attributes(patients):
  seen = collections.defaultdict(set)
  for finding in itertools.chain(*patients):
    for attribute in ('side', 'zone', 'severity'):
      if value := getattr(finding, attribute):
        seen[finding.name, attribute].add(value)
  assert seen == {
    (name, attribute): set(choices)
    for name, attributes in PHANTOM_FINDINGS.items()
    for attribute, choices in attributes.items()
  }


def test_no_two_findings_hide_each_other(patients):
  for findings in patients:
    names = [finding.name for finding in findings]
    assert len(set(names)) == len(names)
    assert not {'hyperinflation', 'atelectasis'} <= set(names)
    collapsed = {f.side for f in findings if f.name == 'pneumothorax'}
    nodules = {f.side for f in findings if f.name == 'nodule'}
    assert not collapsed & nodules


def test_complete_fills_in_what_is_missing_only():
  rng = np.random.default_rng(0)
  finding = complete(Finding('nodule', side='left'), rng)
  assert finding.side == 'left'
  assert finding.zone in ('upper', 'mid', 'lower')
  assert finding.severity == ''
  graded = Finding('scoliosis', severity='mild')
  assert complete(graded, rng).severity == 'mild'


def test_the_patient_is_the_same_with_and_without_a_finding():
  without = build_scene([], np.random.default_rng(1))
  nodule = Finding('nodule', 'left', 'upper')
  with_it = build_scene([nodule], np.random.default_rng(1))
  assert with_it.solids[: len(without.solids)] == without.solids
  assert len(with_it.solids) == len(without.solids) + 1
  assert with_it.poses == without.poses
  for one, other in zip(with_it.strands, without.strands, strict=True):
    np.testing.assert_array_equal(one.points_Px3, other.points_Px3)


def test_a_second_finding_leaves_the_first_where_it_is():
  nodule = Finding('nodule', 'left', 'upper')
  wires = Finding('sternotomy')
  alone = build_scene([nodule], np.random.default_rng(1))
  both = build_scene([wires, nodule], np.random.default_rng(1))
  assert alone.solids[-1] == both.solids[-1]


@pytest.mark.parametrize(
  'name',
  [
    'effusion',
    'opacity',
    'nodule',
    'pneumothorax',
    'atelectasis',
    'granuloma',
    'pacemaker',
    'fracture',
    'pleural thickening',
    'scoliosis',
  ],
)
def test_the_right_side_is_at_the_left_of_the_film(name):
  rng = np.random.default_rng(0)
  for side, at_left in (('right', True), ('left', False)):
    finding = complete(Finding(name, side=side), rng)
    _, column = center_of(shadow(finding))
    assert (column < 31.5) == at_left, finding


@pytest.mark.parametrize('name', ['opacity', 'nodule', 'granuloma'])
def test_zones_lie_above_each_other(name):
  rows = [
    center_of(shadow(Finding(name, 'left', zone)))[0]
    for zone in ('upper', 'mid', 'lower')
  ]
  assert rows[0] + 6 < rows[1] < rows[2] - 6


@pytest.mark.parametrize(
  ('name', 'side'),
  [('cardiomegaly', ''), ('effusion', 'left'), ('edema', '')],
)
def test_what_is_graver_changes_more(name, side):
  amounts = [
    shadow(Finding(name, side, severity=severity)).sum()
    for severity in ('mild', 'moderate', 'severe')
  ]
  assert 1.3 * amounts[0] < amounts[1] < amounts[2] / 1.3


def test_a_worse_pneumothorax_leaves_less_lung():
  volumes = []
  for severity in ('mild', 'moderate', 'severe'):
    finding = Finding('pneumothorax', 'left', severity=severity)
    scene = build_scene([finding], np.random.default_rng(2))
    volumes.append(np.prod(scene.lungs['left'].collapsed.radii))
    assert scene.lungs['right'].collapsed is None
  assert volumes[0] > 1.3 * volumes[1] > 1.3**2 * volumes[2]


def test_what_cannot_be_drawn_is_refused():
  rng = np.random.default_rng(0)
  with pytest.raises(ValueError, match="does not draw 'pneumonia'"):
    build_scene([Finding('pneumonia')], rng)
  with pytest.raises(ValueError, match='has no zone'):
    build_scene([Finding('nodule', side='left')], rng)


def test_ellipsoid_contains_its_turned_axis():
  shape = Ellipsoid((1.0, 2.0, 3.0), (2.0, 0.5, 0.1), tilt=0.3)
  axis = np.array([np.cos(0.3), 0.0, -np.sin(0.3)])
  points = np.array(shape.center) + np.outer([1.99, 2.01, -1.99], axis)
  assert shape.contains(points).tolist() == [True, False, True]


def test_a_wire_weighs_its_length_times_its_section():
  wire = line([(0, 0, 0), (0, 0, 1), (0, 0, 2)], thickness=0.1, density=3.0)
  expected = 2 * np.pi * 0.1**2 * 3.0
  assert wire.mass_P.sum() == pytest.approx(expected, rel=0.02)
