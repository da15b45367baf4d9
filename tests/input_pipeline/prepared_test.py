import errno
import json

import numpy as np
import pytest

from input_pipeline import images
from input_pipeline.config import DataConfig
from input_pipeline.layouts import detect
from input_pipeline.store import prepared, shards
from input_pipeline.study import DataError
from input_pipeline.tensorflow_cpu import tf, tfds
from tests.made.forbidden import forbid
from tests.made.r2gen_folder import write_annotation, write_r2gen


@pytest.fixture
def folder(tmp_path):
  write_r2gen(tmp_path / 'data')
  return tmp_path / 'data'


def prepare(folder, skip_bad=False, out='prepared', **sizes):
  """Prepares beside `folder`; returns the builder and the kept studies."""
  out = folder.parent / out
  sizes = {'stored_size': 24, 'image_size': 16} | sizes
  config = DataConfig(str(folder), min_films=1, skip_bad=skip_bad, **sizes)
  dataset = detect.scan(config, folder.parent / 'scratch')
  prepared.prepare(dataset, config, out)
  opened = prepared.open_prepared(out)
  return opened.builder, opened.studies


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


def test_the_bytes_of_records_are_those_of_any_process(folder):
  builder, _ = prepare(folder)
  raw = tfds.decode.DeserializeMethod.RAW_BYTES
  for record in builder.as_data_source('train', deserialize_method=raw):
    example = tf.train.Example.FromString(record)
    assert record == example.SerializeToString(deterministic=True)


def test_a_second_use_decodes_nothing(folder, monkeypatch):
  prepare(folder)
  monkeypatch.setattr(images, 'read_film', refuse_to_read)
  builder, studies = prepare(folder)
  assert builder.info.splits['train'].num_examples == len(studies['train'])


def test_other_sizes_and_other_films_are_refused_in_the_same_folder(folder):
  prepare(folder)
  with pytest.raises(DataError, match='holds other data'):
    prepare(folder, image_size=12)
  path = folder / 'images' / 'test-0' / '0.png'
  path.write_bytes((folder / 'images' / 'test-1' / '0.png').read_bytes())
  with pytest.raises(DataError, match='holds other data'):
    prepare(folder)
  builder, _ = prepare(folder, out='another')
  records = builder.as_data_source('test')
  np.testing.assert_array_equal(records[0]['film_0'], records[1]['film_0'])


def test_a_folder_of_somebody_else_is_left_alone(folder):
  out = folder.parent / 'prepared'
  out.mkdir()
  (out / 'thesis.txt').write_text('mine')
  with pytest.raises(DataError, match=r'already holds thesis\.txt'):
    prepare(folder)
  assert sorted(path.name for path in out.iterdir()) == ['.lock', 'thesis.txt']


def test_a_full_disk_at_the_start_does_not_lock_out(folder, monkeypatch):
  """Its folder of progress is there, and what it is of is not."""
  write_text = prepared.write_text

  def full(*args):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(prepared, 'write_text', full)
  with pytest.raises(OSError, match='No space'):
    prepare(folder)
  monkeypatch.setattr(prepared, 'write_text', write_text)
  progress = folder.parent / 'prepared' / 'progress'
  (progress / 'notes.txt').write_text('mine')
  with pytest.raises(DataError, match='already holds progress'):
    prepare(folder)
  (progress / 'notes.txt').rename(progress / '.key.0.partial')  # of a kill
  _, studies = prepare(folder)
  assert len(studies['train']) == 10
  assert not progress.exists()


def test_a_film_that_may_not_be_read_is_a_bad_one(folder, monkeypatch):
  forbid(monkeypatch, path := folder / 'images' / 'train-3' / '0.png')
  message = f'train/train-3: {path}: cannot be read (Permission denied).'
  with pytest.raises(DataError) as caught:
    prepare(folder)
  assert message in str(caught.value)
  _, studies = prepare(folder, skip_bad=True)
  assert len(studies['train']) == 9


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
  out = folder.parent / 'prepared'
  assert [path.name for path in out.iterdir()] == ['.lock']

  for _ in range(2):  # while preparing and when prepared
    builder, studies = prepare(folder, skip_bad=True)
    info = json.loads((out / 'prepared.json').read_text())
    assert len(info['problems']) == 3
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


def test_an_interrupted_preparation_goes_on(folder, monkeypatch):
  whole, _ = prepare(folder, out='whole')
  monkeypatch.setattr(shards, 'SHARD_STUDIES', 2)
  write_shard, read_film = shards._write_shard, images.read_film
  written, decoded = [], []

  def killed_at_the_third(path, *args):
    if len(written) == 2:
      raise KeyboardInterrupt
    written.append(path)
    return write_shard(path, *args)

  def counted(path):
    decoded.append(path)
    return read_film(path)

  monkeypatch.setattr(shards, '_write_shard', killed_at_the_third)
  with pytest.raises(KeyboardInterrupt):
    prepare(folder)
  out = folder.parent / 'prepared'
  with pytest.raises(DataError, match='not prepared to its end'):
    prepared.open_prepared(out)
  assert len(list((out / 'progress').glob('*.json'))) == 2
  monkeypatch.setattr(shards, '_write_shard', write_shard)
  monkeypatch.setattr(images, 'read_film', counted)
  builder, studies = prepare(folder)
  assert len(decoded) == 2 * (17 - 2 * 2)
  assert not (out / 'progress').exists()
  for split, records in studies.items():
    source = builder.as_data_source(split)
    assert len(source) == len(records)
    for record, same in zip(source, whole.as_data_source(split), strict=True):
      assert record.keys() == same.keys()
      for name, value in record.items():
        np.testing.assert_array_equal(value, same[name])


def test_a_shard_of_nothing_but_bad_studies(folder, monkeypatch):
  monkeypatch.setattr(shards, 'SHARD_STUDIES', 2)
  for number in (2, 3):
    path = folder / 'images' / f'train-{number}' / '0.png'
    path.write_bytes(b'no film')
  builder, studies = prepare(folder, skip_bad=True)
  ids = [record['id'].decode() for record in builder.as_data_source('train')]
  assert ids == [study.id for study in studies['train']]
  assert len(ids) == 8


def test_a_name_with_blanks_and_slashes_is_no_path(folder):
  (folder / 'dataset.json').write_text('{"name": "../my films"}')
  config = DataConfig(str(folder))
  dataset = detect.scan(config, folder)
  name = prepared.prepared_name(dataset, config)
  assert name.startswith('___my_films_')
  assert name.replace('_', '').isalnum()


@pytest.mark.parametrize('name', ['prepared.json', 'studies.jsonl'])
@pytest.mark.parametrize('content', ['x', '[1]', '{"split": 3}\n'])
def test_a_damaged_prepared_folder_is_named(folder, name, content):
  prepare(folder)
  (folder.parent / 'prepared' / name).write_text(content)
  with pytest.raises(DataError, match='prepared'):
    prepared.open_prepared(folder.parent / 'prepared')
