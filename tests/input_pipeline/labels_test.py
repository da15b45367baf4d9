"""Labels of each source, and what can be wrong with a user's file."""

import csv
import types

import numpy as np
import pytest

from input_pipeline.findings import CHEXPERT_14
from input_pipeline.findings_reader import FindingsReader
from input_pipeline.labels import Labels, read_labels

TEXTS = {
  'train': (
    'no acute disease .',
    'there is cardiomegaly .',
    'cardiomegaly . small left pleural effusion .',
  ),
  'val': ('the heart is enlarged .',),
  'test': ('left pleural effusion .', 'normal .'),
}
ABSENT = tuple(
  name
  for name in CHEXPERT_14
  if name not in ('Cardiomegaly', 'Pleural Effusion', 'No Finding')
)


def _study(name, report, labels):
  return types.SimpleNamespace(
    id=name, report=report, findings=None, labels=labels
  )


@pytest.fixture
def data():
  """Six studies in words, the second of which nobody has indexed."""
  studies = {
    split: [
      _study(
        f'{split}{n}',
        text,
        None if (split, n) == ('train', 1) else {'Cardiomegaly': 'positive'},
      )
      for n, text in enumerate(texts)
    ]
    for split, texts in TEXTS.items()
  }
  return types.SimpleNamespace(label_source='mesh', studies=studies)


