"""EKAGen's rows of the speed benchmark: what they are, and how they scale."""

import argparse
import dataclasses

import numpy as np
import pytest

from benchmarks.speed import ekagen_sizes as ekagen
from benchmarks.speed.__main__ import beside, scale_of, sides_of
from benchmarks.speed.page import page
from benchmarks.speed.processes import Measured, row_of
from benchmarks.speed.workloads import EKAGEN, WORKLOADS, Plan

PLAN = dataclasses.replace(
  Plan(**dict.fromkeys(f.name for f in dataclasses.fields(Plan))),
  ekagen_size='published',
)


def test_the_sizes_are_those_of_their_scripts():
  sizes = ekagen.sizes_of('published')
  assert (sizes.train, sizes.write, sizes.image) == (8, 16, 300)
  # 126 words need 127 passes, the last of which they throw away.
  assert (sizes.all_passes, sizes.words) == (127, 126)
  assert scale_of('ekagen_write', PLAN, {})['theirs'] == 127 / sizes.passes


def test_reports_start_and_end_and_are_of_all_lengths():
  sizes = ekagen.sizes_of('published')
  ids_BxT = ekagen.reports(sizes)
  assert ids_BxT.shape == (8, 129) and (ids_BxT[:, 0] == 1).all()
  assert ((ids_BxT == 2).sum(axis=1) == 1).all()
  after = np.cumsum(ids_BxT == 2, axis=1) - (ids_BxT == 2) > 0
  assert (ids_BxT[after] == 0).all() and (ids_BxT[~after] > 0).all()
  assert len(set((~after).sum(axis=1))) > 1


@pytest.mark.parametrize(
  ('pytorch', 'of_ekagen', 'count'),
  [(None, None, 8), ('a', 'b', 8), ('a', None, 6), (None, 'b', 2)],
)
def test_a_checkout_names_its_workloads(pytorch, of_ekagen, count):
  names = beside(argparse.Namespace(pytorch=pytorch, ekagen=of_ekagen))
  assert len(names) == count and set(names) <= set(WORKLOADS)
  if count == 2:
    assert tuple(names) == EKAGEN


def test_their_side_runs_where_its_checkout_is():
  plan = dataclasses.replace(PLAN, ekagen='there')
  assert sides_of('ekagen_write', plan, at_best=True) == ('ours', 'theirs')
  assert sides_of('train_step', plan, at_best=True) == ('ours',)
  plan = dataclasses.replace(PLAN, checkout='there')
  assert sides_of('ekagen_write', plan, at_best=False) == ('ours',)
  best = sides_of('train_step', plan, at_best=True)
  assert best == ('ours', 'theirs', 'theirs_best')


def test_the_page_says_how_their_writing_was_timed():
  reports = [[5, 6, 7, 8], [5, 9, 7, 8]]
  found = {
    'ours': Measured([2.0], 100, 1.0, 1.0, 1.0, 8.0, reports),
    'theirs': Measured([6.0], 300, None, 1.0, 1.0, None, [[5, 6], [5, 6]]),
  }
  scale = scale_of('ekagen_write', PLAN, found)
  row, detail = row_of('ekagen_write', found, scale, peak=16)
  assert row['ratio'] == pytest.approx(127) and row['goal'] == 100
  assert (detail['same_reports'], detail['reports']) == (1, 2)
  machine = {
    'processor': 'one',
    'cores': 2,
    'memory_bytes': 1e9,
    'device': 'cpu',
    'matmul_peak_flops': 16e9,
  }
  plan = dataclasses.asdict(PLAN) | {'encoder': 'resnet101', 'beam': 3}
  content = {
    'machine': machine,
    'versions': {},
    'plan': plan,
    'rows': [row],
    'details': {'ekagen_write': detail},
  }
  said = ' '.join(page(content).split())
  assert '127 equal passes; 3 were timed, and the time scaled by 127/3' in said
  assert 'Of the 2 reports 1 have the same words as far as theirs' in said
  assert 'resnet101, 300 pixels, 128 positions' in said
