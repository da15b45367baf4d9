"""Scores of findings against formulas written out here."""

import dataclasses
import json
import time

import numpy as np
import pytest

from cmn_jax.scores.findings import (
  chexpert_labels,
  read_findings,
  score_attributes,
  score_findings,
)
from input_pipeline.findings import CHEXPERT_14, DRAWN_FINDINGS, Finding
from input_pipeline.findings_reader import (
  finding_targets,
  findings_reader,
  target_labels,
)

CLASSES = ('effusion', 'nodule', 'edema')


def random_studies(seed, studies, classes, rate=0.2, flip=0.1):
  rng = np.random.default_rng(seed)
  truth = rng.random((studies, len(classes))) < rate
  guess = truth ^ (rng.random(truth.shape) < flip)
  return truth, guess, as_sets(truth, classes), as_sets(guess, classes)


def as_sets(present, classes):
  return [
    {name for name, there in zip(classes, row, strict=True) if there}
    for row in present
  ]


def f1_by_counting(truth, guess):
  """F1 as the harmonic mean of precision and recall, study by study."""
  both = sum(t and g for t, g in zip(truth, guess, strict=True))
  if not both:
    return 0.0
  precision, recall = both / sum(guess), both / sum(truth)
  return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize('seed', range(5))
def test_agrees_with_counting(seed):
  truth, guess, reference, predicted = random_studies(seed, 50, CLASSES)
  scores = score_findings(reference, predicted, CLASSES, bootstrap=10)
  by_class = [f1_by_counting(truth[:, c], guess[:, c]) for c in range(3)]
  assert scores['micro_f1'] == pytest.approx(
    f1_by_counting(truth.ravel(), guess.ravel())
  )
  assert scores['macro_f1'] == pytest.approx(sum(by_class) / 3)
  for c, name in enumerate(CLASSES):
    row = scores['per_class'][name]
    assert row['f1'] == pytest.approx(by_class[c])
    assert row['support'] == truth[:, c].sum()
    assert row['precision'] == pytest.approx(
      (truth & guess)[:, c].sum() / guess[:, c].sum()
    )
    assert row['recall'] == pytest.approx(
      (truth & guess)[:, c].sum() / truth[:, c].sum()
    )


def test_by_hand():
  reference = [{'effusion'}, {'effusion', 'nodule'}, set()]
  predicted = [{'effusion'}, {'effusion'}, {'nodule'}]
  scores = score_findings(reference, predicted, CLASSES)
  assert scores['micro_f1'] == pytest.approx(2 * 2 / (3 + 3))
  assert scores['macro_f1'] == pytest.approx(
    (1 + 0) / 2
  )  # edema has no support
  assert scores['per_class']['nodule']['precision'] == 0.0
  assert scores['per_class']['edema'] == {
    'precision': 0.0,
    'recall': 0.0,
    'f1': 0.0,
    'support': 0,
    'f1_interval': [0.0, 0.0],
  }


def test_no_finding_stays_out_of_the_averages():
  reference = [{'Cardiomegaly'}, {'No Finding'}, {'No Finding'}]
  predicted = [{'Cardiomegaly'}, {'Cardiomegaly'}, {'Cardiomegaly'}]
  scores = score_findings(reference, predicted, CHEXPERT_14)
  assert scores['micro_f1'] == scores['macro_f1'] == pytest.approx(0.5)
  assert scores['per_class']['No Finding']['support'] == 2
  assert scores['per_class']['No Finding']['recall'] == 0.0


def test_nothing_predicted_scores_zero():
  scores = score_findings([{'nodule'}], [set()], CLASSES)
  assert scores['micro_f1'] == scores['macro_f1'] == 0.0
  assert scores['per_class']['nodule']['precision'] == 0.0


def test_perfect_predictions_have_a_point_interval():
  _, _, reference, _ = random_studies(0, 100, CLASSES)
  scores = score_findings(reference, reference, CLASSES)
  assert scores['micro_f1_interval'] == [1.0, 1.0]
  assert scores['macro_f1_interval'] == [1.0, 1.0]
  assert scores['per_class']['edema']['f1_interval'] == [1.0, 1.0]


def test_interval_agrees_with_a_plain_bootstrap():
  truth, guess, reference, predicted = random_studies(1, 120, CLASSES)
  scores = score_findings(reference, predicted, CLASSES, bootstrap=2000)
  rng = np.random.default_rng(99)
  resampled = []
  for _ in range(2000):
    rows = rng.integers(120, size=120)
    resampled.append(f1_by_counting(truth[rows].ravel(), guess[rows].ravel()))
  expected = np.percentile(resampled, [2.5, 97.5])
  np.testing.assert_allclose(scores['micro_f1_interval'], expected, atol=0.015)
  low, high = scores['micro_f1_interval']
  assert low < scores['micro_f1'] < high


def test_seed_fixes_the_interval():
  _, _, reference, predicted = random_studies(2, 60, CLASSES)
  first, again, other = (
    score_findings(reference, predicted, CLASSES, seed=seed)
    for seed in (0, 0, 1)
  )
  assert first == again
  assert first['micro_f1_interval'] != other['micro_f1_interval']
  assert first['micro_f1'] == other['micro_f1']


def test_json_and_speed():
  _, _, reference, predicted = random_studies(3, 600, DRAWN_FINDINGS)
  started = time.process_time()
  scores = score_findings(reference, predicted, DRAWN_FINDINGS)
  assert time.process_time() - started < 1
  assert json.loads(json.dumps(scores)) == scores


@pytest.mark.parametrize(('reference', 'predicted'), [([], []), ([set()], [])])
def test_unequal_or_no_studies(reference, predicted):
  with pytest.raises(ValueError, match='expected the same studies'):
    score_findings(reference, predicted, CLASSES)


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
  assert scores['side_accuracy'] == 0.0
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
