"""Which study is for training: split files and hash-v1."""

import json

import pytest

from input_pipeline.layouts import splits
from input_pipeline.study import DataError
from tests.made import small_layouts
from tests.made.selecting import dropped, kept, select
from tests.made.small_layouts import ODD, many


def test_a_split_file_gives_ids_order_and_split(tmp_path):
  small_layouts.write_kaggle(tmp_path / 'kaggle', ODD)
  path = tmp_path / 'annotation.json'
  ids = {'train': ['CXR20_IM-0652'], 'val': ['CXR99_IM-1'], 'test': []}
  ids['test'] += ['CXR7_IM-2263', 'CXR1_1_IM-0001']
  path.write_text(
    json.dumps({s: [{'id': i} for i in names] for s, names in ids.items()})
  )
  dataset = select(tmp_path / 'kaggle', split_from=path)
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
  members = [(s.id, s.split) for s in kept(dataset).values()]
  assert splits.members_digest(members) == '07d5c34165271004'
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
