"""Which study is for training, and what a split may be called."""

import dataclasses
import json

import pytest

from input_pipeline.layouts import official, splits
from input_pipeline.study import SPLITS, DataError, Study
from tests.made import small_layouts
from tests.made.selecting import dropped, kept, select
from tests.made.small_layouts import ODD, many


def studies_of(ids):
  """{split: studies}, with nothing but their ids."""
  empty = Study(id='', films=(), views=(), sections={})
  return {
    split: [dataclasses.replace(empty, id=name) for name in names]
    for split, names in ids.items()
  }


@pytest.fixture
def whole():
  """Ids with the numbers of R2Gen's split; the series are made up."""
  ids = {split: [] for split in SPLITS}
  for number in range(4000):
    name = f'CXR{number}_IM-0001'
    if split := official.split_of(name):
      ids[split].append(name)
  return ids


def test_a_split_is_r2gens_only_if_all_of_its_studies_are_its_own(
  whole, monkeypatch
):
  assert {s: len(names) for s, names in whole.items()} == official.COUNTS
  # With other series than the true ones it is not the official one.
  named = splits.split_source('a.json', studies_of(whole))
  assert named == 'r2gen, 2,955 of 2,955'
  digests = {s: splits.part_digest(v) for s, v in studies_of(whole).items()}
  monkeypatch.setattr(official, 'DIGESTS', digests)
  assert splits.split_source('a.json', studies_of(whole)) == 'r2gen'
  whole['train'].pop()
  studies = studies_of(whole)
  assert splits.split_source('a.json', studies) == 'r2gen, 2,954 of 2,955'
  assert splits.split_source('hash-v1', studies) == 'hash-v1'
  assert [splits.is_official(*part) for part in studies.items()] == [
    False, True, True,
  ]  # fmt: skip
  whole['val'].append(whole['test'].pop())
  assert splits.split_source('a.json', studies_of(whole)) == 'a.json'
  whole['val'][-1] = 'mine'
  assert splits.split_source('a.json', studies_of(whole)) == 'a.json'


def test_ids_of_other_data_are_in_no_part():
  for name in ('7', 'train-7', 's50000001', 'CXR4000_IM-1', 'CXR99999_IM-1'):
    assert official.split_of(name) is None


def test_a_part_has_one_digest_in_every_layout(tmp_path):
  studies = (*ODD, *many(30))
  small_layouts.write_openi(tmp_path / 'openi', studies)
  small_layouts.write_kaggle(tmp_path / 'kaggle', studies)
  openi, kaggle = select(tmp_path / 'openi'), select(tmp_path / 'kaggle')
  assert {'CXR1_1_IM-0001'} == kept(openi).keys() - kept(kaggle).keys()
  digests = [
    {s: splits.part_digest(v) for s, v in dataset.studies.items()}
    for dataset in (openi, kaggle)
  ]
  assert digests[0] == digests[1]
  assert len(set(digests[0].values())) == 3


def test_a_split_file_gives_ids_order_and_split(tmp_path):
  small_layouts.write_kaggle(tmp_path / 'kaggle', ODD)
  path = tmp_path / 'annotation.json'
  ids = {'train': ['CXR20_IM-0652'], 'val': ['CXR99_IM-1'], 'test': []}
  ids['test'] += ['CXR7_IM-2263', 'CXR1_1_IM-0001']
  path.write_text(
    json.dumps({s: [{'id': i} for i in names] for s, names in ids.items()})
  )
  dataset = select(tmp_path / 'kaggle', split_from=str(path))
  assert dataset.split_name == 'annotation.json'
  assert [s.id for s in dataset.studies['test']] == ids['test']
  assert [s.id for s in dataset.studies['train']] == ids['train']
  assert dropped(dataset)['not in the split file'] == 1
  assert dropped(dataset)['only in the split file'] == 1


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (None, 'There is no split file'),
    ('{', 'is not JSON'),
    ('{"train": [], "val": []}', "has no list 'test'"),
    ('{"train": [{"id": "a"}], "val": [{"id": "a"}], "test": []}', 'twice'),
    ('{"train": [{"id": 1}], "val": [], "test": []}', 'names 1 '),
  ],
)
def test_split_files_that_are_none(tmp_path, content, message):
  path = tmp_path / 'annotation.json'
  if content:
    path.write_text(content)
  with pytest.raises(DataError, match=message):
    splits.read_split_file(path)


def test_hash_split_is_what_it_was(tmp_path):
  """Another split under the same name would make results incomparable."""
  small_layouts.write_openi(tmp_path / 'openi', many(60))
  dataset = select(tmp_path / 'openi')
  assert dataset.split_name == 'hash-v1'
  assert {s: len(v) for s, v in dataset.studies.items()} == {
    'train': 42, 'val': 6, 'test': 12,
  }  # fmt: skip
  assert {s: splits.part_digest(v) for s, v in dataset.studies.items()} == {
    'train': '955f0e00e730', 'val': '57a19225ebf5', 'test': 'a0da938ec2d2',
  }  # fmt: skip
  normal = {s: [x.mesh == ('normal',) for x in v]
            for s, v in dataset.studies.items()}  # fmt: skip
  assert {s: sum(v) for s, v in normal.items()} == {
    'train': 28, 'val': 4, 'test': 8,
  }  # fmt: skip


def test_hash_split_keeps_equal_reports_together(tmp_path):
  studies = [
    (*s[:3], s[3].replace(f'patient {n}', f'patient {n % 20}'), *s[4:])
    for n, s in enumerate(many(60))
  ]
  studies = [  # cleaning makes them the same
    (*s[:3], s[3].upper() if n % 2 else s[3], *s[4:])
    for n, s in enumerate(studies)
  ]
  small_layouts.write_openi(tmp_path / 'openi', studies)
  split_of = {}
  for study in kept(select(tmp_path / 'openi')).values():
    assert split_of.setdefault(study.report.lower(), study.split) == study.split
  assert len(split_of) > 20
