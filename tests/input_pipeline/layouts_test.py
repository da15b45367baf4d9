"""Readers of the Indiana collection and of MIMIC-CXR-JPG."""

import gzip
import shutil
import tracemalloc

import pytest

from input_pipeline.findings import CHEXPERT_14
from input_pipeline.layouts import splits
from input_pipeline.study import DataError, join_key
from tests.made import small_layouts
from tests.made.selecting import dropped, kept, scan, select
from tests.made.small_layouts import MIMIC, ODD, many


@pytest.mark.parametrize(
  ('name', 'key'),
  [
    ('CXR2384_IM-0942', '2384_IM-0942'),
    ('CXR1_1_IM-0001-3001', '1_IM-0001-3001'),
    ('a/1_IM-0001-4001.dcm.png', '1_IM-0001-4001'),
    ('3368_IM-1620-0001-0001.DCM', '3368_IM-1620-0001-0001'),
    ('train-7', None),
  ],
)
def test_one_name_for_a_film_in_all_layouts(name, key):
  assert join_key(name) == key


@pytest.mark.parametrize('unpacked', [False, True])
def test_openi_follows_r2gens_rule(tmp_path, unpacked):
  folder = tmp_path / 'openi'
  small_layouts.write_openi(folder, ODD, unpacked)
  dataset = select(folder)
  assert dataset.layout == 'Open-i'
  studies = kept(dataset)
  assert set(studies) == {
    'CXR1_1_IM-0001', 'CXR7_IM-2263', 'CXR20_IM-0652', 'CXR6_IM-2192-0001',
  }  # fmt: skip
  first = studies['CXR1_1_IM-0001']
  assert first.report == 'Heart is of normal size.'
  assert first.sections['impression'] == 'Normal.'
  assert [film.rsplit('/', 1)[1] for film in first.films] == [
    'CXR1_1_IM-0001-3001.png', 'CXR1_1_IM-0001-4001.png',
  ]  # fmt: skip
  assert len(studies['CXR20_IM-0652'].films) == 2  # of five
  assert studies['CXR6_IM-2192-0001'].report == 'Left "apical" scar; naïve 30°.'
  assert studies['CXR6_IM-2192-0001'].labels is None
  right = studies['CXR7_IM-2263']
  assert right.mesh == ('Pleural Effusion/right/small', 'Cardiomegaly')
  assert dataset.label_source == 'mesh'
  assert {k for k, v in right.labels.items() if v == 'positive'} == {
    'Pleural Effusion', 'Cardiomegaly',
  }  # fmt: skip
  assert dropped(dataset) == {
    'report that names no film': 1, 'empty findings': 1,
    'fewer than 2 films': 1,
  }  # fmt: skip
  assert dataset.found == {
    'films on disk': 14, 'reports': 7, 'films named': 14,
  }  # fmt: skip


@pytest.mark.parametrize(
  ('encoding', 'end', 'archive'),
  [('utf-8', '\n', False), ('latin-1', '\r\n', False),
   ('utf-8-sig', '\r\n', True)],
)  # fmt: skip
def test_kaggle_gives_the_same_studies(tmp_path, encoding, end, archive):
  small_layouts.write_openi(tmp_path / 'openi', ODD)
  small_layouts.write_kaggle(tmp_path / 'kaggle', ODD, encoding, end, archive)
  dataset = select(tmp_path / 'kaggle')
  assert dataset.layout == 'Kaggle'
  others = kept(select(tmp_path / 'openi'))
  for study, other in zip(kept(dataset).values(), others.values(), strict=True):
    assert splits.study_key(study.id) == splits.study_key(other.id)
    assert study.split == other.split
    assert study.report == other.report
    assert (study.mesh, study.labels) == (other.mesh, other.labels)
    assert [join_key(f) for f in study.films] == [
      join_key(f) for f in other.films
    ]
    assert study.views == ('frontal', 'lateral')
  assert dropped(dataset) == {
    'report that names no film': 1, 'empty findings': 1,
    'fewer than 2 films': 1,
  }  # fmt: skip


def test_no_mesh_is_no_index(tmp_path):
  """Nobody has looked: the study is not normal."""
  studies = [
    (*study[:5], (nothing,))
    for study, nothing in zip(many(3), ('', 'nan', ' '), strict=True)
  ]
  small_layouts.write_openi(tmp_path / 'openi', studies)
  small_layouts.write_kaggle(tmp_path / 'kaggle', studies)
  for layout in 'openi', 'kaggle':
    read = kept(select(tmp_path / layout)).values()
    assert [(s.mesh, s.labels) for s in read] == [(None, None)] * 3


