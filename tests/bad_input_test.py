"""What is wrong in a folder is left out, counted and named, or refused.

All of it through `prepare`, as a person meets it; nothing is ever written but
below --out.
"""

import json
import re
import zlib

import pydicom
import pytest

from input_pipeline import prepare
from tests.made import small_layouts
from tests.made.dicom_file import RAMP_HxW, write_dicom
from tests.made.small_layouts import many

SIZES = ('--stored-size', '24', '--image-size', '16')
PNG_HEADER = 29  # bytes of the signature and of IHDR up to its checksum


@pytest.fixture
def run(tmp_path):
  """Prepares a folder; returns nothing, and looks where files appeared."""

  def run(folder, out='out'):
    before = set(tmp_path.rglob('*'))
    try:
      prepare.main(
        ['--source', str(folder), '--out', str(tmp_path / out), *SIZES]
      )
    finally:
      new = set(tmp_path.rglob('*')) - before
      assert all(path.is_relative_to(tmp_path / out) for path in new)

  return run


def claiming(width, height):
  """A small PNG whose header, checksum and all, claims another size."""
  content = bytearray(small_layouts.png('1'))
  content[16:24] = width.to_bytes(4, 'big') + height.to_bytes(4, 'big')
  checksum = zlib.crc32(content[12:PNG_HEADER])
  content[PNG_HEADER : PNG_HEADER + 4] = checksum.to_bytes(4, 'big')
  return bytes(content)


def dicom_without_pixels(folder):
  path = write_dicom(folder / 'film.dcm', RAMP_HxW)
  dicom = pydicom.dcmread(path)
  del dicom.PixelData
  dicom.save_as(path)
  return path.read_bytes()


def test_films_that_are_none_are_named_and_left_out(tmp_path, run, capsys):
  small_layouts.write_openi(tmp_path / 'openi', many(40), unpacked=True)
  pngs = sorted((tmp_path / 'openi' / 'png').iterdir())
  pngs[0].write_bytes(claiming(60_000, 60_000))
  pngs[2].write_text('This is a text.')
  pngs[4].write_bytes(dicom_without_pixels(tmp_path))
  pngs[6].write_bytes(pngs[6].read_bytes()[:300])
  run(tmp_path / 'openi')
  said = capsys.readouterr().out
  card = (tmp_path / 'out' / 'dataset.md').read_text()
  assert 'bad            4  studies' in said
  assert 'kept          36  studies' in said
  for path, reason in (
    (pngs[0], 'is too large'),
    (pngs[2], 'is neither PNG nor JPEG nor DICOM'),
    (pngs[4], 'without PixelData'),
    (pngs[6], 'damaged or cut short'),
  ):
    study = path.name.rsplit('-', 1)[0]
    told = rf'(train|val|test)/{study}: {re.escape(str(path))}: .*{reason}'
    assert re.search(told, said)
    assert re.search(told, card)


def test_films_outside_the_folder_are_left_out(tmp_path, run, capsys):
  """They are there, and could be read."""
  odd = tmp_path / 'secret'
  odd.mkdir()
  (odd / '100_IM-0000-1001.dcm.png').write_bytes(small_layouts.png('1'))
  (odd / 'CXR101_IM-0001-1001.png').write_bytes(small_layouts.png('1'))

  small_layouts.write_kaggle(tmp_path / 'kaggle', many(40))
  table = tmp_path / 'kaggle' / 'indiana_projections.csv'
  name = '100_IM-0000-1001.dcm.png'
  table.write_text(table.read_text().replace(name, f'../secret/{name}'))
  (tmp_path / 'kaggle' / 'images' / 'images_normalized' / name).unlink()
  run(tmp_path / 'kaggle', 'one')
  said = capsys.readouterr().out
  assert (
    '1  row of indiana_projections.csv whose film is outside the folder' in said
  )
  assert '1  fewer than 2 films' in said
  assert 'kept          39  studies' in said

  small_layouts.write_openi(tmp_path / 'openi', many(40), unpacked=True)
  report = tmp_path / 'openi' / 'ecgen-radiology' / '101.xml'
  name = 'CXR101_IM-0001-1001'
  text = report.read_text()
  report.write_text(text.replace(name, f'{odd}/{name}'))
  (tmp_path / 'openi' / 'png' / f'{name}.png').unlink()
  run(tmp_path / 'openi', 'two')
  said = capsys.readouterr().out
  assert '1  report whose film is outside the folder' in said
  assert 'kept          39  studies' in said
  for out in ('one', 'two'):
    assert 'secret' not in (tmp_path / out / 'studies.jsonl').read_text()


def test_an_annotation_that_points_outside_is_named(tmp_path, run, capsys):
  films = tmp_path / 'r2gen' / 'images'
  films.mkdir(parents=True)
  for number in range(10):
    (films / f'{number}.png').write_bytes(small_layouts.png(str(number)))
  (tmp_path / 'r2gen' / 'out.png').write_bytes(small_layouts.png('9'))
  entries = [
    {'id': f's{n}', 'report': 'Clear.', 'image_path': [f'{n}.png', '9.png']}
    for n in range(6)
  ]
  entries[0]['image_path'][1] = '../out.png'
  annotation = {'train': entries[:4], 'val': entries[4:5], 'test': entries[5:]}
  (tmp_path / 'r2gen' / 'annotation.json').write_text(json.dumps(annotation))
  run(tmp_path / 'r2gen')
  said = capsys.readouterr().out
  assert "train/s0: image_path '../out.png' points outside images/" in said
  assert 'bad            1  studies' in said
  assert 'kept           5  studies' in said


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
def test_missing_columns_are_named(tmp_path, run, table, column):
  small_layouts.write_kaggle(tmp_path / 'kaggle', many(5))
  small_layouts.write_mimic(tmp_path / 'mimic')
  small_layouts.write_table(
    tmp_path / 'own', [{'id': 'a', 'report': 'Clear.', 'image': '1.png'}]
  )
  path = tmp_path / table
  header, rest = path.read_text().split('\n', 1)
  path.write_text(header.replace(column, 'other') + '\n' + rest)
  with pytest.raises(
    SystemExit, match=rf'^error: {path} has no column {column}; it has .*other'
  ):
    run(path.parent)


@pytest.mark.parametrize('name', ['NLMCXR_reports.tgz', 'NLMCXR_png.tgz'])
def test_half_an_archive_is_refused_until_it_is_whole(tmp_path, run, name):
  small_layouts.write_openi(tmp_path / 'openi', many(40))
  path = tmp_path / 'openi' / name
  whole = path.read_bytes()
  path.write_bytes(whole[: len(whole) // 2])
  with pytest.raises(SystemExit, match=rf'^error: {path} is damaged or only h'):
    run(tmp_path / 'openi')
  path.write_bytes(whole)
  run(tmp_path / 'openi')
  assert (tmp_path / 'out' / 'dataset.md').is_file()


def test_rows_that_kaggle_has_twice_are_counted(tmp_path, run, capsys):
  small_layouts.write_kaggle(tmp_path / 'kaggle', many(40))
  path = tmp_path / 'kaggle' / 'indiana_reports.csv'
  lines = path.read_text().splitlines(keepends=True)
  path.write_text(''.join([*lines, lines[1], lines[2]]))
  run(tmp_path / 'kaggle')
  said = capsys.readouterr().out
  assert 'dropped        2  id that was used before' in said
  assert 'kept          40  studies' in said
