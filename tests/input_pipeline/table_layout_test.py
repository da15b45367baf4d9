"""Folders with a table of one's own, and CSVs that are none."""

import pytest

from input_pipeline.study import DataError
from tests.made import small_layouts
from tests.made.selecting import dropped, kept, scan, select
from tests.made.small_layouts import ODD

ROWS = [
  {'id': f'a{n}', 'split': ('train', 'valid', 'test')[n % 3],
   'report': f'Text, with "quotes"\nand lines {n}.', 'image': f'{n}.png;9.png',
   'view': 'Frontal;lateral'}
  for n in range(9)
]  # fmt: skip


def many_rows(count):
  return [
    {'id': f'a{n}', 'report': f'Clear {n}.', 'image': '0.png;1.png'}
    for n in range(count)
  ]


@pytest.mark.parametrize('lines', [False, True])
def test_any_folder_with_a_table(tmp_path, lines):
  rows = [dict(row) for row in ROWS]
  if lines:
    rows[1] |= {'image': ['1.png', '9.png'], 'view': ['frontal', None]}
  small_layouts.write_table(tmp_path / 'films', rows, lines)
  dataset = scan(tmp_path / 'films')
  assert (dataset.name, dataset.layout) == ('films', 'table')
  assert dataset.split_name == ('reports.jsonl' if lines else 'reports.csv')
  assert {s: [x.id for x in v] for s, v in dataset.studies.items()} == {
    'train': ['a0', 'a3', 'a6'], 'val': ['a1', 'a4', 'a7'],
    'test': ['a2', 'a5', 'a8'],
  }  # fmt: skip
  study = dataset.studies['train'][1]
  assert study.report == ROWS[3]['report']
  assert study.films == (
    str(tmp_path / 'films' / '3.png'), str(tmp_path / 'films' / '9.png'),
  )  # fmt: skip
  assert study.views == ('frontal', 'lateral')


def test_bad_rows_of_a_table_are_counted(tmp_path):
  rows = [dict(row) for row in ROWS]
  rows += [
    ROWS[0],
    ROWS[0] | {'id': ' '},
    ROWS[0] | {'id': 'b', 'split': 'dev'},
    ROWS[0] | {'id': 'c', 'image': '../../etc/passwd;9.png'},
    ROWS[0] | {'id': 'd', 'image': '/etc/passwd;9.png'},
    ROWS[0] | {'id': 'e', 'view': 'frontal'},
    ROWS[0] | {'id': 'f', 'image': ''},
    ROWS[0] | {'id': 'g', 'report': ' '},
    ROWS[0] | {'id': 'h', 'split': ''},
    ROWS[0] | {'id': 'i', 'image': '1.png'} | {'view': ''},
  ]
  small_layouts.write_table(tmp_path / 'films', rows)
  with (tmp_path / 'films' / 'reports.csv').open('a') as file:
    file.write('too,few\n\n')
  dataset = select(tmp_path / 'films')
  assert sorted(kept(dataset)) == [f'a{n}' for n in range(9)]
  assert dropped(dataset) == {
    'id that was used before': 1,
    'row without an id': 1,
    'row whose split is none of train, val, test': 1,
    'row whose image is outside the folder': 2,
    'row with another number of views than of images': 1,
    'report that names no film': 1,
    'empty findings': 1,
    'no split named': 1,
    'fewer than 2 films': 1,
    'row of reports.csv with too few or too many fields': 1,
  }


def test_bad_lines_are_counted(tmp_path):
  small_layouts.write_table(tmp_path / 'films', ROWS, lines=True)
  with (tmp_path / 'films' / 'reports.jsonl').open('a') as file:
    file.write('{"id": "b"\n[]\n{"id": "c", "report": "x"}\n\n')
    file.write('{"id": "d", "report": 5, "image": "1.png"}\n')
  assert dropped(select(tmp_path / 'films')) == {
    'line of reports.jsonl that is no object with id, report, image': 3,
    'row whose report is no text': 1,
  }


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    ('', 'has no column id, report, image; it has nothing'),
    ('id,text\n1,2\n', "has no column report, image; it has 'id', 'text'"),
    ('id,report,image\n1,"' + 'x' * 200_000 + '\n', 'damaged'),
  ],
)
def test_csvs_that_are_none(tmp_path, content, message):
  (tmp_path / 'reports.csv').write_text(content)
  with pytest.raises(DataError, match=message):
    select(tmp_path)


@pytest.mark.parametrize('lines', [False, True])
@pytest.mark.parametrize('nothing', ['', 'nan', None])
def test_a_split_that_no_row_names_is_none(tmp_path, lines, nothing):
  rows = [row | {'split': nothing} for row in many_rows(20)]
  small_layouts.write_table(tmp_path / 'films', rows, lines)
  dataset = select(tmp_path / 'films')
  assert dataset.split_name == 'hash-v1'
  assert all(dataset.studies.values())
  assert not dropped(dataset)


def test_a_row_for_each_film_wherever_it_stands(tmp_path):
  rows = [
    row | {'image': f'{film}.png', 'view': view}
    for film, view in enumerate(('Frontal', 'Lateral'))
    for row in many_rows(6)
  ]
  rows.append(rows[0] | {'report': 'Another text.', 'image': '5.png'})
  rows.append(rows[1])
  small_layouts.write_table(tmp_path / 'films', rows)
  dataset = select(tmp_path / 'films')
  assert sorted(kept(dataset)) == [f'a{n}' for n in range(6)]
  assert {study.views for study in kept(dataset).values()} == {
    ('frontal', 'lateral')
  }
  assert dropped(dataset) == {'fewer than 2 films': 2}


@pytest.mark.parametrize('lines', [False, True])
@pytest.mark.parametrize('nothing', ['', ' ', 'nan', 'None', None])
def test_no_mesh_is_no_index(tmp_path, lines, nothing):
  """Nobody has looked: the study is not normal."""
  rows = many_rows(4)
  for row, mesh in zip(
    rows, (nothing, nothing, 'normal', 'normal;'), strict=True
  ):
    row['mesh'] = mesh
  small_layouts.write_table(tmp_path / 'films', rows, lines)
  dataset = select(tmp_path / 'films')
  assert dataset.label_source == 'mesh'
  studies = kept(dataset)
  for name in 'a0', 'a1':
    assert (studies[name].mesh, studies[name].labels) == (None, None)
  for name in 'a2', 'a3':
    assert studies[name].mesh == ('normal',)
    assert studies[name].labels['No Finding'] == 'positive'


LONG = '\x80\t' * 1500


@pytest.mark.parametrize(
  'header',
  [
    ['id', 'report', 'image', *[f'{n}{LONG}' for n in range(9)] * 2],
    [f'{n}{LONG}' for n in range(9)],
  ],
)
def test_long_names_of_columns_are_cut(tmp_path, header):
  small_layouts.write_csv(tmp_path / 'reports.csv', header, [header])
  with pytest.raises(DataError, match=r'\\t\.\.\. and \d more') as caught:
    select(tmp_path)
  assert len(str(caught.value)) < 600 + len(str(tmp_path))
  assert '\x80' not in str(caught.value)


def test_missing_csvs_are_named(tmp_path):
  small_layouts.write_kaggle(tmp_path / 'kaggle', ODD)
  (tmp_path / 'kaggle' / 'indiana_projections.csv').unlink()
  with pytest.raises(DataError, match=r'holds no indiana_projections\.csv'):
    select(tmp_path / 'kaggle')
