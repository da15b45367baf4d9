"""Paired tests of rows of runs, as the tables' command prints them."""

import json

import pytest

from cmn_jax import tables
from cmn_jax.scores.scoring import SplitScorer
from tests.made.run_scores import (
  READER,
  STUDIES,
  classifier_results,
  report_predictions,
  report_results,
  rows_of,
  write_workdir,
  written,
)


def _workdir(path, name, right, seed=1):
  return write_workdir(
    path, report_results(name, right, seed), report_predictions(right)
  )


@pytest.fixture
def workdirs(tmp_path):
  _workdir(tmp_path / 'good' / 'seed_1', 'proposed', 5)
  _workdir(tmp_path / 'bad' / 'seed_1', 'cmn', 0)
  return tmp_path


def _main(capsys, *args):
  tables.main(list(map(str, args)))
  return capsys.readouterr().out


def test_paired_tests_are_printed_and_saved(workdirs, capsys):
  runs = workdirs / 'good', workdirs / 'bad'
  saved = workdirs / 'saved.json'
  args = '--runs', *runs, '--against', 'cmn', '--save', saved
  rows = rows_of(_main(capsys, *args), 'Paired tests')
  row = rows['**toy: proposed less cmn, seed 1**']
  assert (row['F1 micro'], row['F1 micro: p']) == ('1.000', '0.0001')
  assert (row['F1 iu'], row['F1 iu: p']) == ('1.000', '0.0001')
  again = _main(capsys, '--runs', saved)
  assert rows_of(again, 'Paired tests') == rows
  assert '**cmn, seed 1**' in rows_of(again, 'toy')
  with pytest.raises(SystemExit, match=r'saved\.json exists'):
    _main(capsys, *args)


def test_a_run_is_tested_against_its_own_baselines(tmp_path, capsys):
  scorer = SplitScorer(STUDIES, READER, bootstrap=20)
  constant = scorer.paired(written(3), written(0))
  results = report_results('mine', 3, paired={'constant': constant})
  write_workdir(tmp_path / 'run', results, report_predictions(3))
  saved = tmp_path / 'saved.json'
  args = '--runs', tmp_path / 'run', '--save', saved
  (row,) = rows_of(_main(capsys, *args), 'Paired tests').items()
  assert row[0] == '**toy: mine less its constant, seed 1**'
  difference = constant['micro_f1_iu']['difference']
  assert row[1]['F1 iu'] == f'{difference:.3f}' != '0.000'
  assert float(row[1]['F1 iu: p']) < 0.01
  # Once, although the scores hold them already.
  (again,) = rows_of(_main(capsys, '--runs', saved), 'Paired tests').items()
  assert again == row


def test_an_older_run_is_compared_without_iu(workdirs, capsys):
  for file in workdirs.glob('*/seed_1/evaluation/test_predictions.json'):
    rows = json.loads(file.read_text())
    file.write_text(
      json.dumps([{k: v for k, v in r.items() if '_iu' not in k} for r in rows])
    )
  runs = workdirs / 'good', workdirs / 'bad'
  out = _main(capsys, '--runs', *runs, '--against', 'cmn')
  (row,) = rows_of(out, 'Paired tests').values()
  assert row['F1 micro'] == '1.000' and 'F1 iu' not in row


def test_seeds_of_a_row_are_tested_together(workdirs, capsys):
  _workdir(workdirs / 'good' / 'seed_2', 'proposed', 0, seed=2)
  _workdir(workdirs / 'bad' / 'seed_2', 'cmn', 0, seed=2)
  _workdir(workdirs / 'bad' / 'seed_3', 'cmn', 5, seed=3)
  runs = workdirs / 'good', workdirs / 'bad'
  out = _main(capsys, '--runs', *runs, '--against', 'cmn')
  row = rows_of(out, 'Paired tests')['**toy: proposed less cmn, 2 seeds**']
  # One seed finds all and one finds nothing: recall 1/2, precision 1.
  assert (row['F1 micro'], row['F1 micro: p']) == ('0.667', '0.0001')


# The last study is one that nobody labelled.
LABELS = [*([['edema']] * 30), *([['a <nodule>']] * 10), None]


def _classifier_workdir(path, name, inputs, said):
  rows = [
    {'id': str(n), 'labels': labels, 'predicted': names}
    for n, (labels, names) in enumerate(zip(LABELS, said, strict=True))
  ]
  return write_workdir(path, classifier_results(name, inputs), rows)


def test_classifiers_are_compared_by_what_they_read(tmp_path, capsys):
  right = [labels or ['edema'] for labels in LABELS]
  blind = [[] if names == ['a <nodule>'] else names for names in right]
  runs = [
    _classifier_workdir(tmp_path / 'a', 'classifier', 'image', right),
    _classifier_workdir(tmp_path / 'b', 'classifier_ce', 'image', blind),
    _classifier_workdir(tmp_path / 'c', 'classifier', 'image+generated', blind),
  ]
  out = _main(capsys, '--runs', *runs, '--against', 'classifier_ce')
  ((name, row),) = rows_of(out, 'Paired tests: classification').items()
  assert name == '**toy: classifier, image less classifier_ce, image, seed 1**'
  scores = 'F1 micro', 'F1 macro', 'F1 rare'
  micro, macro, rare = (float(row[score]) for score in scores)
  assert micro == pytest.approx(1 - 60 / 70, abs=1e-3)
  assert (macro, rare) == (0.5, 1.0)
  assert all(float(row[f'{score}: p']) < 0.01 for score in scores)


def test_rows_of_one_name_are_told_apart(workdirs, capsys):
  results = report_results(config={'train.epochs': 24})
  write_workdir(workdirs / 'long', results, report_predictions(2))
  runs = workdirs / 'good', workdirs / 'bad', workdirs / 'long'
  with pytest.raises(SystemExit, match="'cmn' is the name of 2 rows"):
    _main(capsys, '--runs', *runs, '--against', 'cmn')
  against = 'cmn (train.epochs=24)'
  out = _main(capsys, '--runs', *runs, '--against', against)
  assert set(rows_of(out, 'Paired tests')) == {
    f'**toy: proposed less {against}, seed 1**',
    f'**toy: cmn (train.epochs as named) less {against}, seed 1**',
  }


def test_what_cannot_be_compared_is_said(workdirs, capsys):
  good, bad = workdirs / 'good', workdirs / 'bad'
  file = bad / 'seed_1' / 'evaluation' / 'test.json'
  short = report_predictions()[:3]
  write_workdir(workdirs / 'short', report_results('base'), short)
  other = report_results('base', split_digest='other')
  write_workdir(workdirs / 'other', other, report_predictions())
  for args, says in (
    ([good, bad, '--against', 'mem'], "no run 'mem'.*cmn, proposed"),
    ([bad, '--against', 'cmn'], 'no other run shares test studies'),
    ([bad, workdirs / 'other', '--against', 'cmn'], 'no other run shares'),
    ([good, file, '--against', 'cmn'], 'has no evaluation/test_predictions'),
    ([workdirs / 'short', bad, '--against', 'cmn'], 'other studies: id'),
    ([good, good], '2 runs of proposed, seed 1 on toy'),
    ([workdirs / 'nothing'], r'nothing.* cannot be read'),
  ):
    with pytest.raises(SystemExit, match=says):
      _main(capsys, '--runs', *args)
