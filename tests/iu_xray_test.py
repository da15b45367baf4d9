import json

import numpy as np
import pytest

from input_pipeline import images
from input_pipeline.datasets import iu_xray
from input_pipeline.datasets.r2gen import DataError, scan_r2gen
from tests.r2gen_folder import film, write_annotation, write_r2gen


@pytest.fixture
def folder(tmp_path):
  write_r2gen(tmp_path / 'data')
  return tmp_path / 'data'


def prepare(folder, skip_bad=False, **sizes):
  """Prepares beside `folder`; returns the builder and the kept studies."""
  source = scan_r2gen(folder, views=2)
  builder = iu_xray.prepare(
    source,
    views=2,
    cache_dir=folder.parent / 'cache',
    skip_bad=skip_bad,
    **({'stored_size': 24, 'image_size': 16} | sizes),
  )
  return builder, iu_xray.kept_studies(builder, source)


def refuse_to_read(path):
  raise AssertionError(f'{path} was decoded again')


def test_records_hold_the_studies_in_order(folder):
  annotation = json.loads((folder / 'annotation.json').read_text())
  annotation['test'][1]['findings'] = [{'name': 'effusion'}]
  write_annotation(folder, annotation)
  builder, studies = prepare(folder)
  for split in ('train', 'val', 'test'):
    records = builder.as_data_source(split)
    assert len(records) == len(studies[split]) == len(annotation[split])
    for record, entry in zip(records, annotation[split], strict=True):
      assert record['id'].decode() == entry['id']
      assert record['report'].decode() == entry['report']
      assert json.loads(record['findings']) == entry.get('findings')


def test_train_keeps_its_shape_and_the_others_are_resized_once(folder):
  builder, _ = prepare(folder)
  for split in ('train', 'val', 'test'):
    for number, record in enumerate(builder.as_data_source(split)):
      for view in range(2):
        original = film([len(split), number, view])
        if split == 'train':
          expected = images.resize_short_side(original, 24)
        else:
          expected = images.resize_square(original, 16)
        np.testing.assert_array_equal(record[f'film_{view}'], expected)


def test_a_second_use_decodes_nothing(folder, monkeypatch):
  prepare(folder)
  monkeypatch.setattr(images, 'read_film', refuse_to_read)
  builder, studies = prepare(folder)
  assert builder.info.splits['train'].num_examples == len(studies['train'])


def test_other_sizes_and_other_films_are_prepared_anew(folder, monkeypatch):
  prepare(folder)
  prepare(folder, image_size=12)
  path = folder / 'images' / 'test-0' / '0.png'
  path.write_bytes((folder / 'images' / 'test-1' / '0.png').read_bytes())
  builder, _ = prepare(folder)
  records = builder.as_data_source('test')
  np.testing.assert_array_equal(records[0]['film_0'], records[1]['film_0'])


def test_all_corrupt_and_missing_films_come_in_one_list(folder, capsys):
  (folder / 'images' / 'train-3' / '0.png').write_bytes(b'no film')
  (folder / 'images' / 'val-1' / '1.png').unlink()
  path = folder / 'images' / 'test-3' / '1.png'
  path.write_bytes(path.read_bytes()[:200])
  with pytest.raises(DataError) as caught:
    prepare(folder)
  message = str(caught.value)
  assert '3 bad studies' in message
  assert 'train/train-3: ' in message
  assert 'neither PNG nor JPEG nor DICOM' in message
  assert 'val/val-1: no such file' in message
  assert f'test/test-3: {path}: damaged or cut short' in message
  cached = folder.parent / 'cache'
  assert not list(cached.rglob('*array_record*'))

  for _ in range(2):  # while preparing and when prepared
    builder, studies = prepare(folder, skip_bad=True)
    assert len(builder.info.metadata['problems']) == 3
    assert {s: len(v) for s, v in studies.items()} == {
      'train': 9, 'val': 2, 'test': 3,
    }  # fmt: skip
    records = builder.as_data_source('train')
    ids = [record['id'].decode() for record in records]
    assert ids == [study.id for study in studies['train']]
    assert 'train-3' not in ids
  with pytest.raises(DataError, match='3 bad studies'):
    prepare(folder)


def test_a_split_of_corrupt_films_cannot_be_skipped(folder):
  for path in (folder / 'images').glob('val-*/1.png'):
    path.write_bytes(b'no film')
  with pytest.raises(DataError, match="No study of the split 'val'"):
    prepare(folder, skip_bad=True)


def test_an_interrupted_preparation_starts_again(folder, monkeypatch):
  read_film = images.read_film

  def interrupted(path):
    if 'test-1' in str(path):
      raise KeyboardInterrupt
    return read_film(path)

  with monkeypatch.context() as patch:
    patch.setattr(images, 'read_film', interrupted)
    with pytest.raises(KeyboardInterrupt):
      prepare(folder)
  builder, studies = prepare(folder)
  assert len(builder.as_data_source('test')) == len(studies['test']) == 4


def test_what_a_killed_preparation_left_is_removed(folder):
  builder, _ = prepare(folder)
  parent = builder.data_path.parent
  builder.data_path.rename(parent / 'incomplete.ABC123_1.0.0')
  builder, _ = prepare(folder)
  assert [path.name for path in parent.iterdir()] == ['1.0.0']


def test_a_name_with_blanks_and_slashes_is_no_path(folder):
  (folder / 'dataset.json').write_text('{"name": "../my films"}')
  builder, _ = prepare(folder)
  assert builder.data_path.is_relative_to(folder.parent / 'cache')
