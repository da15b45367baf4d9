"""Scores of a classifier against definitions spelt out in loops."""

import numpy as np
import pytest

from cmn_jax.scores.classification import (
  calibration,
  choose_thresholds,
  confusion_matrix,
  decide,
  score_classification,
)

CLASSES = ('effusion', 'nodule', 'edema', 'No Finding')


@pytest.fixture(scope='module')
def studies():
  """Truth, what is known of it, and probabilities with many ties."""
  rng = np.random.default_rng(0)
  truth = rng.random((60, 4)) < np.array([0.3, 0.05, 0.4, 0.3])
  known = rng.random((60, 4)) < 0.9
  probability = np.round(0.6 * truth + 0.7 * rng.random((60, 4)), 1)
  return truth, known, np.minimum(probability, 1.0)


def _score(studies, bootstrap=0):
  truth, known, probability = studies
  return score_classification(
    truth,
    known,
    probability >= 0.5,
    CLASSES,
    probability_SxC=probability,
    bootstrap=bootstrap,
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
  truth, known, probability = studies
  scores = score_classification(
    truth,
    known,
    probability >= 0.5,
    CLASSES,
    probability_SxC=probability,
    bootstrap=20,
    rare=('nodule', 'edema'),
  )
  rows = scores['per_class']
  for key in ('f1', 'auroc', 'auprc'):
    want = (rows['nodule'][key] + rows['edema'][key]) / 2
    assert scores[f'{key}_macro_rare'] == pytest.approx(want)
    low, high = scores['intervals'][f'{key}_macro_rare']
    assert low < want < high
  assert 'f1_macro_rare' not in _score(studies)


def test_a_resample_is_scored_as_studies_drawn_again(studies):
  truth, known, probability = studies
  n = len(truth)
  draws = np.random.default_rng(5).multinomial(n, np.full(n, 1 / n), size=2)
  again = [np.repeat(np.arange(n), row) for row in draws]
  want = [_score([x[rows] for x in studies]) for rows in again]
  got = score_classification(
    truth,
    known,
    probability >= 0.5,
    CLASSES,
    probability_SxC=probability,
    bootstrap=2,
    seed=5,
  )
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
  assert scores['per_class']['nodule']['f1_interval'] is None
  assert scores['f1_macro'] == 1.0 and scores['auroc_macro'] is None


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


def test_no_other_threshold_is_better(studies):
  truth, known, probability = studies
  thresholds = choose_thresholds(truth, known, probability)
  for c in range(3):
    t, p = truth[known[:, c], c], probability[known[:, c], c]

    def f1(cut, t=t, p=p):
      said = p >= cut
      return 2 * (t & said).sum() / max(t.sum() + said.sum(), 1)

    best = max(f1(cut) for cut in np.linspace(0, 1.01, 500))
    assert f1(thresholds[c]) == pytest.approx(best)


def test_thresholds_where_there_is_nothing_to_choose_from():
  p = np.array([[0.2, 0.1], [0.9, 0.4], [0.7, 0.3]])
  truth = np.array([[False, False], [True, False], [True, False]])
  known = np.ones((3, 2), bool)
  thresholds = choose_thresholds(truth, known, p)
  assert 0.2 < thresholds[0] <= 0.7 and thresholds[1] == 0.5
  said = decide(p, thresholds)
  np.testing.assert_array_equal(said[:, 0], truth[:, 0])
  one = decide(p, None)
  assert one.sum(axis=1).tolist() == [1, 1, 1]


def test_calibration():
  rng = np.random.default_rng(0)
  p = rng.random(200_000)
  good = calibration(rng.random(len(p)) < p, p)
  assert good['ece'] < 0.01 and len(good['bins']) == 10
  assert sum(b['count'] for b in good['bins']) == len(p)
  # Sure of everything and right half of the time.
  bad = calibration(np.arange(100) % 2 == 0, np.ones(100))
  assert bad['ece'] == pytest.approx(0.5)
  assert [b['low'] for b in bad['bins']] == [0.9]
  assert calibration(np.zeros(0, bool), np.zeros(0))['ece'] is None


def test_confusion_matrix():
  assert confusion_matrix([0, 0, 1, 2], [0, 2, 1, 2], 3) == [
    [1, 0, 1],
    [0, 1, 0],
    [0, 0, 1],
  ]
