"""Paired tests of rows of runs, as the tables' command prints them."""

import json
import sys

import pytest

from cmn_jax import tables
from tests.made.run_scores import classifier_json, report_json, rows_of


def _workdir(path, variant, reports, seed=1):
  folder = path / 'evaluation'
  folder.mkdir(parents=True)
  (folder / 'test.json').write_text(json.dumps(report_json(variant, 0.5, seed)))
  rows = [
    {
      'id': str(n),
      'reference': f'study {n % 5} shows effusion .',
      'prediction': report,
      'reference_findings': ['Pleural Effusion'],
      'predicted_findings': ['Pleural Effusion'] if 'eff' in report else [],
    }
    for n, report in enumerate(reports)
  ]
  (folder / 'test_predictions.json').write_text(json.dumps(rows))
  return path


@pytest.fixture
def workdirs(tmp_path):
  good = [f'study {n % 5} shows effusion .' for n in range(20)]
  _workdir(tmp_path / 'good' / 'seed_1', 'proposed', good)
  _workdir(tmp_path / 'bad' / 'seed_1', 'cmn', ['the lungs are clear .'] * 20)
  return tmp_path


def _main(monkeypatch, capsys, *args):
  monkeypatch.setattr(sys, 'argv', ['tables', *map(str, args)])
  tables.main()
  return capsys.readouterr().out


def test_paired_tests_are_printed_and_kept(workdirs, monkeypatch, capsys):
  runs = workdirs / 'good', workdirs / 'bad'
  saved = workdirs / 'paired.json'
  out = _main(
    monkeypatch, capsys,
    '--runs', *runs, '--against', 'cmn', '--save_tests', saved,
  )  # fmt: skip
  (row,) = rows_of(out, 'Paired tests')
  assert 'toy: proposed less cmn, seed 1' in row and '1.000 | 0.000' in row
  again = _main(monkeypatch, capsys, '--runs', *runs, saved)
  assert rows_of(again, 'Paired tests') == [row]
  with pytest.raises(SystemExit, match=r'paired\.json exists'):
    _main(
      monkeypatch, capsys,
      '--runs', *runs, '--against', 'cmn', '--save_tests', saved,
    )  # fmt: skip


def test_seeds_of_a_row_are_tested_together(workdirs, monkeypatch, capsys):
  good = [f'study {n % 5} shows effusion .' for n in range(20)]
  bad = ['the lungs are clear .'] * 20
  _workdir(workdirs / 'good' / 'seed_2', 'proposed', bad, seed=2)
  _workdir(workdirs / 'bad' / 'seed_2', 'cmn', bad, seed=2)
  _workdir(workdirs / 'bad' / 'seed_3', 'cmn', good, seed=3)
  runs = workdirs / 'good', workdirs / 'bad'
  out = _main(monkeypatch, capsys, '--runs', *runs, '--against', 'cmn')
  (row,) = rows_of(out, 'Paired tests')
  assert 'toy: proposed less cmn, 2 seeds' in row
  # One seed finds all and one finds nothing: 20 of 40, F1 2 * 20 / 60.
  assert '| 0.667 | 0.000 |' in row


# The last study is one that nobody labelled.
LABELS = [*([['edema']] * 30), *([['nodule']] * 10), None]


def _classifier_workdir(path, variant, inputs, said):
  folder = path / 'evaluation'
  folder.mkdir(parents=True)
  test = classifier_json(variant, inputs, 0.5)
  (folder / 'test.json').write_text(json.dumps(test))
  rows = [
    {'id': str(n), 'labels': labels, 'predicted': names}
    for n, (labels, names) in enumerate(zip(LABELS, said, strict=True))
  ]
  (folder / 'test_predictions.json').write_text(json.dumps(rows))
  return path


def test_classifiers_are_compared_by_what_they_read(
  tmp_path, monkeypatch, capsys
):
  right = [labels or ['edema'] for labels in LABELS]
  blind = [[] if names == ['nodule'] else names for names in right]
  runs = [
    _classifier_workdir(tmp_path / 'a', 'classifier', 'image', right),
    _classifier_workdir(tmp_path / 'b', 'classifier_ce', 'image', blind),
    _classifier_workdir(tmp_path / 'c', 'classifier', 'image+x', blind),
  ]
  args = '--runs', *runs, '--against', 'classifier_ce'
  out = _main(monkeypatch, capsys, *args)
  (row,) = rows_of(out, 'Paired tests: classification')
  cells = [cell.strip() for cell in row.split('|')[1:-1]]
  assert cells[0] == '**toy: classifier less classifier_ce, image, seed 1**'
  micro, macro, rare = map(float, cells[1::2])
  assert micro == pytest.approx(1 - 60 / 70, abs=1e-3)
  assert (macro, rare) == (0.5, 1.0)
  assert all(float(p) < 0.01 for p in cells[2::2])


def test_what_cannot_be_compared_is_told(workdirs, monkeypatch, capsys):
  good, bad = workdirs / 'good', workdirs / 'bad'
  file = bad / 'seed_1' / 'evaluation' / 'test.json'
  _workdir(workdirs / 'short', 'base', ['x'] * 3)
  for args, says in (
    ([good, bad, '--against', 'mem'], r"no run of variant 'mem'.*cmn, prop"),
    ([bad, '--against', 'cmn'], 'no other run shares data, seed and'),
    ([good, file, '--against', 'cmn'], 'has no evaluation/test_predictions'),
    ([workdirs / 'short', bad, '--against', 'cmn'], 'other studies: id'),
    ([good, good], '2 runs of proposed, seed 1 on toy'),
    ([bad, bad, '--against', 'cmn'], '2 runs of cmn, seed 1 on toy'),
    ([workdirs / 'nothing'], r'nothing cannot be read'),
  ):
    with pytest.raises(SystemExit, match=says):
      _main(monkeypatch, capsys, '--runs', *args)
