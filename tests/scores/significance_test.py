"""Bootstrap intervals and the paired test against slow, plain versions."""

import itertools
import random
import time

import numpy as np
import pytest

from cmn_jax.scores import metrics, significance
from cmn_jax.scores.findings import score_findings
from cmn_jax.scores.significance import (
  bootstrap_intervals,
  paired_findings_test,
  paired_test,
)

SENTENCES = (
  'the lungs are clear .',
  'no effusion or pneumothorax is seen .',
  'the heart is large .',
  'the heart is normal in size .',
  'degenerative changes of the spine .',
)


def _reports(studies, seed):
  rng = random.Random(seed)
  return [' '.join(rng.sample(SENTENCES, 3)) for _ in range(studies)]


def _worse(reports, seed, spoilt=0.5):
  """The reports, in which words are lost at random."""
  rng = random.Random(seed)
  return [
    ' '.join(w for w in report.split() if rng.random() > spoilt)
    for report in reports
  ]


def test_a_draw_of_studies_scores_as_their_texts_do():
  references = _reports(20, 0)
  hypotheses = _worse(references, 1)
  drawn = np.random.default_rng(2).integers(0, 20, 20)
  weights = np.bincount(drawn, minlength=20).astype(float)
  counts = significance._StudyCounts.of(references, hypotheses)

  scores = dict(
    zip(significance.METRICS, counts.scores(weights).tolist(), strict=True)
  )

  expected = metrics.fast_scores(
    [references[i] for i in drawn], [hypotheses[i] for i in drawn]
  )
  # CIDEr's document frequencies are those of the whole split, not of the draw.
  whole = metrics.cider_per_study(references, hypotheses)
  assert abs(whole[drawn].mean() - expected['cider']) > 1e-3
  expected['cider'] = whole[drawn].mean()
  assert scores == pytest.approx(expected, abs=1e-12)


def test_interval_of_a_mean_is_that_of_theory():
  references = _reports(400, 3)
  hypotheses = _worse(references, 4)
  low, high = bootstrap_intervals(references, hypotheses)['rouge_l']
  scores = metrics.rouge_l_per_study(references, hypotheses)
  error = scores.std() / 20
  assert low == pytest.approx(scores.mean() - 1.96 * error, abs=0.3 * error)
  assert high == pytest.approx(scores.mean() + 1.96 * error, abs=0.3 * error)


def test_intervals_hold_the_scores_and_narrow_with_studies():
  references = _reports(400, 5)
  hypotheses = _worse(references, 6)
  scores = metrics.fast_scores(references, hypotheses)
  wide = bootstrap_intervals(references[:50], hypotheses[:50])
  narrow = bootstrap_intervals(references, hypotheses)
  assert set(narrow) == set(scores)
  for name, (low, high) in narrow.items():
    assert low < scores[name] < high
    assert high - low < 0.7 * (wide[name][1] - wide[name][0])


def test_intervals_repeat_with_their_seed():
  reports = _reports(30, 7), _worse(_reports(30, 7), 8)
  first = bootstrap_intervals(*reports, samples=200, seed=1)
  assert bootstrap_intervals(*reports, samples=200, seed=1) == first
  assert bootstrap_intervals(*reports, samples=200, seed=2) != first


def test_equal_systems_do_not_differ():
  references = _reports(25, 9)
  hypotheses = _worse(references, 10)
  for result in paired_test(
    references, hypotheses, hypotheses, samples=300
  ).values():
    assert result == {'difference': 0.0, 'p_value': 1.0}


def test_a_clear_difference_has_the_smallest_p_value():
  references = _reports(40, 11)
  good, bad = _worse(references, 12, 0.1), _worse(references, 13, 0.7)
  scores_good = metrics.fast_scores(references, good)
  scores_bad = metrics.fast_scores(references, bad)
  for name, result in paired_test(references, good, bad, samples=1999).items():
    assert result['p_value'] == pytest.approx(1 / 2000)
    assert result['difference'] == pytest.approx(
      scores_good[name] - scores_bad[name]
    )


def test_p_values_are_those_of_all_swaps():
  references = _reports(7, 14)
  a, b = _worse(references, 15), _worse(references, 16)
  observed = _difference(references, a, b)
  as_large = dict.fromkeys(observed, 0)
  for swaps in itertools.product([False, True], repeat=7):
    pairs = [
      (y, x) if s else (x, y) for s, x, y in zip(swaps, a, b, strict=True)
    ]
    swapped = _difference(references, *zip(*pairs, strict=True))
    for name in as_large:
      as_large[name] += abs(swapped[name]) >= abs(observed[name]) - 1e-12

  result = paired_test(references, a, b, samples=20_000)

  p_values = {name: result[name]['p_value'] for name in result}
  exact = {name: count / 2**7 for name, count in as_large.items()}
  assert p_values == pytest.approx(exact, abs=0.02)
  assert min(exact.values()) < 0.9


