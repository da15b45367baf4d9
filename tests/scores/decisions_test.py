"""Thresholds, decisions and calibration against brute force."""

import numpy as np
import pytest

from cmn_jax.scores.decisions import (
  calibration,
  choose_thresholds,
  confusion_matrix,
  decide,
  youden_thresholds,
)
from tests.made.results import made_labels


def test_no_other_threshold_is_better():
  truth, known, probability = made_labels()
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


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_probabilities_that_are_none(bad):
  p = np.array([[0.2, 0.1], [bad, 0.4]])
  yes = np.ones((2, 2), bool)
  for ask in (
    lambda: choose_thresholds(yes, yes, p),
    lambda: decide(p, None),
    lambda: decide(p, np.full(2, 0.5)),
    lambda: calibration(yes.ravel(), p.ravel()),
  ):
    with pytest.raises(ValueError, match='probabilities: 1 of'):
      ask()


def test_no_other_threshold_has_a_better_youden_index():
  truth, known, probability = made_labels()
  thresholds = youden_thresholds(truth, known, probability)
  for c in range(3):
    t, p = truth[known[:, c], c], probability[known[:, c], c]
    # As the field does it: every probability is a threshold, the highest first.
    best, index = None, 0.0
    for cut in sorted(set(p), reverse=True):
      j = (p[t] >= cut).mean() - (p[~t] >= cut).mean()
      if j > index + 1e-12:
        best, index = cut, j
    np.testing.assert_array_equal(p >= thresholds[c], p >= best)


def test_youden_where_there_is_nothing_to_choose_from():
  p = np.array([[0.2, 0.1, 0.3], [0.9, 0.4, 0.6], [0.7, 0.3, 0.9]])
  truth = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 1]], bool)
  # Worse than chance, no positive, no negative.
  thresholds = youden_thresholds(truth, np.ones((3, 3), bool), p)
  assert thresholds.tolist() == [0.5, 0.5, 0.5]
