"""The Markdown table shows what the JSON says."""

import json

import pytest

from cmn_jax.tables import read_test, report


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
      'side_accuracy': value,
      'zone_accuracy': 0.0,
      'counts': {'side': 3, 'zone': 0},
    },
  }


def _test_json(variant, value):
  return {
    **_scores(value),
    'dataset': 'toy',
    'variant': variant,
    'seed': 1,
    'studies': 9,
    'selected_on': 'val bleu_4',
    'baselines': {'constant': _scores(0.25), 'retrieval': _scores(0.5)},
    'controls': {'shuffled_images': _scores(0.125)},
  }


def test_runs_stand_below_their_baselines(tmp_path):
  (tmp_path / 'evaluation').mkdir()
  file = tmp_path / 'evaluation' / 'test.json'
  file.write_text(json.dumps(_test_json('cmn', 0.75)))
  text = report([read_test(tmp_path), _test_json('base', 0.625)])
  rows = [line for line in text.splitlines() if line.startswith('| ')]
  assert [row.split('|')[1].strip() for row in rows[2:]] == [
    'constant report',
    'nearest study',
    '**cmn, seed 1**',
    'cmn, seed 1, shuffled films',
    '**base, seed 1**',
    'base, seed 1, shuffled films',
  ]
  assert '0.750' in rows[4] and '| - | 7 |' in rows[4]
  assert len({row.count('|') for row in rows}) == 1


def test_a_folder_without_scores_is_named(tmp_path):
  with pytest.raises(ValueError, match=r'test\.json cannot be read'):
    read_test(tmp_path)
