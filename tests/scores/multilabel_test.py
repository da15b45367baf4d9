"""Scores of several labels a study, by definitions spelt out in loops."""

import json
import time

import numpy as np
import pytest

from cmn_jax.scores.decisions import decide
from cmn_jax.scores.multilabel import (
  LEAST_POSITIVES,
  score_classification,
  score_findings,
)
from input_pipeline.findings import CHEXPERT_14, DRAWN_FINDINGS
from tests.made.results import made_labels

CLASSES = ('effusion', 'nodule', 'edema', 'No Finding')


@pytest.fixture(scope='module')
def studies():
  return made_labels()


def _score(studies, bootstrap=0, **options):
  truth, known, probability = studies
  return score_classification(
    truth,
    known,
    probability >= 0.5,
    CLASSES,
    probability_SxC=probability,
    bootstrap=bootstrap,
    **options,
  )


def _pairs(truth, p):
  """AUROC: how often a positive is above a negative, ties half."""
  wins = [
    1.0 if a > b else 0.5 if a == b else 0.0
    for a in p[truth]
    for b in p[~truth]
  ]
  return np.mean(wins)


def _average_precision(truth, p):
  total = 0.0
  for cut in sorted(set(p), reverse=True):
    newly = (truth & (p == cut)).sum()
    total += newly * truth[p >= cut].mean()
  return total / truth.sum()


def test_each_class_by_its_definition(studies):
  truth, known, probability = studies
  scores = _score(studies)
  for c, name in enumerate(CLASSES):
    t, p = truth[known[:, c], c], probability[known[:, c], c]
    said = p >= 0.5
    hits = (t & said).sum()
    want = {
      'precision': hits / said.sum(),
      'recall': hits / t.sum(),
      'f1': 2 * hits / (said.sum() + t.sum()),
      'support': t.sum(),
      'studies': len(t),
      'auroc': _pairs(t, p),
      'auprc': _average_precision(t, p),
    }
    assert want.keys() == scores['per_class'][name].keys()
    for key, value in want.items():
      assert scores['per_class'][name][key] == pytest.approx(value), key


def test_averages(studies):
  truth, known, probability = studies
  scores = _score(studies)
  rows = scores['per_class']
  support = np.array([rows[name]['support'] for name in CLASSES])
  for key in ('precision', 'recall', 'f1'):
    column = np.array([rows[name][key] for name in CLASSES])
    want = (column * support).sum() / support.sum()
    assert scores[f'{key}_weighted'] == pytest.approx(want)
  # No Finding is in neither of these.
  found = CLASSES[:3]
  for key in ('f1', 'auroc', 'auprc'):
    want = np.mean([rows[name][key] for name in found])
    assert scores[f'{key}_macro'] == pytest.approx(want)
  t, said = truth[:, :3] & known[:, :3], (probability >= 0.5)[:, :3]
  said = said & known[:, :3]
  want = 2 * (t & said).sum() / (t.sum() + said.sum())
  assert scores['micro_f1'] == pytest.approx(want)
  right = ((probability >= 0.5) == truth)[known]
  assert scores['accuracy'] == pytest.approx(right.mean())


def test_rare_classes_have_averages_of_their_own(studies):
  scores = _score(studies, rare=('nodule', 'edema'))
  rows = scores['per_class']
  for key in ('f1', 'auroc', 'auprc'):
    want = (rows['nodule'][key] + rows['edema'][key]) / 2
    assert scores[f'{key}_macro_rare'] == pytest.approx(want)
  assert 'f1_macro_rare' not in _score(studies)


def test_a_resample_is_scored_as_studies_drawn_again():
  studies = made_labels(seed=1, studies=300)
  n = len(studies[0])
  draws = np.random.default_rng(5).multinomial(n, np.full(n, 1 / n), size=2)
  again = [np.repeat(np.arange(n), row) for row in draws]
  want = [_score([x[rows] for x in studies]) for rows in again]
  got = _score(studies, bootstrap=2, seed=5)
  for key in ('micro_f1', 'f1_macro', 'auroc_macro', 'precision_weighted'):
    low, high = sorted(w[key] for w in want)
    span = high - low
    assert got['intervals'][key] == pytest.approx(
      [low + 0.025 * span, high - 0.025 * span]
    )
  bounds = got['per_class']['effusion']['auprc_interval']
  low, high = sorted(w['per_class']['effusion']['auprc'] for w in want)
  assert bounds[0] >= low and bounds[1] <= high


def test_a_class_without_positives_or_negatives_has_no_ranking():
  truth = np.array([[True, False], [True, False], [True, False]])
  scores = score_classification(
    truth,
    np.ones((3, 2), bool),
    truth,
    ('edema', 'nodule'),
    probability_SxC=np.full((3, 2), 0.5),
    bootstrap=10,
  )
  assert scores['per_class']['edema']['auroc'] is None
  assert scores['per_class']['nodule']['auprc'] is None
  assert scores['f1_macro'] == 1.0 and scores['auroc_macro'] is None
  assert 'auroc_macro' not in scores['intervals']


def test_without_positives_averages_are_none():
  nothing = np.zeros((12, 4), bool)
  scores = _score((nothing, ~nothing, np.full((12, 4), 0.7)), bootstrap=5)
  for key in ('micro_f1', 'f1_macro', 'f1_weighted', 'precision_weighted'):
    assert scores[key] is None and key not in scores['intervals']
  assert scores['accuracy'] == 0.0
  findings = score_findings([set()], [{'edema'}], CLASSES, bootstrap=0)
  assert findings['micro_f1'] is None and findings['macro_f1'] is None


