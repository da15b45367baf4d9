"""The list of scores, and how a value and its interval are found."""

import math

import pytest

from cmn_jax.scores.catalogue import (
  CLASS_SCORES,
  RARE_SCORES,
  REPORT_SCORES,
  RETRIEVAL_SCORES,
  Score,
  interval_of,
  paired_sentences,
  selectable,
  terminal_table,
  value_of,
)
from tests.made.run_scores import classifier_results, report_results

ALL = (REPORT_SCORES, CLASS_SCORES, RARE_SCORES, RETRIEVAL_SCORES)
RESULTS = {
  'bleu_1': 0.5,
  'cider': math.nan,
  'meteor': None,
  'distinct_reports': 7,
  'commonest_share': 0.236,
  'findings': {'micro_f1': 0.25, 'micro_f1_interval': [0.125, 0.375]},
  'intervals': {'bleu_1': [0.4, 0.6], 'cider': [1.0], 'rouge_l': [None, 1.0]},
}
SCORES = {score.key: score for score in REPORT_SCORES}


@pytest.mark.parametrize('scores', ALL)
def test_no_score_and_no_heading_twice(scores):
  assert len({score.key for score in scores}) == len(scores)
  assert len({score.label for score in scores}) == len(scores)


@pytest.mark.parametrize(
  'key, value, interval',
  [
    ('bleu_1', 0.5, (0.4, 0.6)),
    ('findings.micro_f1', 0.25, (0.125, 0.375)),
    ('findings.macro_f1', None, None),
    ('cider', None, None),
    ('meteor', None, None),
    ('rouge_l', None, None),
    ('distinct_reports', 7, None),
  ],
)
def test_values_and_intervals(key, value, interval):
  assert value_of(RESULTS, SCORES[key]) == value
  assert interval_of(RESULTS, SCORES[key]) == interval


def test_nothing_is_in_a_tree_that_is_cut_short():
  score = Score('a.b.c', 'x')
  assert value_of({'a': 3.0}, score) is None
  assert value_of({'a': {'b': {'c': True, 'd': 2}}}, Score('a.b.d', 'x')) == 2


def test_selectable_by_the_last_part_of_the_key():
  assert {'bleu_4', 'cider', 'micro_f1'} <= {*selectable(REPORT_SCORES)}
  assert {'auroc_macro', 'micro_f1'} <= {*selectable(CLASS_SCORES)}
  # METEOR 1.5 starts Java: too slow for every validation.
  assert 'meteor' not in selectable(REPORT_SCORES)


def test_a_terminal_has_80_columns():
  full = report_results()
  assert {'micro_f1', 'macro_f1'} <= full['findings_iu'].keys()
  rows = {'nearest features': RESULTS, 'model': full}
  reports = terminal_table(rows, REPORT_SCORES)
  rows = {'always no finding': {}, 'model': classifier_results()}
  classes = terminal_table(rows, CLASS_SCORES)
  for lines in (reports, classes):
    assert len({len(line) for line in lines}) == 1 and len(lines[0]) <= 80
  assert 'F1 iu' in reports[0]
  assert reports[1].split() == [
    *('nearest', 'features', '0.500', '-', '-'),
    *('0.250', '-', '7', '24', '%', '-'),
  ]
  assert set(classes[1].split()[3:]) == {'-'}


def test_a_score_that_no_row_has_is_left_out():
  assert terminal_table({'a': {'bleu_1': 0.5}}, REPORT_SCORES) == [
    '  BLEU-1',
    'a  0.500',
  ]


def test_differences_in_words():
  tests = {
    'micro_f1': {'difference': 0.25, 'p_value': 0.0123, 'interval': [0, 1]},
    'micro_f1_iu': {'difference': None, 'p_value': None},
    'cider': {'difference': -0.5, 'p_value': 0.0001},
  }
  assert paired_sentences({'paired': {'template': tests}}) == [
    'less template: F1 micro +0.250 (p 0.012), CIDEr -0.500 (p < 0.001)'
  ]
  assert paired_sentences({}) == []
