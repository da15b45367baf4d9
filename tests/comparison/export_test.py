"""The files for the field's scorers."""

import json

import pytest

from cmn_jax.comparison.exports import write_radeval, write_rexrank

PREDICTIONS = [
  {
    'id': 'study 2',
    'reference': 'clear lungs .',
    'prediction': 'naïve lungs .',
    'findings': ['more that exports leave out'],
  },
  {'id': 'study 1', 'reference': 'no effusion .', 'prediction': ''},
]


def test_radeval_keeps_the_order(tmp_path):
  write_radeval(tmp_path / 'radeval.json', PREDICTIONS)
  assert json.loads((tmp_path / 'radeval.json').read_bytes()) == {
    'references': ['clear lungs .', 'no effusion .'],
    'hypotheses': ['naïve lungs .', ''],
  }


def test_rexrank_is_a_dict_by_study(tmp_path):
  write_rexrank(tmp_path / 'rexrank.json', PREDICTIONS)
  assert json.loads((tmp_path / 'rexrank.json').read_bytes()) == {
    'study 2': {
      'report': 'clear lungs .',
      'section_findings': 'clear lungs .',
      'section_impression': '',
      'model_prediction': 'naïve lungs .',
    },
    'study 1': {
      'report': 'no effusion .',
      'section_findings': 'no effusion .',
      'section_impression': '',
      'model_prediction': '',
    },
  }


@pytest.mark.parametrize('write', [write_radeval, write_rexrank])
def test_a_study_predicted_twice(tmp_path, write):
  with pytest.raises(ValueError, match=r"Study 'study 2' is predicted twice"):
    write(tmp_path / 'out.json', [*PREDICTIONS, PREDICTIONS[0]])
  assert not (tmp_path / 'out.json').exists()
