import json

import pytest

from input_pipeline.layouts.mimic_cxr import LICENCE as MIMIC_LICENCE
from input_pipeline.study import OPENI_LICENCE, DataError
from tests.made.r2gen_folder import write_annotation, write_r2gen
from tests.made.selecting import scan

LONG = 'x\t' * 800


@pytest.fixture
def annotation(tmp_path):
  return write_r2gen(tmp_path)


def complaint(folder, **changes):
  """The message of the DataError that reading `folder` raises."""
  with pytest.raises(DataError) as caught:
    scan(folder, **changes)
  return str(caught.value)


def test_reads_studies_in_the_order_of_the_annotation(tmp_path, annotation):
  dataset = scan(tmp_path)
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
  dataset = scan(tmp_path)
  assert (dataset.name, dataset.label_source) == ('phantom', 'exact')
  assert [s.findings for s in dataset.studies['val']] == [findings, [], None]


def test_views_are_those_that_the_rule_asks_for(tmp_path, annotation):
  views = ['lateral', 'frontal']
  for split in annotation.values():
    for entry in split:
      entry['views'] = views
  annotation['val'][1]['views'] = ['frontal', 'frontal']
  annotation['val'][2] = annotation['val'][2] | {
    'image_path': ['val-2/1.png'],
    'views': ['lateral'],
  }
  write_annotation(tmp_path, annotation)

  def films(**changes):
    studies = scan(tmp_path, min_films=1, **changes).studies['val']
    return [[f and f[-5:] for f in study.films] for study in studies]

  assert films(views=1) == [['0.png'], ['0.png'], ['1.png']]
  assert films() == [['0.png', '1.png'], ['0.png', '1.png'], ['1.png', None]]
  assert films(view_rule='frontal_lateral') == [
    ['1.png', '0.png'], ['0.png', None], [None, '1.png'],
  ]  # fmt: skip
  assert films(view_rule='frontal', views=1) == [['1.png'], ['0.png']]
  assert films(view_rule='frontal') == [['1.png', None], ['0.png', '1.png']]


def test_films_of_unknown_view_have_no_frontal(tmp_path, annotation):
  message = complaint(tmp_path, view_rule='frontal')
  assert "train-0: no film for view_rule 'frontal'" in message


@pytest.mark.parametrize(
  ('form', 'name', 'licence'),
  [
    ('CXR{n}_IM-{n:04}', 'iu_xray', OPENI_LICENCE),
    ('s5{n:07}', 'mimic_cxr', MIMIC_LICENCE),
    ('{n:08x}-0a0b0c0d-0a0b0c0d-0a0b0c0d-0a0b0c0d', 'mimic_cxr', MIMIC_LICENCE),
    ('p{n}', 'my_films', 'Unknown: '),
  ],
)
def test_data_are_called_what_their_ids_are(tmp_path, form, name, licence):
  folder = tmp_path / 'my_films'
  annotation = write_r2gen(folder)
  entries = [e for split in annotation.values() for e in split]
  for n, entry in enumerate(entries):
    entry['id'] = form.format(n=n)
  write_annotation(folder, annotation)
  dataset = scan(folder)
  assert dataset.name == name
  assert dataset.licence.startswith(licence)
  # One study of somebody else, and it is no longer that collection.
  entries[0]['id'] = 'mine'
  write_annotation(folder, annotation)
  dataset = scan(folder)
  assert dataset.name == 'my_films'
  assert dataset.licence.startswith(licence)


def test_another_split_may_be_taken_but_no_other_section(tmp_path, annotation):
  assert scan(tmp_path).split_name == 'annotation.json'
  message = complaint(tmp_path, sections='findings+impression')
  assert "has the section 'impression'" in message
  annotation['train'], annotation['test'] = (
    annotation['test'], annotation['train'],
  )  # fmt: skip
  other = tmp_path / 'other.json'
  other.write_text(json.dumps(annotation))
  dataset = scan(tmp_path, split_from=str(other))
  assert dataset.split_name == 'other.json'
  assert [s.id for s in dataset.studies['train']] == [
    f'test-{n}' for n in range(4)
  ]