def _write(path, data, change=lambda row: row, header=None):
  rows = [
    {
      'id': study.id,
      **dict.fromkeys(CHEXPERT_14, ''),
      'Cardiomegaly': '1.0',
      'Edema': '-1',
      'Fracture': '0',
    }
    for studies in data.studies.values()
    for study in studies
  ]
  rows = [row for row in map(change, rows) if row]
  with path.open('w', newline='') as file:
    writer = csv.DictWriter(file, header or rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
  return str(path)


def test_rare_is_what_fewer_than_one_in_twenty_has():
  present = np.zeros((40, 3), bool)
  present[:2, 0] = present[:1, 1] = present[:1, 2] = True
  known = np.ones_like(present)
  classes = 'Edema', 'Fracture', 'No Finding'
  labels = Labels('rules', classes, {'train': present}, {'train': known})
  assert labels.rare == ('Fracture',)
  # Of 20 studies with labels one is no longer fewer than one in twenty.
  known[20:] = False
  assert labels.rare == ()


def test_rules(data):
  labels = read_labels(data, 'auto', ABSENT, False)
  assert labels.source == 'rules'
  assert labels.classes == ('Cardiomegaly', 'Pleural Effusion', 'No Finding')
  np.testing.assert_array_equal(
    labels.present['train'], [[0, 0, 1], [1, 0, 0], [1, 1, 0]]
  )
  assert labels.known['train'].all()
  said = labels.of_texts(['cardiomegaly .', 'clear lungs .'])
  np.testing.assert_array_equal(said, [[1, 0, 0], [0, 0, 1]])


def test_a_finding_in_doubt_is_neither_there_nor_no_finding(data):
  doubtful = 'possible cardiomegaly . left picc line .'
  data.studies['test'][1].report = doubtful
  labels = read_labels(data, 'rules', ABSENT, False)
  np.testing.assert_array_equal(labels.present['test'][1], [0, 0, 0])
  np.testing.assert_array_equal(labels.of_texts([doubtful]), [[0, 0, 0]])
  single = labels.single()
  assert single.known['test'].all(axis=1).tolist() == [True, False]


def test_a_drawing_without_a_finding_has_no_finding():
  reader = FindingsReader('phantom')
  assert reader.classes_of_text('the lungs are clear .') == {'No Finding'}
  assert reader.labels_of_text('the lungs are clear .') == set()


def test_labels_have_a_digest_in_any_order(data):
  labels = read_labels(data, 'rules', ABSENT, False)
  studies = data.studies['train']
  digest = labels.digest('train', studies)
  turned = Labels(
    *(labels.source, labels.classes),
    *({'train': x['train'][::-1]} for x in (labels.present, labels.known)),
  )
  assert turned.digest('train', studies[::-1]) == digest
  assert turned.digest('train', studies) != digest


def test_a_single_label_is_the_rarest(data):
  labels = read_labels(data, 'rules', ABSENT, False).single()
  np.testing.assert_array_equal(
    labels.present['train'], [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
  )
  said = labels.of_texts(['cardiomegaly and left pleural effusion .'])
  np.testing.assert_array_equal(said, [[0, 1, 0]])


def test_labels_of_the_data_where_there_are_any(data):
  others = tuple(name for name in CHEXPERT_14 if name != 'Cardiomegaly')
  labels = read_labels(data, 'mesh', others, False)
  assert labels.present['train'][:, 0].tolist() == [True, False, True]
  assert labels.known['train'][:, 0].tolist() == [True, False, True]


def test_a_file(data, tmp_path):
  path = _write(tmp_path / 'labels.csv', data)
  others = tuple(name for name in CHEXPERT_14 if name != 'Cardiomegaly')
  labels = read_labels(data, path, others, False)
  assert labels.source == 'file'
  assert all(x.all() for x in labels.present.values())


def test_classes_that_cannot_be_learnt_are_named(data):
  with pytest.raises(ValueError, match=r'Edema.*3 training studies.*leave_out'):
    read_labels(data, 'rules', (), False)
  with pytest.raises(ValueError, match=r'names Oedema.*Cardiomegaly'):
    read_labels(data, 'rules', ('Oedema',), False)


@pytest.mark.parametrize('source', ['phantom', 'chexbert'])
def test_sources_that_the_data_do_not_have(data, source):
  with pytest.raises(ValueError, match=f"'{source}'.*'rules', 'mesh'"):
    read_labels(data, source, (), False)


@pytest.mark.parametrize(
  'change, says',
  [
    (
      lambda row: {**row, 'id': row['id'].replace('test', 'x')},
      r"2 of the file .*'x0', 'x1'.*2 are without a row \('test0', 'test1'",
    ),
    (lambda row: {**row, 'Edema': 'yes'}, "row 2 has Edema 'yes'.*1 more"),
    (lambda row: {**row, 'id': 'same'}, "row 3 names 'same' again"),
    (lambda row: {**row, 'Oedema': '1'}, "1 unknown classes, 'Oedema'.*14"),
    (
      lambda row: {k: v for k, v in row.items() if k != 'Edema'},
      'no column Edema',
    ),
    (
      lambda row: {k: v for k, v in row.items() if k != 'id'},
      r'no column id \(or study_id\)',
    ),
  ],
)
def test_what_is_wrong_with_a_file_is_told(data, tmp_path, change, says):
  path = _write(tmp_path / 'labels.csv', data, change)
  with pytest.raises(ValueError, match=says):
    read_labels(data, path, (), False)


@pytest.mark.parametrize(
  'change',
  [
    lambda row: {**row, **dict.fromkeys(CHEXPERT_14, 'x' * 1000)},
    lambda row: {**row, 'id': 'x' * 1000},
    lambda row: {**row, 'x' * 1000: '1', 'y' * 1000: '1'},
    lambda row: {**row, 'id': row['id'] + 'x' * 1000},
  ],
)
def test_what_a_file_holds_is_told_in_short(data, tmp_path, change):
  path = _write(tmp_path / 'labels.csv', data, change)
  with pytest.raises(ValueError, match=r'xxx\.\.\.') as caught:
    read_labels(data, path, (), False)
  assert len(str(caught.value)) < 900 + len(path)


def test_a_file_that_is_not_there(data, tmp_path):
  with pytest.raises(ValueError, match=r'no label file .*x.csv'):
    read_labels(data, str(tmp_path / 'x.csv'), (), False)


def test_bad_studies_can_be_skipped(data, tmp_path):
  others = tuple(name for name in CHEXPERT_14 if name != 'Cardiomegaly')
  path = _write(
    tmp_path / 'labels.csv',
    data,
    lambda row: {**row, 'id': row['id'].replace('test0', 'x')},
  )
  labels = read_labels(data, path, others, True)
  assert labels.known['test'][:, 0].tolist() == [False, True]