def test_the_impression_can_be_part_of_the_text(tmp_path):
  small_layouts.write_openi(tmp_path / 'openi', ODD)
  studies = kept(select(tmp_path / 'openi', sections='findings+impression'))
  assert studies['CXR1_1_IM-0001'].report == 'Heart is of normal size. Normal.'
  assert studies['CXR4_IM-2050'].report == 'Findings are empty.'


def test_one_film_is_enough_if_asked_for(tmp_path):
  small_layouts.write_kaggle(tmp_path / 'kaggle', ODD)
  studies = kept(select(tmp_path / 'kaggle', min_films=1))
  assert studies['CXR3_IM-1384'].films[1] is None
  assert studies['CXR3_IM-1384'].views == ('frontal', None)


def test_odd_files_of_openi_are_counted(tmp_path):
  folder = tmp_path / 'openi'
  small_layouts.write_openi(folder, ODD, unpacked=True)
  reports = folder / 'ecgen-radiology'
  shutil.copy(reports / '7.xml', reports / '7 (1).xml')
  (reports / '8.xml').write_text('<eCitation><uId id="CXR8"/>')
  (reports / '9.xml').write_bytes(b' ' * 2_000_001)
  for name in ('CXR900_IM-9-1001', 'CXR900_IM-9-2001', 'notes'):
    (folder / 'png' / f'{name}.png').write_bytes(b'')
  assert dropped(select(folder)) == {
    'report that names no film': 1, 'empty findings': 1,
    'fewer than 2 films': 1, 'id that was used before': 1,
    'report file that is no XML': 1, 'report file over 2,000,000 bytes': 1,
    'study on disk without a report': 1,
  }  # fmt: skip


def test_entities_do_not_grow(tmp_path):
  folder = tmp_path / 'openi'
  small_layouts.write_openi(folder, ODD, unpacked=True)
  names = 'abcdefghij'
  entities = '<!ENTITY a "ten of these">' + ''.join(
    f'<!ENTITY {name} "{f"&{names[i]};" * 10}">'
    for i, name in enumerate(names[1:])
  )
  (folder / 'ecgen-radiology' / '8.xml').write_text(
    f'<!DOCTYPE e [{entities}]><e><uId id="8"/>&j;</e>'
  )
  assert dropped(select(folder))['report file that is no XML'] == 1


def test_missing_films_are_problems_and_pngs_come_first(tmp_path):
  folder = tmp_path / 'openi'
  small_layouts.write_openi(folder, many(30), unpacked=True)
  names = [name for s in many(30) for name in small_layouts.film_names(s)]
  (folder / 'png' / f'CXR{names[0]}.png').unlink()
  (folder / 'dcm').mkdir()
  (folder / 'dcm' / f'{names[2]}.dcm').write_bytes(b'')
  (folder / 'png' / f'CXR{names[3]}.png').rename(
    folder / 'dcm' / f'{names[3]}.dcm'
  )
  dataset = scan(folder)
  (problem,) = dataset.problems
  assert f'CXR{names[0]}.png, looked for anywhere below {folder}' in problem
  films = kept(dataset)['CXR101_IM-0001'].films
  assert [film[-3:] for film in films] == ['png', 'dcm']


def test_films_outside_the_folder_are_left_out(tmp_path):
  """They are there, and could be read."""
  odd = tmp_path / 'secret'
  odd.mkdir()
  name = '100_IM-0000-1001.dcm.png'
  (odd / name).write_bytes(small_layouts.png('1'))
  small_layouts.write_kaggle(tmp_path / 'kaggle', many(40))
  table = tmp_path / 'kaggle' / 'indiana_projections.csv'
  table.write_text(table.read_text().replace(name, f'../secret/{name}'))
  (tmp_path / 'kaggle' / 'images' / 'images_normalized' / name).unlink()
  kaggle = scan(tmp_path / 'kaggle')
  assert dropped(kaggle) == {
    'row of indiana_projections.csv whose film is outside the folder': 1,
    'fewer than 2 films': 1,
  }

  name = 'CXR101_IM-0001-1001'
  (odd / f'{name}.png').write_bytes(small_layouts.png('1'))
  small_layouts.write_openi(tmp_path / 'openi', many(40), unpacked=True)
  report = tmp_path / 'openi' / 'ecgen-radiology' / '101.xml'
  report.write_text(report.read_text().replace(name, f'{odd}/{name}'))
  (tmp_path / 'openi' / 'png' / f'{name}.png').unlink()
  openi = scan(tmp_path / 'openi')
  assert dropped(openi)['report whose film is outside the folder'] == 1
  for dataset in kaggle, openi:
    assert len(kept(dataset)) == 39 and not dataset.problems
    assert 'secret' not in str(dataset.studies)


