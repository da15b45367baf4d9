"""Reports of many studies: a table that grows, and a page of them."""

import csv
import errno
import json
import shutil

import pytest

from cmn_jax import predict, report_rows
from cmn_jax.own_films import write_reports
from cmn_jax.reporter import Reporter
from input_pipeline.errors import UserError
from input_pipeline.film_list import read_film_list
from tests.made.dicom_file import RAMP_HxW, write_dicom
from tests.made.runs import edit_meta


@pytest.fixture
def films(runs, tmp_path):
  """Eleven studies, two of them bad, one of three films, one inverted."""
  films = tmp_path / 'films'
  for n, folder in enumerate(sorted((runs.root / 'data/images').iterdir())):
    if n < 10:
      shutil.copytree(folder, films / folder.name)
  names = sorted(path.name for path in films.iterdir())
  (films / names[1] / '0.png').write_bytes(b'PK no film')
  shutil.copy(films / names[2] / '0.png', films / names[2] / '2.png')
  for patient in (1, 2):
    tags = {'PatientID': str(patient), 'StudyInstanceUID': '1.2'}
    write_dicom(films / f'{patient}.dcm', RAMP_HxW, **tags)
  return films


def _rows(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def _predict(runs, films, out, *flags, model=None):
  predict.main(
    [
      f'--checkpoint={model or runs.report}',
      f'--images={films}',
      f'--out={out}',
      *flags,
    ]
  )


def test_a_row_for_each_study_and_a_page(runs, films, tmp_path, capsys):
  out, page = tmp_path / 'r.jsonl', tmp_path / 'r.html'
  _predict(runs, films, out, f'--page={page}')
  said = ' '.join(capsys.readouterr().out.split())  # folded, by a path's length
  assert '11 rows written' in said
  assert '2 of films that could not be read' in said
  rows = {row['id']: row for row in _rows(out)}
  names = sorted(path.name for path in films.iterdir() if path.is_dir())
  assert rows.keys() == {*names, '1.2'}
  bad = {name: row['error'] for name, row in rows.items() if row['error']}
  assert bad.keys() == {names[1], '1.2'}
  assert 'neither PNG nor JPEG nor DICOM' in bad[names[1]]
  assert 'its 2 films are of 2 patients' in bad['1.2']
  assert rows[names[2]]['left_out'] == [str(films / names[2] / '2.png')]
  # As one by one.
  reporter = Reporter.load(runs.report)
  for name in (names[0], names[9]):
    alone = reporter.report([films / name / f'{n}.png' for n in (0, 1)])
    assert rows[name]['report'] == alone.text
    assert rows[name]['unlike_training'] == alone.unlike_training
    assert rows[name]['unlike_training'] is not None
  text = page.read_text()
  assert text.count('<article') == 9 and 'Reference' not in text
  assert bad[names[1]] in text and 'drawn images only' in text
  # All is done already: the page is the same.
  _predict(runs, films, out, f'--page={page}')
  assert page.read_text() == text and len(_rows(out)) == 11


def test_a_table_goes_on_where_it_was_stopped(runs, films, tmp_path, capsys):
  whole, out = tmp_path / 'whole.csv', tmp_path / 'out.csv'
  _predict(runs, films, whole)
  lines = whole.read_bytes().splitlines(keepends=True)
  out.write_bytes(b''.join(lines[:4]) + lines[4][:20])
  _predict(runs, films, out)
  assert '8 rows written' in capsys.readouterr().out
  assert out.read_bytes() == whole.read_bytes()
  with whole.open(newline='') as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == 11 and {row['unlike_training'] for row in rows} <= {
    *('yes', 'no', '')
  }
  with pytest.raises(SystemExit, match='another checkpoint, classifier or'):
    _predict(runs, films, whole, '--beam_size=1')
  (tmp_path / 'other.jsonl').write_text('[1]\n')
  for name, says in (
    ('other.jsonl', 'holds other things'),
    ('r.txt', 'expected .jsonl or .csv'),
    ('none/r.csv', 'No such file'),
  ):
    with pytest.raises(SystemExit, match=says) as caught:
      _predict(runs, films, tmp_path / name)
    assert '\n' not in caught.value.code
  assert whole.read_bytes() == b''.join(lines)


@pytest.mark.parametrize(
  ('name', 'content'),
  [
    ('a.jsonl', '{"id": [], "model": "0"}\n'),
    ('a.jsonl', '{"id": "a", "model": {}}\n'),
    ('a.jsonl', '[' * 5_000 + '\n'),
    ('a.csv', 'id,model\na\n'),
    ('a.csv', 'id,model\na\rb,0\n'),
  ],
)
def test_a_table_of_other_things(tmp_path, name, content):
  (tmp_path / name).write_text(content, newline='')
  with pytest.raises(UserError, match='holds other things'):
    report_rows.ReportRows(tmp_path / name, '0')
  assert (tmp_path / name).read_bytes() == content.encode()


def test_a_full_disk_leaves_whole_rows(runs, films, tmp_path, monkeypatch):
  out, add = tmp_path / 'r.jsonl', report_rows.ReportRows.add

  def full(self, rows):
    if self._file.tell() > 500:
      raise OSError(errno.ENOSPC, 'No space left on device', str(out))
    add(self, rows)

  monkeypatch.setattr(report_rows.ReportRows, 'add', full)
  with pytest.raises(SystemExit, match='No space left on device'):
    _predict(runs, films, out)
  before = _rows(out)
  assert 0 < len(before) < 11
  monkeypatch.undo()
  _predict(runs, films, out)
  after = _rows(out)
  assert after[: len(before)] == before and len(after) == 11


@pytest.mark.parametrize('name', ['classifier', 'consensus'])
def test_other_tasks_that_write(runs, films, tmp_path, name):
  out = tmp_path / 'r.jsonl'
  _predict(runs, films, out, model=runs.root / name)
  good = [row for row in _rows(out) if not row['error']]
  assert len(good) == 9 and all(row['report'] for row in good)
  assert all(0 <= p <= 1 for row in good for p in row['probabilities'].values())
  assert {row['unlike_training'] for row in good} <= {True, False}
  assert good[0]['probabilities'].keys() == good[8]['probabilities'].keys()


def test_a_task_that_writes_nothing_says_so(runs, films, tmp_path):
  folder = shutil.copytree(runs.root / 'consensus', tmp_path / 'run')
  edit_meta(folder, lambda meta: {**meta, 'task': 'diagnose'})
  with pytest.raises(SystemExit, match="'diagnose' trained, which writes no"):
    _predict(runs, films, tmp_path / 'r.jsonl', model=folder)
  assert not (tmp_path / 'r.jsonl').exists()


def test_a_checkpoint_that_does_not_know_its_films(runs, films, tmp_path):
  folder = shutil.copytree(runs.report, tmp_path / 'run')
  edit_meta(
    folder,
    lambda meta: {k: v for k, v in meta.items() if k != 'film_statistics'},
  )
  studies, _ = read_film_list(str(films))
  results = list(write_reports(Reporter.load(folder), iter(studies)))
  assert [result.study for result in results] == studies
  assert {r.report.unlike_training for r in results if r.report} == {None}
