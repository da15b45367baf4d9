"""The tables show what the JSON says, in three formats, and refuse nonsense."""

import csv
import io
import json
import sys

import numpy as np
import pytest

from cmn_jax import tables
from cmn_jax.evaluation.comparison import tables_of
from cmn_jax.evaluation.runs import read_runs
from cmn_jax.evaluation.table import FORMATS, Cell, cell_of


def _scores(value):
  return {
    **{f'bleu_{n}': value for n in range(1, 5)},
    'meteor': None,
    'rouge_l': value,
    'cider': value,
    'distinct_reports': 7,
    'findings': {
      'source': 'rules',
      'micro_f1': value,
      'macro_f1': value,
      'micro_f1_interval': [0.1, 0.2],
      'per_class': {'Pleural Effusion': {}, 'No Finding': {}},
      'side_accuracy': value,
      'zone_accuracy': 0.0,
      'counts': {'side': 3, 'zone': 0},
    },
  }


def _recalls(value):
  return {f'recall_{k}': value for k in (1, 5, 10)} | {'median_rank': 12.0}


def _test_json(variant, value, seed=1, dataset='toy'):
  return {
    **_scores(value),
    'dataset': dataset,
    'variant': variant,
    'seed': seed,
    'studies': 9,
    'selected_on': 'val bleu_4',
    'baselines': {'constant': _scores(0.25), 'retrieval': _scores(0.5)},
    'controls': {'shuffled_images': _scores(0.125)},
    'retrieval': {
      'projection': 'trained' if variant == 'proposed' else 'untrained',
      'image_to_report': _recalls(value),
      'report_to_image': _recalls(value / 2),
      'chance': _recalls(0.01),
      'studies': 9,
      'distinct_reports': 8,
    },
  }


def _classifier_json(variant, inputs, value, seed=1):
  return {
    'dataset': 'toy',
    'variant': variant,
    'seed': seed,
    'studies': 9,
    'inputs': inputs,
    'precision_weighted': value,
    'recall_weighted': value,
    'f1_weighted': value,
    'f1_macro': value,
    'auroc_macro': value,
    'task': 'multi_label',
    'labels': {
      'source': 'phantom',
      'classes': ['edema', 'nodule', 'No Finding'],
      'rare': ['nodule'],
      'rare_below': 0.05,
    },
    'finetuned': False,
    'f1_macro_rare': value / 2,
    'intervals': {'f1_macro': [0.25, 1.0], 'f1_macro_rare': [value / 4, 0.75]},
    'per_class': {'nodule': {'support': 2}},
    'baselines': {
      'always_no_finding': {'f1_weighted': 0.6},
      **(
        {} if inputs == 'image' else {'report_by_rules': {'f1_weighted': 0.95}}
      ),
    },
  }


def _lines(text, title):
  part = text.split(f'## {title}\n')[1].split('\n## ')[0]
  return [line for line in part.splitlines() if line.startswith('| ')][2:]


def _names(lines):
  return [line.split('|')[1].strip() for line in lines]


def test_runs_stand_below_their_baselines():
  made = tables_of(
    [
      _test_json('mine', 0.5),
      _test_json('cmn', 0.75),
      _test_json('base', 0.625),
    ]
  )
  rows = _lines(FORMATS['markdown'](made), 'toy')
  assert _names(rows) == [
    'constant report',
    'nearest study',
    '**base, seed 1**',
    'base, seed 1, shuffled films',
    '**cmn, seed 1**',
    'cmn, seed 1, shuffled films',
    '**mine, seed 1**',
    'mine, seed 1, shuffled films',
  ]
  assert '0.750' in rows[4] and '| - | 7 |' in rows[4]
  assert len({row.count('|') for row in rows}) == 1


def test_seeds_become_mean_and_deviation():
  values = [0.7, 0.75, 0.86]
  made = tables_of(
    [_test_json('cmn', v, seed) for seed, v in enumerate(values)]
    + [_test_json('cmn', 0.5, 0, dataset='other')]
  )
  row = _lines(FORMATS['markdown'](made), 'toy')[2]
  assert '**cmn, 3 seeds**' in row
  assert f'{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}' in row
  assert '**cmn, seed 0**' in FORMATS['markdown'](made)


def test_cells():
  assert cell_of([None, None]).text() == '-'
  assert cell_of([3]).text() == '3'
  assert cell_of([3, 4]).text() == '3.500 ± 0.707'
  assert Cell(0.6216, digits=4).text() == '0.6216'
  assert Cell(123.0).text() == '123.0'


def test_published_rows_stand_beside_runs_on_their_data_only():
  made = FORMATS['markdown'](tables_of([_test_json('cmn', 0.5)]))
  assert 'published' not in ' '.join(_lines(made, 'toy'))
  assert any('0.4788' in row for row in _lines(made, 'Published: reports'))
  assert not any('constant' in r for r in _lines(made, 'Published: reports'))
  real = _test_json('cmn', 0.5, dataset='iu_xray')
  made = FORMATS['markdown'](tables_of([real]))
  assert '*cmn (published)*' in _names(_lines(made, 'iu_xray'))
  assert '0.250' in _lines(made, 'Published: reports')[-1]


