"""Intervals of resampled studies against slow, plain versions."""

import time

import numpy as np
import pytest

from cmn_jax.scores import metrics, resampling
from cmn_jax.scores.metrics import METRICS, TextCounts
from cmn_jax.scores.scoring import text_intervals
from tests.made.reports import reports_of, spoilt


def test_a_draw_of_studies_scores_as_their_texts_do():
  references = reports_of(20, 0)
  hypotheses = spoilt(references, 1)
  drawn = np.random.default_rng(2).integers(0, 20, 20)
  weights = np.bincount(drawn, minlength=20).astype(float)
  counts = TextCounts.of(references, hypotheses)

  scores = counts.summed(weights).scores().tolist()

  expected = metrics.TextCounts.of(
    [references[i] for i in drawn], [hypotheses[i] for i in drawn]
  ).values()
  # CIDEr's document frequencies are those of the whole split, not of the draw.
  whole = metrics.cider_per_study(references, hypotheses)
  assert abs(whole[drawn].mean() - expected['cider']) > 1e-3
  expected['cider'] = whole[drawn].mean()
  assert scores == pytest.approx([expected[x] for x in METRICS], abs=1e-12)


def test_the_score_is_that_of_each_study_once():
  counts = TextCounts.of(reports_of(30, 0), spoilt(reports_of(30, 0), 1))
  once = counts.summed(np.ones(30)).scores()
  assert [*counts.values().values()] == pytest.approx(once.tolist(), abs=1e-12)


def test_interval_of_a_mean_is_that_of_theory():
  references = reports_of(400, 3)
  counts = TextCounts.of(references, spoilt(references, 4))
  low, high = text_intervals(counts, 1000)['rouge_l']
  scores = counts.means_SxM[:, 0]
  error = scores.std() / 20
  assert low == pytest.approx(scores.mean() - 1.96 * error, abs=0.3 * error)
  assert high == pytest.approx(scores.mean() + 1.96 * error, abs=0.3 * error)


def test_intervals_hold_the_scores_and_narrow_with_studies():
  references = [report * 3 for report in reports_of(600, 5)]
  hypotheses = spoilt(references, 6)
  begin = time.process_time()
  counts = TextCounts.of(references, hypotheses)
  narrow = text_intervals(counts, 1000)
  assert time.process_time() - begin < 6
  wide = text_intervals(TextCounts.of(references[:50], hypotheses[:50]), 1000)
  assert set(narrow) == set(counts.values())
  for name, (low, high) in narrow.items():
    assert low < counts.values()[name] < high
    assert high - low < 0.7 * (wide[name][1] - wide[name][0])


def test_chunks_add_up():
  assert sum(resampling.chunks(2500)) == 2500
  assert [*resampling.chunks(1000)] == [1000]


def test_many_samples_are_drawn_as_few_are():
  drawn = []

  def scores(weights_RxS):
    drawn.append(weights_RxS)
    return {'sum': weights_RxS.sum(axis=1), 'first': weights_RxS[:, 0]}

  many = resampling.bootstrap(scores, 5, 1100, seed=3)
  assert many['sum'].tolist() == [5.0] * 1100 and len(drawn) == 2
  few = resampling.bootstrap(scores, 5, 100, seed=3)
  np.testing.assert_array_equal(few['first'], many['first'][:100])
  other = resampling.bootstrap(scores, 5, 100, seed=4)
  assert (few['first'] != other['first']).any()
  assert many['first'].mean() == pytest.approx(1, abs=0.1)


def test_an_interval_of_nothing_is_none():
  assert resampling.interval(np.array([np.nan, np.nan])) is None
  assert resampling.interval(np.array([0.5, np.nan, 0.5])) == [0.5, 0.5]
