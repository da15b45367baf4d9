"""Writing the phantom to disk in the layout of R2Gen."""

import collections
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tqdm
from PIL import Image

from input_pipeline.findings import FINDINGS, Finding
from input_pipeline.phantom import films, write
from input_pipeline.phantom.lesions import build_scene

ROOT = Path(__file__).parents[2]
STUDIES, SIZE = 12, 40


@pytest.fixture(scope='module')
def phantom(tmp_path_factory):
  """A small phantom, drawn by two processes."""
  out = tmp_path_factory.mktemp('data') / 'phantom'
  assert write.write_phantom(out, STUDIES, seed=3, size=SIZE, workers=2)
  return out


def contents(folder):
  """Every file under a folder, by its path."""
  paths = sorted(path for path in folder.rglob('*') if path.is_file())
  return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def run(*arguments):
  """The command as a person runs it."""
  return subprocess.run(
    [sys.executable, '-m', 'input_pipeline.phantom', *map(str, arguments)],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )


def real_annotation(folder, reports):
  """An annotation.json as people have it, without films."""
  entries = [
    {'id': f'CXR{i}', 'report': report, 'image_path': [], 'split': 'test'}
    for i, report in enumerate(reports)
  ]
  path = folder / 'annotation.json'
  path.write_text(
    json.dumps({'train': entries[:1], 'val': [], 'test': entries[1:]})
  )
  return path


def test_layout(phantom):
  annotation = json.loads((phantom / 'annotation.json').read_text())
  dataset = json.loads((phantom / 'dataset.json').read_text())
  assert dataset['name'] == dataset['label_source'] == 'phantom'
  assert dataset['studies'] == STUDIES
  assert dataset['splits'] == {s: len(annotation[s]) for s in write.SPLITS}
  for split in write.SPLITS:
    for entry in annotation[split]:
      assert entry['split'] == split
      for finding in entry['findings']:
        assert list(finding) == ['name', 'side', 'zone', 'severity']
      for path in entry['image_path']:
        with Image.open(phantom / 'images' / path) as image:
          assert (image.mode, image.size) == ('L', (SIZE, SIZE))


def test_films_are_those_of_the_findings(phantom):
  annotation = json.loads((phantom / 'annotation.json').read_text())
  entry = annotation['train'][0]
  index = int(entry['id'].split('-')[1])
  findings = [Finding(**fields) for fields in entry['findings']]
  drawn = films.draw_study(findings, seed=3, index=index, size=SIZE)
  for path, film in zip(entry['image_path'], drawn, strict=True):
    stored = np.asarray(Image.open(phantom / 'images' / path))
    np.testing.assert_array_equal(stored, film)


def test_the_number_of_workers_changes_nothing(phantom, tmp_path):
  write.write_phantom(tmp_path / 'one', STUDIES, seed=3, size=SIZE, workers=1)
  assert contents(tmp_path / 'one') == contents(phantom)


def test_another_seed_gives_other_studies(phantom, tmp_path):
  write.write_phantom(tmp_path / 'b', STUDIES, seed=4, size=SIZE, workers=2)
  one, other = contents(phantom), contents(tmp_path / 'b')
  assert one['annotation.json'] != other['annotation.json']
  same = [name for name in one if one[name] == other[name]]
  assert same == []


def test_splits_are_86_8_6():
  splits = write._draw_splits(500, seed=0)
  assert collections.Counter(splits) == {'train': 430, 'val': 40, 'test': 30}
  assert splits[:430] != ['train'] * 430
  for count in range(10, 40):
    assert set(write._draw_splits(count, seed=0)) == set(write.SPLITS)


def test_what_is_complete_is_left_alone(phantom):
  before = contents(phantom)
  assert not write.write_phantom(phantom, STUDIES, seed=3, size=SIZE, workers=1)
  assert contents(phantom) == before


def test_another_phantom_is_not_overwritten(phantom):
  with pytest.raises(write.PhantomError, match='seed is 3, not 5'):
    write.write_phantom(phantom, STUDIES, seed=5, size=SIZE, workers=1)


def test_a_folder_of_something_else_is_not_overwritten(tmp_path):
  (tmp_path / 'notes.txt').write_text('mine')
  with pytest.raises(write.PhantomError, match='holds no phantom'):
    write.write_phantom(tmp_path, STUDIES, seed=3, size=SIZE, workers=1)
  assert contents(tmp_path) == {'notes.txt': b'mine'}


def test_an_empty_folder_is_filled(tmp_path):
  assert write.write_phantom(tmp_path, 10, seed=3, size=SIZE, workers=1)
  assert (tmp_path / 'annotation.json').exists()


