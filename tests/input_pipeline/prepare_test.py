import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from input_pipeline import batches as pipeline
from input_pipeline import prepare
from input_pipeline.augmentation import Augmentation
from input_pipeline.study import DataError
from tests.made import opening, small_layouts
from tests.made.opening import assert_same
from tests.made.r2gen_folder import write_r2gen
from tests.made.small_layouts import many

AUGMENTED = Augmentation(
  crop=True,
  crop_margin=0.1,
  flip=False,
  flip_with_text=True,
  rotate=10.0,
  brightness=0.1,
  contrast=0.2,
)
SIZES = ('--stored-size', '24', '--image-size', '16')


@pytest.fixture
def openi(tmp_path):
  small_layouts.write_openi(tmp_path / 'openi', many(40))
  return tmp_path / 'openi'


def run(*args):
  prepare.main([str(arg) for arg in args])


def open_folder(folder, cache_dir, **changes):
  return opening.open_folder(folder, cache_dir, min_count=1, **changes)


def all_batches(data):
  batches = opening.train(data, 8, AUGMENTED, batch_size=8, seed=3)
  for split in ('val', 'test'):
    batches += pipeline.eval_batches(data, split, batch_size=8)
  return batches


def test_layouts_of_the_same_studies_give_the_same_batches(tmp_path):
  studies = (*small_layouts.ODD, *many(40))
  openi = tmp_path / 'openi'
  small_layouts.write_openi(openi, studies)
  small_layouts.write_kaggle(tmp_path / 'kaggle', studies, 'latin-1', '\r\n')
  r2gen = tmp_path / 'r2gen'
  r2gen.mkdir()
  run('--source', openi, '--annotation-out', r2gen / 'annotation.json')
  for study in studies:
    films = r2gen / 'images' / f'CXR{study[0]}_{study[1]}'
    films.mkdir(parents=True)
    for view, name in enumerate(small_layouts.film_names(study)):
      (films / f'{view}.png').write_bytes(small_layouts.png(name))
  run('--source', openi, '--out', tmp_path / 'prepared', *SIZES)

  cache = tmp_path / 'cache'
  data = open_folder(openi, cache)
  batches = all_batches(data)
  assert data.split_source == 'hash-v1'
  assert sum(len(s) for s in data.studies.values()) == 44
  assert np.ptp([b['images_BxIxHxW'].mean() for b in batches]) > 1
  for folder in (tmp_path / 'kaggle', r2gen, tmp_path / 'prepared'):
    other = open_folder(folder, cache)
    assert other.words.words == data.words.words
    assert other.split_digest == data.split_digest
    assert_same(all_batches(other), batches)


def test_a_prepared_folder_is_opened_without_its_source(openi, tmp_path):
  out = tmp_path / 'prepared'
  run('--source', openi, '--out', out, *SIZES)
  batches = all_batches(open_folder(out, None))
  shutil.rmtree(openi)
  moved = out.rename(tmp_path / 'moved')
  data = open_folder(moved, None)
  assert_same(all_batches(data), batches)
  assert (data.name, data.split_source) == ('iu_xray', 'hash-v1')
  assert data.label_source == 'mesh'
  assert {s.labels['Lung Opacity'] for s in data.studies['train']} == {
    'positive', 'negative',
  }  # fmt: skip


def test_a_prepared_folder_says_what_it_has(openi, tmp_path):
  run('--source', openi, '--out', tmp_path / 'prepared', *SIZES)
  with pytest.raises(DataError, match=r'views 2 \(wanted: 1\), image_size 16'):
    open_folder(tmp_path / 'prepared', None, views=1, image_size=8)
  with pytest.raises(DataError, match=r'sections findings \(wanted'):
    open_folder(tmp_path / 'prepared', None, sections='findings+impression')