def test_retrieval_has_chance_and_the_untrained_control():
  made = tables_of([_test_json('cmn', 0.02), _test_json('proposed', 0.5)])
  rows = _lines(FORMATS['markdown'](made), 'toy: retrieval')
  assert _names(rows) == [
    'chance',
    'cmn, seed 1, untrained projection',
    '**proposed, seed 1**',
  ]
  assert '0.500' in rows[2] and '0.250' in rows[2]


def test_classifiers_have_their_own_table_by_inputs():
  made = tables_of(
    [
      _classifier_json('classifier', 'image', 0.9, seed=1),
      _classifier_json('classifier', 'image', 0.8, seed=2),
      _classifier_json('classifier', 'image+generated', 0.7),
    ]
  )
  rows = _lines(FORMATS['markdown'](made), 'toy: classification')
  assert _names(rows) == [
    'always No Finding',
    '**classifier, image, 2 seeds**',
    '**classifier, image+generated, seed 1**',
    'report by rules, image+generated',
  ]
  assert '0.950' in rows[3]
  assert '0.600' in rows[0] and '0.850 ± 0.071' in rows[1]


def test_rare_classes_have_a_table_with_intervals():
  seeds = [
    _classifier_json('classifier', 'image', 0.8, seed=1),
    _classifier_json('classifier', 'image', 0.4, seed=2),
  ]
  made = FORMATS['markdown'](tables_of(seeds))
  assert 'one training study in 20 has: nodule (2)' in made
  (row,) = _lines(made, 'toy: rare classes')
  cells = [cell.strip() for cell in row.split('|')[2:-1]]
  assert cells[1:6] == ['0.250', '1.000', '0.300 ± 0.141', '0.150', '0.750']
  for test in seeds:
    test['labels']['rare'] = []
  assert 'rare' not in FORMATS['markdown'](tables_of(seeds))


def test_csv_has_every_number_and_latex_is_balanced():
  made = tables_of([_test_json('a_b', 0.1234567)])
  rows = list(csv.DictReader(io.StringIO(FORMATS['csv'](made))))
  found = [
    row['value']
    for row in rows
    if row['row'].startswith('a_b') and row['column'] == 'BLEU-4'
  ]
  assert found == ['0.1234567', '0.125']
  text = FORMATS['latex'](made)
  assert r'a\_b, seed 1' in text and text.count('{') == text.count('}')
  assert r'findings from \texttt{rules};' in text and '`' not in text
  for name in ('table', 'tabular'):
    begun = text.count(rf'\begin{{{name}}}')
    assert begun == text.count(rf'\end{{{name}}}') == len(made)


def _workdir(path, variant, reports, seed=1):
  folder = path / 'evaluation'
  folder.mkdir(parents=True)
  (folder / 'test.json').write_text(json.dumps(_test_json(variant, 0.5, seed)))
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
  (row,) = _lines(out, 'Paired tests')
  assert 'toy: proposed less cmn, seed 1' in row and '1.000 | 0.000' in row
  again = _main(monkeypatch, capsys, '--runs', *runs, saved)
  assert _lines(again, 'Paired tests') == [row]
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
  (row,) = _lines(out, 'Paired tests')
  assert 'toy: proposed less cmn, 2 seeds' in row
  # One seed finds all and one finds nothing: 20 of 40, F1 2 * 20 / 60.
  assert '| 0.667 | 0.000 |' in row


# The last study is one that nobody labelled.
LABELS = [*([['edema']] * 30), *([['nodule']] * 10), None]


def _classifier_workdir(path, variant, inputs, said):
  folder = path / 'evaluation'
  folder.mkdir(parents=True)
  test = _classifier_json(variant, inputs, 0.5)
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
  (row,) = _lines(out, 'Paired tests: classification')
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


@pytest.mark.parametrize('content', ['{}', '[1]', '3'])
def test_json_without_scores_is_refused_by_name(tmp_path, content):
  file = tmp_path / 'other.json'
  file.write_text(content)
  with pytest.raises(ValueError, match=r'other\.json holds no scores of a run'):
    read_runs(file)


@pytest.mark.parametrize(
  'key', ['seed', 'baselines', 'controls', 'findings.micro_f1_interval']
)
def test_a_key_that_an_older_version_did_not_write_is_named(tmp_path, key):
  test = _test_json('cmn', 0.5)
  *above, last = key.split('.')
  del (test[above[0]] if above else test)[last]
  file = tmp_path / 'test.json'
  file.write_text(json.dumps(test))
  with pytest.raises(ValueError, match=rf'test\.json lacks {key}, as an older'):
    read_runs(file)


def test_scores_of_validation_are_no_test_scores(tmp_path):
  file = tmp_path / 'val.json'
  file.write_text(json.dumps({**_test_json('cmn', 0.5), 'split': 'val'}))
  with pytest.raises(ValueError, match=r'val\.json holds the scores of val'):
    read_runs(file)