def _difference(references, a, b):
  scores_a = metrics.fast_scores(references, list(a))
  scores_b = metrics.fast_scores(references, list(b))
  return {name: scores_a[name] - scores_b[name] for name in scores_a}


def test_runs_of_a_study_are_swapped_together():
  references = _reports(6, 20)
  a = [_worse(references, seed) for seed in (21, 22)]
  b = [_worse(references, seed, 0.6) for seed in (23, 24)]

  def difference(swaps):
    left, right = (
      [
        (y if s else x)
        for run_x, run_y in zip(one, other, strict=True)
        for s, x, y in zip(swaps, run_x, run_y, strict=True)
      ]
      for one, other in ((a, b), (b, a))
    )
    return _difference(references * 2, left, right)

  observed = difference([False] * 6)
  as_large = dict.fromkeys(observed, 0)
  for swaps in itertools.product([False, True], repeat=6):
    for name, value in difference(swaps).items():
      as_large[name] += abs(value) >= abs(observed[name]) - 1e-12
  found = paired_test(references * 2, [*a[0], *a[1]], [*b[0], *b[1]], runs=2)
  for name, result in found.items():
    assert result['difference'] == pytest.approx(observed[name])
    assert result['p_value'] == pytest.approx(as_large[name] / 2**6, abs=0.02)


def test_p_values_of_alike_systems_are_spread_evenly():
  p_values = []
  for seed in range(60):
    references = _reports(20, 100 + seed)
    a, b = _worse(references, 200 + seed), _worse(references, 300 + seed)
    result = paired_test(references, a, b, samples=200)
    p_values.append(result['bleu_2']['p_value'])
  assert 0.35 < np.mean(p_values) < 0.65
  assert np.mean(np.array(p_values) < 0.2) < 0.4


def test_chunks_add_up():
  assert sum(significance._chunks(2500)) == 2500
  assert sum(significance._chunks(1000)) == 1000


def test_a_test_split_takes_seconds():
  references = [report * 3 for report in _reports(600, 17)]
  hypotheses = _worse(references, 18)
  begin = time.process_time()
  bootstrap_intervals(references, hypotheses)
  assert time.process_time() - begin < 6


def _findings(studies, seed, wrong=0.0):
  rng = random.Random(seed)
  names = 'Edema', 'Fracture', 'No Finding'
  truth = [{n for n in names if rng.random() < 0.4} for _ in range(studies)]
  flips = [{n for n in names if rng.random() < wrong} for _ in range(studies)]
  return truth, [t ^ f for t, f in zip(truth, flips, strict=True)]


@pytest.mark.parametrize('average', ['micro_f1', 'macro_f1'])
@pytest.mark.parametrize(
  'names', [['Edema', 'Fracture'], ['Edema']], ids=['all', 'rare']
)
def test_findings_of_all_swaps(average, names):
  truth, a = _findings(8, 0, wrong=0.1)
  b = _findings(8, 0, wrong=0.6)[1]

  def f1(predicted):
    return score_findings(truth, predicted, names, bootstrap=1)[average]

  observed = f1(a) - f1(b)
  differences = []
  for swaps in itertools.product([False, True], repeat=8):
    pairs = [
      (y, x) if swap else (x, y) for x, y, swap in zip(a, b, swaps, strict=True)
    ]
    left, right = zip(*pairs, strict=True)
    differences.append(f1(list(left)) - f1(list(right)))
  exact = np.mean(np.abs(differences) >= abs(observed) - 1e-12)
  found = paired_findings_test(truth, a, b, names)[average]
  assert observed > 0.1 and 0.001 < exact < 0.6
  assert found['difference'] == pytest.approx(observed)
  assert found['p_value'] == pytest.approx(exact, abs=0.02)


def test_the_same_findings_do_not_differ():
  truth, a = _findings(30, 1, wrong=0.2)
  for names in (['Edema', 'Fracture', 'No Finding'], ['Edema']):
    found = paired_findings_test(truth, a, a, names, samples=100)
    same = {'difference': 0.0, 'p_value': 1.0}
    assert found == {'micro_f1': same, 'macro_f1': same}