def test_what_is_said_and_written(openi, tmp_path, capsys):
  (openi / 'NLMCXR_png.tgz').unlink()
  names = [name for s in many(40) for name in small_layouts.film_names(s)]
  films = {f'CXR{name}.png': small_layouts.png(name) for name in names[1:]}
  films[f'CXR{names[5]}.png'] = b'this is a text'
  small_layouts.write_tar(openi / 'NLMCXR_png.tgz', films)
  out = tmp_path / 'prepared'
  before = set(tmp_path.rglob('*'))
  run('--source', openi, '--out', out, *SIZES)
  said, warned = capsys.readouterr()
  assert 'Open-i layout' in said
  assert '40 reports, 80 films named' in said
  assert said.count(f'CXR{names[0]}.png') == 1
  assert 'bad studies' not in warned
  assert 'bad            2  studies' in said
  assert f'CXR{names[0]}.png, looked for anywhere below {openi}' in said
  assert 'neither PNG nor JPEG nor DICOM' in said
  assert 'kept          38  studies' in said
  assert '(split hash-v1)' in said
  assert 'films         76  by view: 76 unknown' in said
  new = set(tmp_path.rglob('*')) - before
  assert all(path.is_relative_to(out) for path in new)

  card = (out / 'dataset.md').read_text()
  data = open_folder(out, None)
  studies = {split: len(s) for split, s in data.studies.items()}
  assert sum(studies.values()) == 38
  for split, count in studies.items():
    digest = data.split_digest[split]
    assert f'| {split} | {count} | 0 | 0 | {2 * count} | `{digest}` |' in card
  opacities = [
    sum(s.labels['Lung Opacity'] == 'positive' for s in data.studies[split])
    for split in studies
  ]
  assert '## Labels: mesh' in card
  assert f'| Lung Opacity | {" | ".join(map(str, opacities))} |' in card
  lengths = [len(s.report.split()) + 1 for s in data.studies['train']]
  assert f'| train | {np.mean(lengths):.1f} |' in card
  assert '| missing or unreadable films | 2 |' in card
  assert 'CC BY-NC-ND 4.0' in card
  assert 'hash-v1' in card


def test_lengths_in_pieces_when_asked_for(openi, tmp_path, capsys):
  out = tmp_path / 'prepared'
  run('--source', openi, '--out', out, *SIZES)
  assert 'train reports in' not in capsys.readouterr().out
  assert 'pieces, mean' not in (out / 'dataset.md').read_text()
  counted = ('--tokenizer', 'bpe', '--pieces', 40)
  run('--source', openi, '--out', out, *SIZES, *counted)
  said = capsys.readouterr().out
  card = (out / 'dataset.md').read_text()
  data = open_folder(out, None, tokenizer='bpe', pieces=40)
  reports = [study.report for study in data.studies['train']]
  lengths = [data.tokenizer.count(report) for report in reports]
  mean = f'{np.mean(lengths):.1f}'
  assert f'train reports in 40 bpe pieces: mean {mean}, ' in said
  assert f'longest {max(lengths)}, over 58 0.0 %' in said
  assert '| split | 40 bpe pieces, mean | median |' in card
  assert f'| train | {mean} |' in card
  words = [len(report.split()) + 1 for report in reports]
  assert f'train reports in words: mean {np.mean(words):.1f}, ' in said


def test_annotation_is_that_of_r2gens_authors(openi, tmp_path):
  first, second = tmp_path / 'first.json', tmp_path / 'second.json'
  run('--source', openi, '--annotation-out', first)
  annotation = json.loads(first.read_text())
  entry = annotation['val'][0]
  assert list(entry) == ['id', 'report', 'image_path', 'split']
  assert entry['image_path'] == [f'{entry["id"]}/0.png', f'{entry["id"]}/1.png']
  assert first.read_text().startswith('{\n"train": [\n{\n"id": "CXR')
  for split in annotation.values():
    split.reverse()
  other = tmp_path / 'other.json'
  other.write_text(json.dumps(annotation, indent=0))
  run('--source', openi, '--split-from', other, '--annotation-out', second)
  assert second.read_bytes() == other.read_bytes()


def test_an_annotation_says_what_it_lacks(tmp_path, capsys):
  folder = tmp_path / 'openi'
  small_layouts.write_openi(folder, small_layouts.many(40), unpacked=True)
  (folder / 'png' / 'CXR107_IM-0007-1001.png').unlink()
  run('--source', folder, '--annotation-out', tmp_path / 'a.json')
  said = capsys.readouterr().out
  assert 'a.json: 39 studies; 1 left out, such as ' in said
  assert 'CXR107_IM-0007: no such file' in said


def test_reports_without_any_film_still_give_an_annotation(
  openi, tmp_path, capsys
):
  (openi / 'NLMCXR_png.tgz').unlink()
  run('--source', openi, '--annotation-out', tmp_path / 'annotation.json')
  assert 'No film of any study is on disk' in capsys.readouterr().out
  annotation = json.loads((tmp_path / 'annotation.json').read_text())
  assert sum(len(entries) for entries in annotation.values()) == 40
  with pytest.raises(SystemExit, match='No study of the split'):
    run('--source', openi, '--out', tmp_path / 'prepared', *SIZES)


