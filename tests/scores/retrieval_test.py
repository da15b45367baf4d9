"""Retrieval by known vectors, and what ties and equal reports count."""

import numpy as np
import pytest

from cmn_jax.scores.retrieval import retrieval_scores

WAYS = 'image_to_report', 'report_to_image'


def test_perfect_and_reversed_order():
  eye = np.eye(20)
  scores = retrieval_scores(eye, eye, range(20))
  for way in WAYS:
    assert scores[way]['recall_1'] == 1 and scores[way]['median_rank'] == 1
  scores = retrieval_scores(eye, -eye, range(20))
  for way in WAYS:
    assert scores[way]['recall_10'] == 0 and scores[way]['median_rank'] == 20


def test_ranks_differ_by_direction():
  films = np.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]])
  texts = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
  scores = retrieval_scores(films, texts, 'abc')
  # cosines: 0 0 1 / .6 .6 .8 / .8 .8 .6
  assert scores['image_to_report']['median_rank'] == 3
  assert scores['report_to_image']['median_rank'] == 3
  assert scores['report_to_image']['recall_1'] == 0


def test_features_that_are_all_alike_find_nothing():
  same = np.ones((20, 4)) / 2
  scores = retrieval_scores(same, same, range(20))
  assert all(scores[way]['recall_10'] == 0 for way in WAYS)
  assert scores['chance']['recall_5'] == pytest.approx(5 / 20)


def test_any_study_with_the_same_report_is_right():
  eye = np.eye(6)
  swapped = eye[[1, 0, 2, 3, 4, 5]]
  assert retrieval_scores(eye, swapped, 'abcdef')['image_to_report'][
    'recall_1'
  ] == pytest.approx(4 / 6)
  scores = retrieval_scores(eye, swapped, 'aacdef')
  assert all(scores[way]['recall_1'] == 1 for way in WAYS)
  assert scores['distinct_reports'] == 5


def test_chance_is_what_random_orders_find():
  reports = 'aaaaabbcdefghij'
  scores = retrieval_scores(np.eye(15), np.eye(15), reports)
  rng = np.random.default_rng(0)
  found = [
    reports[query] in {reports[i] for i in rng.permutation(15)[:5]}
    for query in np.tile(np.arange(15), 1000)
  ]
  assert scores['chance']['recall_5'] == pytest.approx(
    np.mean(found), abs=0.015
  )


@pytest.mark.parametrize('place', [0, 1])
def test_features_that_are_no_numbers_are_refused(place):
  vectors = [np.eye(3), np.eye(3)]
  vectors[place][1, 1] = np.nan
  with pytest.raises(ValueError, match='features'):
    retrieval_scores(*vectors, 'abc')
