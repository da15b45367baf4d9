"""One's own films as studies: folders, tables, patterns, DICOM tags."""

import json
import os

import numpy as np
import pydicom
import pytest
from PIL import Image

from input_pipeline.errors import UserError
from input_pipeline.film_list import FilmStudy, read_film_list, slots_of
from tests.made.dicom_file import RAMP_HxW, write_dicom

OTHER = 'file that is neither PNG, JPEG nor DICOM, such as '
NO_PICTURE = 'DICOM without Rows and Columns, no film or cut short, such as '


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
  assert dropped == {f'{OTHER}{films}/notes.txt': 1}
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


def _write_without_picture(path, **tags):
  dicom = pydicom.dcmread(write_dicom(path, RAMP_HxW, **tags))
  del dicom.Rows, dicom.Columns, dicom.PixelData
  dicom.save_as(path)
  return path


def test_a_dicom_without_a_picture_takes_no_films_place(tmp_path):
  tags = {'StudyInstanceUID': '1.2', 'PatientID': 'p'}
  for name, view in (('IM1.dcm', 'PA'), ('IM2.dcm', 'LL')):
    write_dicom(tmp_path / name, RAMP_HxW, ViewPosition=view, **tags)
  reports = [
    _write_without_picture(tmp_path / 'DICOMDIR'),
    _write_without_picture(tmp_path / 'IM0.dcm', **tags),
  ]
  films = [str(tmp_path / f'IM{n}.dcm') for n in (1, 2)]
  (study,), dropped = read_film_list(str(tmp_path))
  assert list(study.films) == slots_of(study, 2, 'first') == films
  assert dropped == {f'{NO_PICTURE}{reports[0]}': 2}
  table = tmp_path / 'list.csv'
  table.write_text('id,image\na,IM0.dcm;IM1.dcm;IM2.dcm\n')
  (study,), dropped = read_film_list(str(table))
  assert list(study.films) == films
  assert dropped == {f'{NO_PICTURE}{reports[1]}': 1}
  with pytest.raises(UserError, match='left out: 1 x DICOM without Rows'):
    read_film_list(str(reports[0]))


def test_dicom_is_told_by_its_content(tmp_path):
  names = ['1.2.840.1', 'CR.1.2.840.1', 'IM 1.v2', 'IM1', 'a.dicom', 'b.DCM']
  for name in names:
    write_dicom(tmp_path / name, RAMP_HxW)
  os.mkfifo(tmp_path / 'pipe')  # which would keep a reader waiting
  studies, dropped = read_film_list(str(tmp_path))
  assert [study.id for study in studies] == names
  assert dropped == {f'{OTHER}{tmp_path}/pipe': 1}


def test_a_dicom_without_its_preamble_has_its_tags(tmp_path):
  for name, view in (('1.dcm', 'LL'), ('2', 'PA')):
    tags = {'StudyInstanceUID': '1.2', 'ViewPosition': view}
    path = write_dicom(tmp_path / name, RAMP_HxW, **tags)
    path.write_bytes(path.read_bytes()[132:])
  (study,), _ = read_film_list(str(tmp_path))
  assert (study.id, study.views) == ('1.2', ('lateral', 'frontal'))


@pytest.mark.parametrize('position', ['', 'n/a'])
def test_a_blank_view_is_that_of_the_code(tmp_path, position):
  for name, meaning in (('1', 'left lateral'), ('2', 'postero-anterior')):
    code = pydicom.Dataset()
    code.CodeMeaning = meaning
    tags = {'ViewPosition': position, 'ViewCodeSequence': [code]}
    write_dicom(tmp_path / name, RAMP_HxW, **tags)
  studies, _ = read_film_list(str(tmp_path))
  assert [study.views for study in studies] == [('lateral',), ('frontal',)]


def test_a_folder_that_cannot_be_read_is_told(films, monkeypatch):
  scan, closed = os.scandir, str(films / 'two')

  def scandir(path):
    if str(path) == closed:
      raise PermissionError(13, 'Permission denied', closed)
    return scan(path)

  monkeypatch.setattr(os, 'scandir', scandir)
  studies, dropped = read_film_list(str(films))
  assert [study.id for study in studies] == [
    '1.2.3',
    'a.jpg',
    'b.png',
    'loose.dcm',
  ]
  assert dropped[f'folder that cannot be read, such as {closed}'] == 1


def test_what_macos_keeps_beside_a_film_is_none(films):
  (films / 'two' / '._x_PA.png').write_bytes(b'\0\5\x16\7')
  (films / '__MACOSX').mkdir()
  (films / 'a.jpg').rename(films / '__MACOSX' / 'a.jpg')
  studies, _ = read_film_list(str(films))
  named = _named(studies, films)
  assert named.keys() == {'1.2.3', 'b.png', 'loose.dcm', 'two'}
  assert [film for film, _ in named['two']] == [
    *('two/x_PA.png', 'two/x_lateral.png')
  ]


def test_a_name_may_look_like_a_pattern(films):
  path = (films / 'b.png').rename(films / 'b [1].png')
  studies, dropped = read_film_list(str(path))
  assert studies == [FilmStudy('b [1].png', (str(path),), (None,))]
  assert not dropped


def test_a_name_that_is_no_utf8_is_shown_escaped(films):
  path = os.fsencode(films / 'two').replace(b'two', b'M\xfcller')
  os.rename(films / 'two', path)
  studies, _ = read_film_list(str(films))
  ids = {study.id: study.films for study in studies}
  assert os.path.isfile(ids['M\\udcfcller'][0])


def test_rows_of_tables_that_other_programs_wrote(films):
  rows = [
    {'id': 0, 'image': 'b.png', 'finding': 'effusion'},
    {'id': 0, 'image': './b.png', 'finding': 'edema'},
    {'id': 0, 'image': 'a.jpg', 'finding': 'edema'},
    {'id': 1, 'image': "['two\\\\x_PA.png', 'a.jpg']"},
    {'id': 2, 'image': float('nan')},
    {'id': float('nan'), 'image': 'b\0.png'},
  ]
  table = films / 'list.jsonl'
  table.write_text('\n'.join(map(json.dumps, rows)))
  studies, dropped = read_film_list(str(table))
  assert _named(studies, films) == {
    '0': [('b.png', None), ('a.jpg', None)],
    '1': [('two/x_PA.png', 'frontal'), ('a.jpg', None)],
    'b\0.png': [('b\0.png', None)],
  }
  assert dropped == {'row of list.jsonl that names no film': 1}


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
