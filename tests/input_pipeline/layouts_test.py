"""Readers of the Indiana collection: Open-i and Kaggle give the same."""

import shutil

import pytest

from input_pipeline.layouts import splits
from input_pipeline.study import join_key
from tests.made import small_layouts
from tests.made.selecting import dropped, kept, scan, select, selection
from tests.made.small_layouts import ODD, many


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
  assert problem.endswith(f'no such file: {folder}/CXR{names[0]}.png')
  films = kept(dataset)['CXR101_IM-0001'].films
  assert [film[-3:] for film in films] == ['png', 'dcm']


def test_wrong_selections_are_named():
  with pytest.raises(ValueError, match="sections is 'impression'"):
    selection(sections='impression')
  with pytest.raises(ValueError, match="view_rule is 'lateral'"):
    selection(view_rule='lateral')
  with pytest.raises(ValueError, match='views is 0'):
    selection(views=0)
  with pytest.raises(ValueError, match='takes 2 films, but views is 1'):
    selection(view_rule='frontal_lateral', views=1)