@pytest.mark.parametrize('exists', [False, True])
def test_no_data_says_where_what_and_how(tmp_path, exists):
  folder = tmp_path / 'nowhere'
  if exists:
    folder.mkdir()
    (folder / 'reports.txt').touch()
  message = complaint(folder)
  assert str(folder) in message
  assert 'annotation.json' in message
  assert 'images/' in message
  assert 'python -m input_pipeline.phantom --out DIR' in message
  assert ('it holds: reports.txt' in message) == exists


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
  annotation['train'][7]['image_path'] = ['train-7/0.png', '../secret.png']
  annotation['train'][8]['image_path'] = ['/etc/hostname', 'train-8/0.png']
  annotation['train'][9]['views'] = ['frontal']
  annotation['test'][1]['findings'] = 'effusion'
  annotation['test'][2]['image_path'] = 'test-2/0.png'
  write_annotation(tmp_path, annotation)
  expected = {
    'train/train-1': f'no such file: {tmp_path / "images/train-1/0.png"}',
    'train/train-2': 'fewer than 2 films',
    'train/train-3': 'id that was used before',
    'train/train-5': 'report is None',
    'train/entry 6': 'expected an object',
    'train/train-7': "'../secret.png' points outside images/",
    'train/train-8': "'/etc/hostname' points outside images/",
    'train/train-9': "views is ['frontal']; expected",
    'val/val-0': 'has no image_path',
    'val/train-0': 'id that was used before',
    'test/test-1': "findings is 'effusion'",
    'test/test-2': "image_path is 'test-2/0.png'",
    'test/test-3': 'test-3/1.png',
  }
  dataset = scan(tmp_path)
  for study, fault in expected.items():
    lines = [p for p in dataset.problems if p.startswith(f'{study}: ')]
    assert len(lines) == 1
    assert fault in lines[0]
  assert len(dataset.problems) == len(expected)
  assert [s.id for s in dataset.studies['val']] == ['val-2']
  assert [s.id for s in dataset.studies['train']] == [
    'train-0',
    'train-3',
  ]


def test_what_an_annotation_holds_is_told_in_short(tmp_path, annotation):
  first, second, third, fourth = annotation['train'][:4]
  first['id'] = second['id'] = LONG + '\0\ud800'
  second['image_path'] = [f'../{LONG}']
  third |= {'id': 'a\0b', 'views': [LONG]}
  fourth |= {'id': 'c\0d', 'image_path': ['no/0.png', 'no/1.png']}
  write_annotation(tmp_path, annotation)
  problems = scan(tmp_path).problems
  assert len(problems) == 4
  for problem in problems:
    assert len(problem) < 300 + 2 * len(str(tmp_path))
    assert problem.isprintable()
  write_annotation(tmp_path, {'train': [first], LONG: []})
  message = complaint(tmp_path)
  assert message.isprintable() and len(message) < 300 + len(str(tmp_path))


def test_a_film_that_is_near_is_named(tmp_path, annotation):
  entry = annotation['train'][3]
  entry['image_path'] = [f'images/{path}' for path in entry['image_path']]
  write_annotation(tmp_path, annotation)
  (problem,) = scan(tmp_path).problems
  images = tmp_path / 'images'
  assert (
    f'{images}/images/train-3/0.png (there is {images}/train-3/0.png)'
  ) in problem


def test_a_split_without_any_good_study_cannot_be_skipped(tmp_path, annotation):
  for entry in annotation['val']:
    entry['image_path'] = []
  write_annotation(tmp_path, annotation)
  with pytest.raises(DataError, match="No study of the split 'val'"):
    scan(tmp_path)


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    ('{"train": [', 'is not JSON'),
    ('\xff', 'is not JSON'),
    ('[]', 'expected an object with train, val, test'),
    ('{"train": [], "validation": []}', "the split 'train' is empty"),
    ('{"train": [1], "test": [1]}', "expected a list 'val'; it has 'test'"),
  ],
)
def test_annotations_that_are_none(tmp_path, content, message):
  (tmp_path / 'annotation.json').write_text(content, encoding='latin-1')
  assert message in complaint(tmp_path)


def test_fingerprint_follows_annotation_and_films(tmp_path, annotation):
  prints = [scan(tmp_path).fingerprint, scan(tmp_path).fingerprint]
  assert prints[0] == prints[1]
  annotation['train'][0]['report'] += ' Stable.'
  write_annotation(tmp_path, annotation)
  prints.append(scan(tmp_path).fingerprint)
  film = tmp_path / 'images' / 'val-0' / '1.png'
  film.write_bytes(film.read_bytes() + b'\x00')
  prints.append(scan(tmp_path).fingerprint)
  assert len(set(prints)) == 3


def test_a_table_of_views_puts_the_frontal_film_first(tmp_path, annotation):
  (tmp_path / 'views.csv').write_text(
    'id,film,view\nval-0,0,Lateral\nval-0,1,Frontal\nval-1,0,Frontal\n'
  )
  studies = scan(tmp_path, view_rule='frontal_first').studies['val']
  paths = [
    [f'{tmp_path}/images/{name}' for name in study['image_path']]
    for study in annotation['val']
  ]
  assert [list(study.films) for study in studies] == [
    paths[0][::-1],
    paths[1],
    paths[2],
  ]
  assert studies[0].views == ('frontal', 'lateral')


@pytest.mark.parametrize(
  'table, says',
  [
    ('id,film\nval-0,0\n', 'no column view'),
    ('id,film,view\nval-0,0,Oblique\n', 'expected the place of a film'),
    ('id,film,view\nval-0,first,Frontal\n', "film 'first'"),
    (f'id,film,view\n{LONG},{LONG},{LONG}\n', r"film 'x\tx\t"),
  ],
)
def test_a_bad_table_of_views_is_named(tmp_path, annotation, table, says):
  (tmp_path / 'views.csv').write_text(table)
  message = complaint(tmp_path)
  assert says in message
  assert len(message) < 500 + len(str(tmp_path))
