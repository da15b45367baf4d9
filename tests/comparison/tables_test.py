"""The tables show what the JSON says, in three formats, and refuse nonsense."""

import csv
import io
import json

import numpy as np
import pytest

from cmn_jax.comparison.comparison import tables_of
from cmn_jax.comparison.runs import read_runs
from cmn_jax.comparison.table import FORMATS, Cell, cell_of
from tests.made.run_scores import (
  classifier_json,
  names_of,
  report_json,
  rows_of,
)


def test_runs_stand_below_their_baselines():
  made = tables_of(
    [
      report_json('mine', 0.5),
      report_json('cmn', 0.75),
      report_json('base', 0.625),
    ]
  )
  rows = rows_of(FORMATS['markdown'](made), 'toy')
  assert names_of(rows) == [
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
    [report_json('cmn', v, seed) for seed, v in enumerate(values)]
    + [report_json('cmn', 0.5, 0, dataset='other')]
  )
  row = rows_of(FORMATS['markdown'](made), 'toy')[2]
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
  made = FORMATS['markdown'](tables_of([report_json('cmn', 0.5)]))
  assert 'published' not in ' '.join(rows_of(made, 'toy'))
  assert any('0.4788' in row for row in rows_of(made, 'Published: reports'))
  assert not any('constant' in r for r in rows_of(made, 'Published: reports'))
  real = report_json('cmn', 0.5, dataset='iu_xray')
  made = FORMATS['markdown'](tables_of([real]))
  assert '*cmn (published)*' in names_of(rows_of(made, 'iu_xray'))
  assert '0.250' in rows_of(made, 'Published: reports')[-1]


def test_retrieval_has_chance_and_the_untrained_control():
  made = tables_of([report_json('cmn', 0.02), report_json('proposed', 0.5)])
  rows = rows_of(FORMATS['markdown'](made), 'toy: retrieval')
  assert names_of(rows) == [
    'chance',
    'cmn, seed 1, untrained projection',
    '**proposed, seed 1**',
  ]
  assert '0.500' in rows[2] and '0.250' in rows[2]


def test_classifiers_have_their_own_table_by_inputs():
  made = tables_of(
    [
      classifier_json('classifier', 'image', 0.9, seed=1),
      classifier_json('classifier', 'image', 0.8, seed=2),
      classifier_json('classifier', 'image+generated', 0.7),
    ]
  )
  rows = rows_of(FORMATS['markdown'](made), 'toy: classification')
  assert names_of(rows) == [
    'always No Finding',
    '**classifier, image, 2 seeds**',
    '**classifier, image+generated, seed 1**',
    'report by rules, image+generated',
  ]
  assert '0.950' in rows[3]
  assert '0.600' in rows[0] and '0.850 ± 0.071' in rows[1]


def test_rare_classes_have_a_table_with_intervals():
  seeds = [
    classifier_json('classifier', 'image', 0.8, seed=1),
    classifier_json('classifier', 'image', 0.4, seed=2),
  ]
  made = FORMATS['markdown'](tables_of(seeds))
  assert 'one training study in 20 has: nodule (2)' in made
  (row,) = rows_of(made, 'toy: rare classes')
  cells = [cell.strip() for cell in row.split('|')[2:-1]]
  assert cells[1:6] == ['0.250', '1.000', '0.300 ± 0.141', '0.150', '0.750']
  for test in seeds:
    test['labels']['rare'] = []
  assert 'rare' not in FORMATS['markdown'](tables_of(seeds))


def test_csv_has_every_number_and_latex_is_balanced():
  made = tables_of([report_json('a_b', 0.1234567)])
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
  test = report_json('cmn', 0.5)
  *above, last = key.split('.')
  del (test[above[0]] if above else test)[last]
  file = tmp_path / 'test.json'
  file.write_text(json.dumps(test))
  with pytest.raises(ValueError, match=rf'test\.json lacks {key}, as an older'):
    read_runs(file)


def test_scores_of_validation_are_no_test_scores(tmp_path):
  file = tmp_path / 'val.json'
  file.write_text(json.dumps({**report_json('cmn', 0.5), 'split': 'val'}))
  with pytest.raises(ValueError, match=r'val\.json holds the scores of val'):
    read_runs(file)
