"""Attributes of findings in reports by hand, and targets of the findings."""

import dataclasses

import numpy as np
import pytest

from cmn_jax.scores.findings import score_attributes
from cmn_jax.scores.multilabel import score_findings
from input_pipeline.findings import (
  CHEXPERT_14,
  Finding,
  chexpert_labels,
  read_findings,
)
from input_pipeline.findings_reader import (
  finding_targets,
  findings_reader,
  target_labels,
)


def test_attributes_by_hand():
  reference = [
    [
      Finding('effusion', 'left', severity='mild'),
      Finding('opacity', 'right', 'lower'),
    ],
    [Finding('nodule', 'right', 'upper'), Finding('cardiomegaly')],
    [Finding('opacity', 'left', 'upper')],
  ]
  predicted = [
    [
      Finding('effusion', 'left', severity='severe'),
      Finding('opacity', '', 'lower'),
    ],
    [
      Finding('nodule', 'right', 'mid'),
      Finding('cardiomegaly', '', '', 'mild'),
    ],
    [Finding('opacity', 'left', 'upper', status='negative')],
  ]
  assert score_attributes(reference, predicted) == {
    'side_accuracy': pytest.approx(2 / 3),
    'zone_accuracy': pytest.approx(1 / 2),
    'severity_accuracy': 0.0,
    'counts': {'side': 3, 'zone': 2, 'severity': 1},
  }


def test_attributes_pair_the_best_matches_first():
  reference = [
    [Finding('opacity', 'left', 'lower'), Finding('opacity', 'right', 'upper')]
  ]
  predicted = [reference[0][::-1]]
  scores = score_attributes(reference, predicted)
  assert scores['side_accuracy'] == scores['zone_accuracy'] == 1.0
  assert scores['counts'] == {'side': 2, 'zone': 2, 'severity': 0}
  # One prediction serves one mention: the other was not found.
  scores = score_attributes(reference, [reference[0][:1]])
  assert scores['counts'] == {'side': 1, 'zone': 1, 'severity': 0}


def test_attributes_of_nothing():
  scores = score_attributes([[]], [[Finding('nodule', 'left')]])
  assert scores['counts'] == {'side': 0, 'zone': 0, 'severity': 0}
  assert scores['side_accuracy'] is None
  with pytest.raises(ValueError, match='expected the same studies'):
    score_attributes([[]], [])


def test_reports_are_scored_through_the_labeler():
  references = ['Small left effusion. No pneumothorax.', 'Left apical nodule.']
  hypotheses = ['small right effusion .', 'nodule in the left apex .']
  present = [
    [
      {
        name
        for name, status in chexpert_labels(r).items()
        if status == 'positive'
      }
      for r in reports
    ]
    for reports in (references, hypotheses)
  ]
  assert score_findings(*present, CHEXPERT_14)['micro_f1'] == 1.0
  scores = score_attributes(
    [read_findings(report) for report in references],
    [read_findings(report) for report in hypotheses],
  )
  assert scores['side_accuracy'] == 0.5
  assert scores['zone_accuracy'] == scores['severity_accuracy'] == 1.0


@dataclasses.dataclass
class _Study:
  report: str
  findings: None = None
  labels: None = None


def test_targets_of_a_mirrored_study_are_on_the_other_side():
  studies = [
    _Study('There is a large left effusion.'),
    _Study('There is a right effusion. The heart is enlarged.'),
    _Study('The lungs are clear.'),
  ]
  reader = findings_reader(None)
  names = finding_targets(studies, reader, least=1)
  as_is, mirrored = target_labels(studies, reader, names)
  left, right = names.index('left effusion'), names.index('right effusion')
  assert as_is[:, [left, right]].tolist() == [[1, 0], [0, 1], [0, 0]]
  assert mirrored[:, [left, right]].tolist() == [[0, 1], [1, 0], [0, 0]]
  others = [n for n in range(len(names)) if n not in (left, right)]
  np.testing.assert_array_equal(as_is[:, others], mirrored[:, others])
  assert as_is[:, others].sum(0).min() >= 1
  assert target_labels(studies, reader, []).shape == (2, 3, 0)
