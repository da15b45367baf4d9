import json

import pytest

from input_pipeline.datasets.r2gen import DataError, read_r2gen
from tests.r2gen_folder import write_annotation, write_r2gen


@pytest.fixture
def annotation(tmp_path):
  return write_r2gen(tmp_path)


def read(folder, skip_bad=False):
  return read_r2gen(folder, views=2, skip_bad=skip_bad)


def complaint(folder):
  """The message of the DataError that reading `folder` raises."""
  with pytest.raises(DataError) as caught:
    read(folder)
  return str(caught.value)


def test_reads_studies_in_the_order_of_the_annotation(tmp_path, annotation):
  dataset = read(tmp_path)
  assert dataset.name == 'iu_xray'
  assert dataset.label_source is None
  assert dataset.problems == []
  assert {s: len(v) for s, v in dataset.studies.items()} == {
    'train': 10, 'val': 3, 'test': 4,
  }  # fmt: skip
  study = dataset.studies['test'][2]
  assert (study.id, study.split) == ('test-2', 'test')
  assert study.report == annotation['test'][2]['report']
  assert study.films[1] == str(tmp_path / 'images' / 'test-2' / '1.png')
  assert study.findings is None


def test_reads_findings_and_what_the_data_is(tmp_path, annotation):
  findings = [{'name': 'effusion', 'side': 'left'}]
  annotation['val'][0]['findings'] = findings
  annotation['val'][1]['findings'] = []
  write_annotation(tmp_path, annotation)
  (tmp_path / 'dataset.json').write_text(
    json.dumps({'name': 'phantom', 'label_source': 'exact'})
  )
  dataset = read(tmp_path)
  assert (dataset.name, dataset.label_source) == ('phantom', 'exact')
  assert [s.findings for s in dataset.studies['val']] == [findings, [], None]


def test_one_view_takes_the_first_film(tmp_path, annotation):
  dataset = read_r2gen(tmp_path, views=1, skip_bad=False)
  films = [study.films for study in dataset.studies['train']]
  assert all(len(f) == 1 and f[0].endswith('0.png') for f in films)


@pytest.mark.parametrize('exists', [False, True])
def test_no_data_says_where_what_and_how(tmp_path, exists):
  folder = tmp_path / 'nowhere'
  if exists:
    folder.mkdir()
    (folder / 'indiana_reports.csv').touch()
  message = complaint(folder)
  assert str(folder) in message
  assert 'annotation.json' in message
  assert 'images/' in message
  assert 'python -m input_pipeline.phantom --out DIR' in message
  assert ('indiana_reports.csv' in message) == exists


def test_bad_studies_come_in_one_list(tmp_path, annotation):
  (tmp_path / 'images' / 'train-1' / '0.png').unlink()
  (tmp_path / 'images' / 'test-3' / '0.png').unlink()
  (tmp_path / 'images' / 'test-3' / '1.png').unlink()
  annotation['train'][2]['image_path'] = ['train-2/0.png']
  annotation['train'][4]['id'] = 'train-3'
  annotation['train'][5]['report'] = None
  annotation['train'][6] = 'no entry'
  annotation['val'][0] = {'id': 'val-0', 'report': 'Clear.'}
  annotation['val'][1]['id'] = 'train-0'
  annotation['test'][1]['findings'] = 'effusion'
  annotation['test'][2]['image_path'] = 'test-2/0.png'
  write_annotation(tmp_path, annotation)
  expected = {
    'train/train-1': f'no such file: {tmp_path / "images/train-1/0.png"}',
    'train/train-2': 'has 1 of 2 films',
    'train/train-3': 'the id was used before',
    'train/train-5': 'report is None',
    'train/entry 6': 'expected an object',
    'val/val-0': 'has no image_path',
    'val/train-0': 'the id was used before',
    'test/test-1': "findings is 'effusion'",
    'test/test-2': "image_path is 'test-2/0.png'",
    'test/test-3': 'test-3/1.png',
  }
  message = complaint(tmp_path)
  assert f'{len(expected)} bad studies in {tmp_path}' in message
  assert 'data.skip_bad=True' in message
  for study, fault in expected.items():
    lines = [line for line in message.splitlines() if f'  {study}: ' in line]
    assert len(lines) == 1
    assert fault in lines[0]

  dataset = read(tmp_path, skip_bad=True)
  assert len(dataset.problems) == len(expected)
  assert [s.id for s in dataset.studies['val']] == ['val-2']
  assert [s.id for s in dataset.studies['train']] == [
    'train-0', 'train-3', 'train-7', 'train-8', 'train-9',
  ]  # fmt: skip


def test_a_split_without_any_good_study_cannot_be_skipped(tmp_path, annotation):
  for entry in annotation['val']:
    entry['image_path'] = []
  write_annotation(tmp_path, annotation)
  with pytest.raises(DataError, match="No study of the split 'val'"):
    read(tmp_path, skip_bad=True)


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    ('{"train": [', 'is not JSON'),
    ('\xff', 'is not JSON'),
    ('[]', 'expected an object with train, val, test'),
    ('{"train": [], "validation": []}', "the split 'train' is empty"),
    ('{"train": [1], "test": [1]}', "expected a list 'val'; it has test"),
  ],
)
def test_annotations_that_are_none(tmp_path, content, message):
  (tmp_path / 'annotation.json').write_text(content, encoding='latin-1')
  assert message in complaint(tmp_path)


def test_fingerprint_follows_annotation_and_films(tmp_path, annotation):
  prints = [read(tmp_path).fingerprint, read(tmp_path).fingerprint]
  assert prints[0] == prints[1]
  annotation['train'][0]['report'] += ' Stable.'
  write_annotation(tmp_path, annotation)
  prints.append(read(tmp_path).fingerprint)
  film = tmp_path / 'images' / 'val-0' / '1.png'
  film.write_bytes(film.read_bytes() + b'\x00')
  prints.append(read(tmp_path).fingerprint)
  assert len(set(prints)) == 3