def test_a_run_that_is_stopped_leaves_nothing(tmp_path, monkeypatch):
  def stop(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(tqdm.tqdm, 'update', stop)
  with pytest.raises(KeyboardInterrupt):
    write.write_phantom(tmp_path / 'new', 40, seed=3, size=SIZE, workers=2)
  assert list(tmp_path.iterdir()) == []


def test_a_worker_that_fails_is_reported(tmp_path, capfd):
  (tmp_path / 'a').mkdir()  # where the first study wants to make a folder
  with pytest.raises(RuntimeError, match='ended with code 1'):
    films.draw_films(tmp_path, [('a', [])], 0, SIZE, 1, lambda: None)
  assert 'FileExistsError' in capfd.readouterr().err


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ({'studies': 9}, 'studies is 9'),
    ({'seed': -1}, 'seed is -1'),
    ({'size': 31}, 'size is 31'),
    ({'workers': 0}, 'workers is 0'),
  ],
)
def test_bad_numbers_are_refused(tmp_path, arguments, message):
  good = {'studies': 12, 'seed': 0, 'size': 64, 'workers': 1}
  with pytest.raises(write.PhantomError, match=message):
    write.write_phantom(tmp_path / 'new', **good | arguments)


def test_films_for_given_reports(tmp_path):
  reports = [
    'Small left effusion. No pneumothorax. Possible nodule.',
    'There is right lower lobe pneumonia. The heart is severely enlarged.',
    'Heart size is normal. The lungs are clear.',
    'Calcified granuloma. Feeding tube in place. Mild scoliosis.',
  ]
  annotation = real_annotation(tmp_path, reports)
  out = tmp_path / 'drawn'
  write.write_phantom(out, 0, 3, SIZE, workers=1, annotation=annotation)
  written = json.loads((out / 'annotation.json').read_text())
  entries = written['train'] + written['val'] + written['test']
  assert [entry['report'] for entry in entries] == reports
  assert [len(written[split]) for split in write.SPLITS] == [1, 0, 3]
  read = [
    [' '.join(filter(None, f.values())) for f in entry['findings']]
    for entry in entries
  ]
  assert read == [
    ['effusion left mild'],
    ['pneumonia right lower', 'cardiomegaly severe'],
    [],
    ['granuloma', 'other support device', 'scoliosis mild'],
  ]
  assert (out / 'images' / 'CXR1' / '0.png').exists()
  dataset = json.loads((out / 'dataset.json').read_text())
  assert dataset['name'] == 'iu_xray-drawn'
  assert dataset['label_source'] == 'rules'
  with pytest.raises(write.PhantomError, match='annotation_sha256'):
    other = real_annotation(tmp_path, reports[:2])
    write.write_phantom(out, 0, 3, SIZE, workers=1, annotation=other)


def test_every_reading_of_a_report_can_be_drawn():
  for name in FINDINGS:
    for side in ('', 'left', 'bilateral'):
      for zone in ('', 'upper', 'mid', 'lower'):
        rng = np.random.default_rng(0)
        read = Finding(name, side, zone, 'severe')
        drawn = [write.complete(f, rng) for f in write._drawable([read])]
        scene = build_scene(drawn, rng)
        assert scene.lungs.keys() == {'left', 'right'}


def test_a_bad_annotation_is_refused(tmp_path):
  path = tmp_path / 'annotation.json'
  for content, message in (
    ('{', 'Cannot read the annotation'),
    ('[]', 'is no R2Gen annotation'),
    ('{"train": [{"id": "a"}], "val": [], "test": []}', "the text 'report'"),
    (
      '{"train": [{"id": "../a", "report": ""}], "val": [], "test": []}',
      'cannot name a folder',
    ),
  ):
    path.write_text(content)
    with pytest.raises(write.PhantomError, match=message):
      write.write_phantom(tmp_path / 'new', 0, 0, SIZE, 1, annotation=path)


def test_command_line(tmp_path, phantom):
  again = run(
    '--out', phantom, '--studies', STUDIES, '--seed', 3, '--size', SIZE
  )
  assert (again.returncode, again.stdout.split()[0]) == (0, 'Already')
  refused = run('--out', phantom, '--studies', STUDIES, '--seed', 9)
  assert refused.returncode == 1
  assert refused.stderr.startswith('error: ')
  assert len(refused.stderr.splitlines()) == 1


def test_signals_end_it_and_all_who_draw(tmp_path):
  """`timeout` sends two: to the process, and to its group."""
  out = tmp_path / 'new'
  command = [sys.executable, '-m', 'input_pipeline.phantom', f'--out={out}']
  process = subprocess.Popen(
    [*command, '--studies=2000', '--workers=2'],
    cwd=ROOT,
    stderr=subprocess.PIPE,
    text=True,
  )
  while not (drawn := [*tmp_path.glob('*/images/*')]):
    assert process.poll() is None
    time.sleep(0.05)
  begin = time.monotonic()
  for _ in range(3):
    process.send_signal(signal.SIGTERM)
    time.sleep(0.02)
  _, err = process.communicate(timeout=60)
  assert time.monotonic() - begin < 10
  assert process.returncode == 143 and 'stopped by SIGTERM' in err
  assert drawn and not [*tmp_path.iterdir()]
