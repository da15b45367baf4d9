"""Paired tests against all swaps, counted out."""

import itertools
import random

import numpy as np
import pytest

from cmn_jax.scores import metrics
from cmn_jax.scores.multilabel import score_findings
from cmn_jax.scores.significance import paired_findings_test, paired_test
from tests.made.reports import reports_of, spoilt


def test_equal_systems_do_not_differ():
  references = reports_of(25, 9)
  hypotheses = spoilt(references, 10)
  for result in paired_test(
    references, hypotheses, hypotheses, samples=300
  ).values():
    assert result == {'difference': 0.0, 'p_value': 1.0}


def test_a_clear_difference_has_the_smallest_p_value():
  references = reports_of(40, 11)
  good, bad = spoilt(references, 12, 0.1), spoilt(references, 13, 0.7)
  scores_good = metrics.TextCounts.of(references, good).values()
  scores_bad = metrics.TextCounts.of(references, bad).values()
  for name, result in paired_test(references, good, bad, samples=1999).items():
    assert result['p_value'] == pytest.approx(1 / 2000)
    assert result['difference'] == pytest.approx(
      scores_good[name] - scores_bad[name]
    )


@pytest.mark.parametrize('runs', [1, 2])
def test_p_values_are_those_of_all_swaps(runs):
  references = reports_of(7, 20)
  a = [spoilt(references, seed) for seed in (21, 22)[:runs]]
  b = [spoilt(references, seed, 0.6) for seed in (23, 24)[:runs]]

  def difference(swaps):
    left, right = (
      [
        (y if s else x)
        for run_x, run_y in zip(one, other, strict=True)
        for s, x, y in zip(swaps, run_x, run_y, strict=True)
      ]
      for one, other in ((a, b), (b, a))
    )
    scores = [
      metrics.TextCounts.of(references * runs, x).values()
      for x in (left, right)
    ]
    return {name: scores[0][name] - scores[1][name] for name in scores[0]}

  observed = difference([False] * 7)
  as_large = dict.fromkeys(observed, 0)
  # A study is swapped in all runs at once.
  for swaps in itertools.product([False, True], repeat=7):
    for name, value in difference(swaps).items():
      as_large[name] += abs(value) >= abs(observed[name]) - 1e-12
  found = paired_test(
    references * runs, [*itertools.chain(*a)], [*itertools.chain(*b)], runs=runs
  )
  assert min(as_large.values()) < 0.9 * 2**7
  for name, result in found.items():
    assert result['difference'] == pytest.approx(observed[name])
    assert result['p_value'] == pytest.approx(as_large[name] / 2**7, abs=0.02)


def test_p_values_of_alike_systems_are_spread_evenly():
  p_values = []
  for seed in range(60):
    references = reports_of(20, 100 + seed)
    a, b = spoilt(references, 200 + seed), spoilt(references, 300 + seed)
    result = paired_test(references, a, b, samples=200)
    p_values.append(result['bleu_2']['p_value'])
  assert 0.35 < np.mean(p_values) < 0.65
  assert np.mean(np.array(p_values) < 0.2) < 0.4


def _findings(studies, seed, wrong=0.0):
  rng = random.Random(seed)
  names = 'Edema', 'Fracture', 'No Finding'
  truth = [{n for n in names if rng.random() < 0.4} for _ in range(studies)]
  flips = [{n for n in names if rng.random() < wrong} for _ in range(studies)]
  return truth, [t ^ f for t, f in zip(truth, flips, strict=True)]


@pytest.mark.parametrize(
  'names', [['Edema', 'Fracture'], ['Edema']], ids=['all', 'rare']
)
def test_findings_of_all_swaps(names):
  truth, a = _findings(8, 0, wrong=0.1)
  b = _findings(8, 0, wrong=0.6)[1]

  def f1(predicted):
    scores = score_findings(truth, predicted, names, bootstrap=0)
    return np.array([scores['micro_f1'], scores['macro_f1']])

  observed = f1(a) - f1(b)
  differences = []
  for swaps in itertools.product([False, True], repeat=8):
    pairs = [
      (y, x) if swap else (x, y) for x, y, swap in zip(a, b, swaps, strict=True)
    ]
    left, right = zip(*pairs, strict=True)
    differences.append(f1(left) - f1(right))
  exact = np.mean(np.abs(differences) >= abs(observed) - 1e-12, axis=0)
  found = paired_findings_test(truth, a, b, names)
  for n, average in enumerate(('micro_f1', 'macro_f1')):
    assert observed[n] > 0.1 and 0.001 < exact[n] < 0.6
    assert found[average]['difference'] == pytest.approx(observed[n])
    assert found[average]['p_value'] == pytest.approx(exact[n], abs=0.02)


def test_the_same_findings_do_not_differ():
  truth, a = _findings(30, 1, wrong=0.2)
  for names in (['Edema', 'Fracture', 'No Finding'], ['Edema']):
    found = paired_findings_test(truth, a, a, names, samples=100)
    same = {'difference': 0.0, 'p_value': 1.0}
    assert found == {'micro_f1': same, 'macro_f1': same}
  nobody = paired_findings_test(truth, a, a, ['Pneumonia'])
  assert nobody['micro_f1'] == {'difference': None, 'p_value': None}
