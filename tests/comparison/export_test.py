"""The files for the field's boards and scorers, by the command that writes."""

import csv
import json

import pytest

from cmn_jax import export
from cmn_jax.comparison.exports import FORMS, prose
from cmn_jax.comparison.others import read_predictions
from tests.made.run_scores import report_results, write_workdir

PREDICTIONS = [
  {
    'id': 'CXR 2',
    'report': 'Lungs, clear.  No effusion.',
    'sections': {
      'findings': 'Lungs, clear.  No effusion.',
      'impression': 'Normal.',
      'indication': 'Cough, 3 days.',
      'comparison': 'None.',
    },
    'reference': 'lungs , clear . no effusion .',
    'prediction': 'naïve lungs , clear . no 2.5 cm mass .',
  },
  {
    'id': 'CXR 10',
    'report': 'No effusion.',
    'sections': {},
    'reference': 'no effusion .',
    'prediction': '',
  },
]
PROSE = 'Naïve lungs, clear. No 2.5 cm mass.'


def _export(tmp_path, capsys, form, predictions=PREDICTIONS, out='out.json'):
  run = tmp_path / 'run'
  if not run.exists():
    write_workdir(run, report_results(), predictions)
  export.main([str(run), '--to', form, '--out', str(tmp_path / out)])
  assert '2 studies in' in (said := capsys.readouterr().out)
  assert "1 empty predictions stand as '.'" in said
  return tmp_path / out


def _table(file):
  with file.open(newline='') as opened:
    return list(csv.DictReader(opened))


def test_prose_has_capitals_and_no_blank_before_a_stop():
  assert prose(PREDICTIONS[0]['prediction']) == PROSE
  assert prose('') == ''


def test_rexrank(tmp_path, capsys):
  file = _export(tmp_path, capsys, 'rexrank')
  assert json.loads(file.read_bytes()) == {
    'CXR 2': {
      'report': 'Findings: Lungs, clear.  No effusion. Impression: Normal.',
      'section_findings': 'Lungs, clear.  No effusion.',
      'section_impression': 'Normal.',
      'split': 'test',
      'context': 'Indication: Cough, 3 days. Comparison: None.',
      'model_prediction': PROSE,
    },
    'CXR 10': {
      'report': 'Findings: No effusion.',
      'section_findings': 'No effusion.',
      'section_impression': '',
      'split': 'test',
      'context': '',
      'model_prediction': '.',
    },
  }


def test_radeval_has_prose_and_the_words_that_we_score(tmp_path, capsys):
  file = _export(tmp_path, capsys, 'radeval')
  assert json.loads(file.read_bytes()) == {
    'references': ['Lungs, clear.  No effusion.', 'No effusion.'],
    'hypotheses': [PROSE, '.'],
  }
  assert json.loads((tmp_path / 'out_words.json').read_bytes()) == {
    'references': [row['reference'] for row in PREDICTIONS],
    'hypotheses': [PREDICTIONS[0]['prediction'], '.'],
  }


def test_tables(tmp_path, capsys):
  first, second = PREDICTIONS
  rows = _table(_export(tmp_path, capsys, 'radfact'))
  assert rows == [
    {'example_id': 'CXR 2', 'prediction': PROSE, 'target': first['report']},
    {'example_id': 'CXR 10', 'prediction': '.', 'target': second['report']},
  ]
  rows = _table(_export(tmp_path, capsys, 'crimson'))
  assert rows[0] == {
    'id': 'CXR 2',
    'Findings': first['report'],
    'Predicted': PROSE,
    'age': '',
    'indication': 'Cough, 3 days.',
  }
  folder = _export(tmp_path, capsys, 'cxr-report-metric', out='folder')
  assert _table(folder / 'gt.csv')[1] == {
    'study_id': '1', 'report': 'No effusion.',
  }  # fmt: skip
  assert _table(folder / 'pred.csv')[0] == {'study_id': '0', 'report': PROSE}
  assert _table(folder / 'ids.csv')[1] == {'study_id': '1', 'id': 'CXR 10'}


def test_what_is_exported_can_be_read_and_scored(tmp_path, capsys):
  by_id = read_predictions(_export(tmp_path, capsys, 'rexrank'))
  assert [(p.id, p.text) for p in by_id] == [('CXR 2', PROSE), ('CXR 10', '.')]
  in_order = read_predictions(_export(tmp_path, capsys, 'radeval'))
  assert [p.reference for p in in_order] == [p['report'] for p in PREDICTIONS]


@pytest.mark.parametrize(
  'predictions, says',
  [
    ([*PREDICTIONS, PREDICTIONS[0]], "study 'CXR 2' is predicted twice"),
    ([{'id': '1', 'labels': []}], 'have no report, sections, reference, pred'),
    (None, 'has no evaluation/test_predictions.json'),
  ],
)
def test_what_cannot_be_exported(tmp_path, capsys, predictions, says):
  for form in FORMS:
    with pytest.raises(SystemExit, match=says):
      _export(tmp_path, capsys, form, predictions)
  assert [path.name for path in tmp_path.iterdir()] == ['run']
