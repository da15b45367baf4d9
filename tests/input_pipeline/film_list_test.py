"""One's own films as studies: folders, tables, patterns, DICOM tags."""

import json

import numpy as np
import pytest
from PIL import Image

from input_pipeline.errors import UserError
from input_pipeline.film_list import FilmStudy, read_film_list, slots_of
from tests.made.dicom_file import RAMP_HxW, write_dicom


@pytest.fixture
def films(tmp_path):
  """A folder of loose films, of two in a folder, and of DICOM."""
  picture = Image.fromarray(np.full((8, 8), 7, np.uint8))
  for name in ('b.png', 'a.jpg', 'two/x_lateral.png', 'two/x_PA.png'):
    path = tmp_path / 'films' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
  for name, tags in (
    ('two/1.dcm', {'StudyInstanceUID': '1.2.3', 'ViewPosition': 'LL'}),
    ('IM0002', {'StudyInstanceUID': '1.2.3', 'ViewPosition': 'AP'}),
    ('loose.dcm', {}),
  ):
    write_dicom(tmp_path / 'films' / name, RAMP_HxW, **tags)
  (tmp_path / 'films' / 'notes.txt').write_text('no film')
  return tmp_path / 'films'


def _named(studies, root):
  return {
    s.id: [
      (film.removeprefix(f'{root}/'), view)
      for film, view in zip(s.films, s.views, strict=True)
    ]
    for s in studies
  }


def test_a_folder_by_folders_and_by_study_uid(films):
  studies, dropped = read_film_list(str(films))
  assert not dropped
  assert _named(studies, films) == {
    '1.2.3': [('IM0002', 'frontal'), ('two/1.dcm', 'lateral')],
    'a.jpg': [('a.jpg', None)],
    'b.png': [('b.png', None)],
    'loose.dcm': [('loose.dcm', None)],
    'two': [('two/x_PA.png', 'frontal'), ('two/x_lateral.png', 'lateral')],
  }


def test_linked_folders_are_followed_once(films, tmp_path):
  linked = tmp_path / 'chosen'
  linked.mkdir()
  (linked / 'study').symlink_to(films / 'two')
  (linked / 'again').symlink_to(linked)
  studies, _ = read_film_list(str(linked))
  assert [study.id for study in studies] == ['1.2.3', 'study']
  assert [len(study.films) for study in studies] == [1, 2]


def test_a_pattern_starts_where_it_has_its_first_star(films):
  studies, _ = read_film_list(f'{films}/*/*.png')
  assert [study.id for study in studies] == ['two']
  studies, _ = read_film_list(f'{films}/two/*.png')
  assert [study.id for study in studies] == ['x_PA.png', 'x_lateral.png']
  studies, _ = read_film_list(f'{films}/b.png')
  assert studies == [FilmStudy('b.png', (f'{films}/b.png',), (None,))]


@pytest.mark.parametrize('form', ['csv', 'jsonl'])
def test_a_table(films, form):
  rows = [
    {'id': 'one', 'image': 'b.png;a.jpg', 'view': 'lateral;PA'},
    {'id': 'two', 'image': 'two/x_PA.png', 'view': ''},
    {'id': 'two', 'image': 'two/x_lateral.png', 'view': 'frontal'},
    {'id': '', 'image': 'loose.dcm', 'view': ''},
    {'id': 'none', 'image': '', 'view': ''},
  ]
  lines = [json.dumps(row) for row in rows]
  if form == 'csv':
    lines = ['id,image,view', *(','.join(row.values()) for row in rows)]
  table = films / f'list.{form}'
  table.write_text('\n'.join(lines))
  studies, dropped = read_film_list(str(table))
  assert _named(studies, films) == {
    'one': [('b.png', 'lateral'), ('a.jpg', 'frontal')],
    # A table's own word stands above the file's name.
    'two': [('two/x_PA.png', 'frontal'), ('two/x_lateral.png', 'frontal')],
    'loose.dcm': [('loose.dcm', None)],
  }
  assert dropped == {f'row of list.{form} that names no film': 1}


def test_two_patients_in_one_study_are_its_fault(tmp_path):
  for number in (1, 2):
    write_dicom(tmp_path / f'{number}.dcm', RAMP_HxW, PatientID=str(number))
  (tmp_path / 'list.csv').write_text('id,image\nx,1.dcm;2.dcm\ny,1.dcm\n')
  (x, y), _ = read_film_list(str(tmp_path / 'list.csv'))
  assert 'its 2 films are of 2 patients' in x.fault and not y.fault


@pytest.mark.parametrize('name', ['', 'nothing/*.png', 'empty.csv'])
def test_nothing_there_is_one_sentence(tmp_path, name):
  (tmp_path / 'empty.csv').write_text('image\n')
  with pytest.raises(UserError, match='names no film: expected a folder'):
    read_film_list(f'{tmp_path}/{name}')


@pytest.mark.parametrize(
  'views, count, rule, expected',
  [
    (('lateral', None, 'frontal'), 2, 'first', [2, 1]),
    ((None, None, None), 2, 'first', [0, 1]),
    ((None,), 2, 'frontal_first', [0, None]),
    (('lateral',), 2, 'frontal_lateral', [None, 0]),
    (('frontal', 'frontal', 'lateral'), 2, 'frontal_lateral', [0, 2]),
    ((None, None), 2, 'frontal_lateral', [0, 1]),
    (('lateral', 'frontal'), 1, 'frontal', [1]),
    (('lateral',), 1, 'frontal', [None]),
  ],
)
def test_what_a_model_takes_of_a_study(views, count, rule, expected):
  study = FilmStudy('x', tuple(map(str, range(len(views)))), views)
  chosen = [None if n is None else str(n) for n in expected]
  assert slots_of(study, count, rule) == chosen
