import gzip
import json
import shutil
import tarfile
import tracemalloc
import zipfile

import pytest

from input_pipeline.datasets import layouts, splits
from input_pipeline.datasets.study import DataError, Selection, join_key
from tests import small_layouts
from tests.small_layouts import MIMIC, ODD, many


def selection(**changes):
  fields = {
    'sections': 'findings',
    'views': 2,
    'view_rule': 'first',
    'min_films': 2,
    'split_from': None,
  }
  return Selection(**(fields | changes))


def select(folder, **changes):
  scratch = folder.parent / 'scratch'
  return layouts.select(folder, selection(**changes), scratch)


def scan(folder, **changes):
  scratch = folder.parent / 'scratch'
  return layouts.scan(folder, selection(**changes), scratch)


def kept(dataset):
  """All studies by id."""
  return {s.id: s for split in dataset.studies.values() for s in split}


def dropped(dataset):
  return {why: n for why, n in dataset.dropped.items() if n}


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


ROWS = [
  {'id': f'a{n}', 'split': ('train', 'valid', 'test')[n % 3],
   'report': f'Text, with "quotes"\nand lines {n}.', 'image': f'{n}.png;9.png',
   'view': 'Frontal;lateral'}
  for n in range(9)
]  # fmt: skip


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


def test_mimic(tmp_path):
  odd = (*MIMIC, (19_000_000, 59_999_999, [('f-0', 'AP')], 'train', None))
  small_layouts.write_mimic(tmp_path / 'mimic', odd)
  small_layouts.write_csv(
    tmp_path / 'mimic' / 'mimic-cxr-2.0.0-chexpert.csv',
    ('subject_id', 'study_id', *layouts.mimic_cxr.CHEXPERT_14),
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
  classes = layouts.mimic_cxr.CHEXPERT_14
  assert study.labels == {
    classes[0]: 'positive', classes[2]: 'negative', classes[3]: 'uncertain',
  }  # fmt: skip
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


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    ('', 'has no column id, report, image; it has nothing'),
    ('id,text\n1,2\n', 'has no column report, image; it has id, text'),
    ('id,report,image\n1,"' + 'x' * 200_000 + '\n', 'damaged'),
  ],
)
def test_csvs_that_are_none(tmp_path, content, message):
  (tmp_path / 'reports.csv').write_text(content)
  with pytest.raises(DataError, match=message):
    select(tmp_path)


def test_missing_csvs_are_named(tmp_path):
  small_layouts.write_kaggle(tmp_path / 'kaggle', ODD)
  (tmp_path / 'kaggle' / 'indiana_projections.csv').unlink()
  with pytest.raises(DataError, match=r'holds no indiana_projections\.csv'):
    select(tmp_path / 'kaggle')


@pytest.mark.parametrize('name', ['NLMCXR_reports.tgz', 'NLMCXR_png.tgz'])
@pytest.mark.parametrize('part', [0, 0.3, 0.9])
def test_half_downloaded_archives_are_refused(tmp_path, name, part):
  folder = tmp_path / 'openi'
  small_layouts.write_openi(folder, many(5))
  content = (folder / name).read_bytes()
  (folder / name).write_bytes(content[: int(part * len(content))])
  with pytest.raises(DataError, match='half downloaded') as caught:
    select(folder)
  assert name in str(caught.value)
  assert not list((tmp_path / 'scratch').glob('*.part'))
  if name == 'NLMCXR_png.tgz':
    assert not list((tmp_path / 'scratch').iterdir())


def test_half_a_zip_is_refused(tmp_path):
  folder = tmp_path / 'kaggle'
  small_layouts.write_kaggle(folder, many(5), archive=True)
  path = folder / 'archive.zip'
  path.write_bytes(path.read_bytes()[:2000])
  with pytest.raises(DataError, match=r'archive\.zip.*half downloaded'):
    select(folder)


def test_members_that_point_out_of_a_tar_are_not_written(tmp_path):
  folder = tmp_path / 'openi'
  small_layouts.write_openi(folder, many(5))
  (folder / 'NLMCXR_png.tgz').unlink()
  names = [name for s in many(5) for name in small_layouts.film_names(s)]
  films = {f'NLMCXR/CXR{name}.png': small_layouts.png(name) for name in names}
  outside = str(tmp_path / 'absolute.png')
  small_layouts.write_tar(
    folder / 'NLMCXR_png.tgz',
    {'../../up.png': b'x', 'a/../../b.png': b'x', outside: b'x'} | films,
  )
  with tarfile.open(tmp_path / 'more.tgz', 'w:gz') as tar:
    link = tarfile.TarInfo('link.png')
    link.type, link.linkname = tarfile.SYMTYPE, '/etc/hostname'
    tar.addfile(link)
  before = sorted(tmp_path.rglob('*'))
  for _ in range(2):  # unpacking, and finding it unpacked
    dataset = select(folder)
    assert dropped(dataset) == {
      'member of NLMCXR_png.tgz that points out of it': 3
    }
    assert dataset.found['films on disk'] == 10
  new = set(tmp_path.rglob('*')) - set(before)
  assert all(path.is_relative_to(tmp_path / 'scratch') for path in new)

  (folder / 'NLMCXR_png.tgz').unlink()
  (tmp_path / 'more.tgz').rename(folder / 'NLMCXR_png.tgz')
  assert dropped(select(folder)) == {
    'member of NLMCXR_png.tgz that is no plain file': 1
  }


def test_members_that_point_out_of_a_zip_are_not_written(tmp_path):
  folder = tmp_path / 'kaggle'
  small_layouts.write_kaggle(folder, many(5), archive=True)
  with zipfile.ZipFile(folder / 'archive.zip', 'a') as file:
    for name in ('../up.png', '/tmp/up.png', 'a\\..\\up.png'):
      file.writestr(name, b'x')
    link = zipfile.ZipInfo('link.png')
    link.external_attr = 0o120777 << 16
    file.writestr(link, '/etc/hostname')
  before = set(tmp_path.rglob('*'))
  assert dropped(select(folder)) == {
    'member of archive.zip that points out of it': 3,
    'member of archive.zip that is no plain file': 1,
  }
  new = set(tmp_path.rglob('*')) - before
  assert all(path.is_relative_to(tmp_path / 'scratch') for path in new)


def test_wrong_selections_are_named():
  with pytest.raises(ValueError, match="sections is 'impression'"):
    selection(sections='impression')
  with pytest.raises(ValueError, match="view_rule is 'lateral'"):
    selection(view_rule='lateral')
  with pytest.raises(ValueError, match='views is 0'):
    selection(views=0)
  with pytest.raises(ValueError, match='takes 2 films, but views is 1'):
    selection(view_rule='frontal_lateral', views=1)