@pytest.mark.parametrize(
  ('table', 'column'),
  [
    ('kaggle/indiana_reports.csv', 'findings'),
    ('kaggle/indiana_projections.csv', 'filename'),
    ('mimic/mimic-cxr-2.0.0-metadata.csv', 'ViewPosition'),
    ('mimic/mimic-cxr-2.0.0-split.csv', 'split'),
    ('own/reports.csv', 'image'),
  ],
)
def test_missing_columns_are_named(tmp_path, table, column):
  small_layouts.write_kaggle(tmp_path / 'kaggle', many(5))
  small_layouts.write_mimic(tmp_path / 'mimic')
  small_layouts.write_table(
    tmp_path / 'own', [{'id': 'a', 'report': 'Clear.', 'image': '1.png'}]
  )
  path = tmp_path / table
  header, rest = path.read_text().split('\n', 1)
  path.write_text(header.replace(column, 'other') + '\n' + rest)
  with pytest.raises(
    DataError, match=rf'^{path} has no column {column}; it has .*other'
  ):
    select(path.parent)


def test_rows_that_kaggle_has_twice_are_counted(tmp_path):
  small_layouts.write_kaggle(tmp_path / 'kaggle', many(40))
  path = tmp_path / 'kaggle' / 'indiana_reports.csv'
  lines = path.read_text().splitlines(keepends=True)
  path.write_text(''.join([*lines, lines[1], lines[2]]))
  dataset = select(tmp_path / 'kaggle')
  assert dropped(dataset) == {'id that was used before': 2}
  assert len(kept(dataset)) == 40


def test_mimic(tmp_path):
  odd = (*MIMIC, (19_000_000, 59_999_999, [('f-0', 'AP')], 'train', None))
  small_layouts.write_mimic(tmp_path / 'mimic', odd)
  small_layouts.write_csv(
    tmp_path / 'mimic' / 'mimic-cxr-2.0.0-chexpert.csv',
    ('subject_id', 'study_id', *CHEXPERT_14),
    [[10_000_032, 50_000_000, *['1.0', '', '0.0', '-1.0'], *[''] * 10]],
  )
  dataset = scan(tmp_path / 'mimic', view_rule='frontal_lateral')
  assert (dataset.layout, dataset.split_name) == ('MIMIC-CXR-JPG', 'mimic_cxr')
  assert {s: len(v) for s, v in dataset.studies.items()} == {
    'train': 3, 'val': 3, 'test': 3,
  }  # fmt: skip
  study = dataset.studies['train'][0]
  assert study.id == 's50000000'
  assert study.report == 'The lungs are clear in 0.'
  assert study.sections['impression'] == 'Nothing acute.'
  assert study.views == ('frontal', 'lateral')
  assert study.labels == {
    CHEXPERT_14[0]: 'positive',
    CHEXPERT_14[2]: 'negative',
    CHEXPERT_14[3]: 'uncertain',
  }
  assert dataset.studies['val'][0].labels is None
  assert dropped(dataset) == {'study without a report': 1}


def test_csvs_of_a_million_rows_need_no_gigabytes(tmp_path):
  """A 50th of that in rows, with long ones: only what is used may be kept."""
  films, header = 20_000, ('dicom_id', 'subject_id', 'study_id')
  folder = tmp_path / 'mimic'
  small_layouts.write_mimic(folder, MIMIC)
  select(folder)  # what the first use of anything loads is not the rows'
  rows = [
    (f'{n:08x}-aaaaaaaa-bbbbbbbb-cccccccc-dddddddd', 15_000_000, 58_000_000 + n)
    for n in range(films)
  ]
  for name, column, value in (
    ('metadata', 'ViewPosition', 'PA'),
    ('split', 'split', 'train'),
  ):
    path = folder / f'mimic-cxr-2.0.0-{name}.csv'
    path.unlink()
    small_layouts.write_csv(
      path,
      (*header, column, 'Comment'),
      [(*row, value, 'x' * 1000) for row in rows],
    )
  size = sum(path.stat().st_size for path in folder.glob('*.csv'))
  tracemalloc.start()
  dataset = select(folder)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert dataset.found['studies'] == films
  assert size > 40e6
  assert peak < 2e9 / 50


def test_compressed_csvs_and_half_of_one(tmp_path):
  folder = tmp_path / 'mimic'
  small_layouts.write_mimic(folder)
  path = folder / 'mimic-cxr-2.0.0-metadata.csv'
  whole = gzip.compress(path.read_bytes())
  path.unlink()
  zipped = path.with_name(path.name + '.gz')
  zipped.write_bytes(whole)
  assert len(kept(scan(folder))) == 9
  zipped.write_bytes(whole[: len(whole) // 2])
  with pytest.raises(DataError, match=r'metadata.csv.gz is damaged'):
    scan(folder)