def test_intervals_of_few_positives_are_withheld():
  studies = made_labels(seed=2, studies=200)
  few = studies[0].copy()
  few[:, 1] = False
  few[: LEAST_POSITIVES - 1, 1] = True
  everything = np.ones_like(studies[1])
  scores = _score((few, everything, studies[2]), 20, rare=('effusion', 'edema'))
  for name, row in scores['per_class'].items():
    with_intervals = {k for k in row if k.endswith('_interval')}
    assert (with_intervals == set()) == (name == 'nodule')
  said = set(scores['intervals'])
  assert {'micro_f1', 'f1_weighted', 'auprc_macro_rare'} <= said
  assert not said & {'f1_macro', 'auroc_macro', 'auprc_macro'}
  assert 'nodule (9)' in scores['intervals_withheld']
  few[LEAST_POSITIVES - 1, 1] = True
  scores = _score((few, everything, studies[2]), 20)
  assert 'f1_macro' in scores['intervals']
  assert 'intervals_withheld' not in scores
  # Nine positives of all findings together are too few for micro F1, too.
  reference = [{'edema'}] * 9 + [{'No Finding'}] * 20
  findings = score_findings(reference, reference, CLASSES, bootstrap=20)
  assert 'micro_f1_interval' not in findings
  assert 'f1_interval' in findings['per_class']['No Finding']


def test_a_single_label_is_right_or_wrong_once_a_study():
  rng = np.random.default_rng(0)
  truth, p = np.eye(4, dtype=bool)[rng.integers(0, 4, 50)], rng.random((50, 4))
  known = np.ones((50, 4), bool)
  known[:7] = False
  scores = score_classification(
    truth,
    known,
    decide(p, None),
    CLASSES,
    probability_SxC=p,
    bootstrap=20,
    single_label=True,
  )
  right = (truth.argmax(1) == p.argmax(1))[7:]
  assert scores['accuracy'] == pytest.approx(right.mean())
  low, high = scores['intervals']['accuracy']
  assert low < right.mean() < high


def test_probabilities_that_are_none(studies):
  truth, known, probability = studies
  spoilt = probability.copy()
  spoilt[3, 1] = np.nan
  with pytest.raises(ValueError, match=r'1 of 60 rows, the first of them 3'):
    _score((truth, known, spoilt))


def test_always_no_finding_in_both_readings_of_its_precision():
  # Of 10 studies 6 have No Finding, 4 an effusion.
  truth = np.zeros((10, 2), bool)
  truth[:4, 0], truth[4:, 1] = True, True
  nothing = np.zeros((10, 2), bool)
  nothing[:, 1] = True
  scores = score_classification(
    truth,
    np.ones((10, 2), bool),
    nothing,
    ('effusion', 'No Finding'),
    probability_SxC=None,
    bootstrap=0,
  )
  assert scores['precision_weighted'] == pytest.approx(0.6 * 0.6)
  assert scores['precision_weighted_undefined_1'] == pytest.approx(0.36 + 0.4)
  assert scores['recall_weighted'] == pytest.approx(0.6)
  assert scores['micro_f1'] == 0.0 and 'auroc_macro' not in scores


def _sets(rng, studies, classes, rate):
  there = rng.random((studies, len(classes))) < rate
  return [{c for c, x in zip(classes, row, strict=True) if x} for row in there]


def test_findings_by_hand():
  reference = [{'effusion'}, {'effusion', 'nodule'}, set()]
  predicted = [{'effusion'}, {'effusion', 'unheard of'}, {'nodule'}]
  scores = score_findings(reference, predicted, CLASSES[:3], bootstrap=0)
  nothing = {'precision': 0.0, 'recall': 0.0, 'f1': 0.0}
  assert scores == {
    'micro_f1': pytest.approx(2 * 2 / (3 + 3)),
    'macro_f1': 1 / 2,  # edema does not occur
    'per_class': {
      'effusion': {'precision': 1.0, 'recall': 1.0, 'f1': 1.0, 'support': 2},
      'nodule': {**nothing, 'support': 1},
      'edema': {**nothing, 'support': 0},
    },
  }


def test_no_finding_stays_out_of_the_averages():
  reference = [{'Cardiomegaly'}, {'No Finding'}, {'No Finding'}]
  predicted = [{'Cardiomegaly'}, {'Cardiomegaly'}, {'Cardiomegaly'}]
  scores = score_findings(reference, predicted, CHEXPERT_14)
  assert scores['micro_f1'] == scores['macro_f1'] == pytest.approx(0.5)
  assert scores['per_class']['No Finding']['support'] == 2


def test_findings_have_their_intervals_beside_them():
  rng = np.random.default_rng(3)
  reference = _sets(rng, 600, DRAWN_FINDINGS, 0.2)
  noise = _sets(rng, 600, DRAWN_FINDINGS, 0.1)
  predicted = [a ^ b for a, b in zip(reference, noise, strict=True)]
  started = time.process_time()
  scores = score_findings(reference, predicted, DRAWN_FINDINGS)
  assert time.process_time() - started < 2
  assert json.loads(json.dumps(scores)) == scores
  for row in (scores, *scores['per_class'].values()):
    key = 'micro_f1' if row is scores else 'f1'
    low, high = row[f'{key}_interval']
    assert low < row[key] < high
  other = score_findings(reference, predicted, DRAWN_FINDINGS, seed=1)
  assert other['micro_f1_interval'] != scores['micro_f1_interval']
  perfect = score_findings(reference, reference, DRAWN_FINDINGS, bootstrap=50)
  assert perfect['macro_f1_interval'] == [1.0, 1.0]


@pytest.mark.parametrize(('reference', 'predicted'), [([], []), ([set()], [])])
def test_unequal_or_no_studies(reference, predicted):
  with pytest.raises(ValueError, match='expected the same studies'):
    score_findings(reference, predicted, CLASSES)