def test_films_that_lie_elsewhere_are_looked_for_by_name(tmp_path, capsys):
  write_r2gen(tmp_path / 'data')
  (tmp_path / 'data' / 'images').rename(tmp_path / 'films')
  run('--source', tmp_path / 'data')
  path = tmp_path / 'data' / 'images' / 'train-0' / '0.png'
  assert f'are looked for, such as {path}.' in capsys.readouterr().out


def test_labels_of_the_phantom_and_of_nobody(tmp_path):
  annotation = write_r2gen(tmp_path / 'data')
  run('--source', tmp_path / 'data', '--out', tmp_path / 'one', *SIZES)
  card = (tmp_path / 'one' / 'dataset.md').read_text()
  assert '## Labels: rules (read in the text)' in card
  for entries in annotation.values():
    for entry in entries:
      entry['findings'] = [{'name': 'nodule', 'side': 'left'}]
  path = tmp_path / 'data' / 'annotation.json'
  path.write_text(json.dumps(annotation))
  (tmp_path / 'data' / 'dataset.json').write_text(
    '{"name": "phantom", "label_source": "phantom"}'
  )
  run('--source', tmp_path / 'data', '--out', tmp_path / 'two', *SIZES)
  card = (tmp_path / 'two' / 'dataset.md').read_text()
  assert '## Labels: phantom' in card
  assert '| nodule | 10 | 3 | 4 |' in card


def test_errors_are_one_sentence(tmp_path, openi, monkeypatch):
  monkeypatch.setitem(sys.modules, 'apache_beam', None)  # not installed
  (tmp_path / 'full').mkdir()
  (tmp_path / 'full' / 'thesis.txt').touch()
  run('--source', openi, '--out', tmp_path / 'done', *SIZES)
  for args, message in (
    (('--source', tmp_path / 'none'), 'there is no folder'),
    (('--source', tmp_path / 'full'), 'it holds: thesis.txt'),
    (('--source', openi, '--out', tmp_path / 'full'), 'already holds thesis'),
    (('--source', openi, '--out', openi / 'mine'), 'lies in the source'),
    (('--source', openi, '--annotation-out', openi / 'mine'), 'lies in the'),
    (('--source', tmp_path / 'done'), 'is a prepared folder already'),
    (('--source', openi, '--views', '0'), 'data.views is 0'),
    (('--source', openi, '--beam='), '--beam prepares a folder: name it'),
    (
      ('--source', openi, '--out', tmp_path / 'new', '--beam='),
      'Beam is not installed: `pip install -r requirements-beam.txt`',
    ),
    (('--source', openi, '--image-size', '300'), 'stored_size 256 is smaller'),
    (('--source', openi, '--split-from', 'none.json'), 'no split file'),
    (
      ('--source', openi, '--pieces', '9'),
      "'words' does not go with data.pieces 9",
    ),
    (
      ('--source', openi, '--tokenizer', 'bpe', '--pieces', '2'),
      "2 pieces of kind 'bpe' cannot be trained",
    ),
  ):
    with pytest.raises(SystemExit, match=f'^error: .*{message}'):
      run(*args)
  assert not (openi / 'mine').exists()
  assert not (tmp_path / 'new').exists()


def test_studies_with_one_film_are_masked(tmp_path):
  studies = [
    (*s[:2], s[2][: 1 + n % 2], *s[3:]) for n, s in enumerate(many(40))
  ]
  small_layouts.write_kaggle(tmp_path / 'kaggle', studies)
  data = open_folder(tmp_path / 'kaggle', tmp_path / 'cache', min_films=1)
  assert sum(len(s) for s in data.studies.values()) == 40
  seen = set()
  for batch in all_batches(data):
    films = batch['images_BxIxHxW'].any(axis=(2, 3))
    np.testing.assert_array_equal(films, batch['mask_BxI'])
    assert batch['mask_BxI'][:, 0].all()
    seen.update(batch['mask_BxI'][:, 1].tolist())
  assert seen == {False, True}


def test_the_command_runs(openi, tmp_path):
  done = subprocess.run(
    [sys.executable, '-m', 'input_pipeline.prepare', '--source', openi],
    check=True,
    capture_output=True,
    text=True,
  )
  assert 'kept          40  studies' in done.stdout
  assert done.stderr == ''
