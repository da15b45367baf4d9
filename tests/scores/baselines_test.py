"""The reports that need no model."""

import random

import numpy as np
import pytest

from cmn_jax.scores import metrics
from cmn_jax.scores.baselines import (
  constant_report,
  retrieval_reports,
  template_reports,
)

SENTENCES = (
  'the lungs are clear .',
  'no effusion .',
  'no pneumothorax or effusion .',
  'the heart is large .',
  'the heart is normal in size .',
  'no no opacity opacity .',
)


def _reports(studies, seed):
  rng = random.Random(seed)
  return [
    ' '.join(rng.choices(SENTENCES, k=rng.randint(1, 5)))
    for _ in range(studies)
  ]


@pytest.mark.parametrize('seed', range(5))
def test_constant_is_the_best_by_full_scoring(seed):
  train, val = [*_reports(30, seed), ''], _reports(20, seed + 100)
  bleu_4 = {
    r: metrics.TextCounts.of(val, [r] * len(val)).values()['bleu_4']
    for r in train
  }
  constant = constant_report(train, val)
  assert constant in train
  assert bleu_4[constant] == pytest.approx(max(bleu_4.values()), abs=1e-12)
  assert max(bleu_4.values()) > 1.1 * np.median([*bleu_4.values()])


def test_constant_does_not_depend_on_order():
  train, val = _reports(30, 1), _reports(20, 2)
  chosen = constant_report(train, val)
  assert constant_report(train[::-1] * 2, val[::-1]) == chosen
  for equal in (['x x', 'y y'], ['y y', 'x x']):
    assert constant_report(equal, ['clear lungs .']) == 'x x'


@pytest.mark.parametrize('train, val', [([], ['a']), (['a'], [])])
def test_constant_needs_both(train, val):
  with pytest.raises(ValueError, match=r'at least one of each'):
    constant_report(train, val)


def _films(studies, seed):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (studies, 2, 8, 8), dtype=np.uint8)


def test_retrieval_finds_the_same_films_in_noise():
  train = _films(700, 0)
  wanted = np.random.default_rng(1).permutation(700)[:600]
  noise = np.random.default_rng(2).normal(0, 3, (600, 2, 8, 8))
  queries = 0.3 * train[wanted] - 60 + noise
  reports = [f'report {i}' for i in range(700)]
  found = retrieval_reports(train, reports, queries)
  assert found == [f'report {i}' for i in wanted]


def test_retrieval_looks_at_shapes_and_not_at_exposure():
  sharp, other = _films(2, 5)
  foggy, other_foggy = 100 + 0.05 * sharp, 100 + 0.05 * other
  train = np.stack([sharp, other_foggy])
  assert retrieval_reports(train, ['same', 'other'], foggy[None]) == ['same']


def test_retrieval_weighs_both_views():
  # The first film is that of study 0, the second is nearly that of study 1 and
  # nothing like that of study 0.
  train = _films(2, 3).astype(float)
  query = np.stack([train[0, 0] + 0.5 * train[1, 0], train[1, 1]])
  assert retrieval_reports(train, ['zero', 'one'], query[None]) == ['one']


def test_retrieval_survives_a_black_film():
  train = _films(3, 4)
  train[0, 1] = 0
  queries = np.zeros((1, 2, 8, 8), np.uint8)
  queries[0, 0] = train[2, 0]
  assert retrieval_reports(train, ['a', 'b', 'c'], queries) == ['c']


def test_retrieval_of_films_that_do_not_fit():
  with pytest.raises(ValueError, match=r'\(3, 2, 8, 8\) with 2 reports'):
    retrieval_reports(_films(3, 0), ['a', 'b'], _films(1, 0))
  with pytest.raises(ValueError, match=r'queries \(1, 1, 8, 8\)'):
    retrieval_reports(_films(3, 0), ['a', 'b', 'c'], _films(1, 0)[:, :1])


@pytest.mark.parametrize('bad', [np.nan, -np.inf])
def test_retrieval_of_features_that_are_none(bad):
  # Of an encoder: any number of values a view.
  features = np.random.default_rng(0).normal(size=(5, 2, 12))
  reports = [f'report {i}' for i in range(5)]
  assert retrieval_reports(features, reports, features[[3, 1]]) == [
    'report 3',
    'report 1',
  ]
  spoilt = features.copy()
  spoilt[2, 0, 5] = bad
  with pytest.raises(ValueError, match='train studies: 1 of 5 rows'):
    retrieval_reports(spoilt, reports, features)
  with pytest.raises(ValueError, match=r'queries: 1 of 5 rows, the first.* 2'):
    retrieval_reports(features, reports, spoilt)


CONSTANT = 'the lungs are clear . no effusion . the heart is normal .'
# Reports and what they state.
TRAIN = {
  'large heart .': {'Cardiomegaly'},
  'the lungs are clear . the heart is large .': {'Cardiomegaly'},
  'the heart is large . small effusion .': {'Cardiomegaly', 'Effusion'},
  'the lungs are clear .': {'No Finding'},
  'the lungs are clear . no effusion .': set(),
}


@pytest.mark.parametrize(
  'labels, report',
  [
    (set(), CONSTANT),
    ({'No Finding'}, CONSTANT),
    # Two fit; this one is more like the constant report.
    ({'Cardiomegaly'}, 'the lungs are clear . the heart is large .'),
    ({'Effusion'}, 'the heart is large . small effusion .'),
    ({'Cardiomegaly', 'Edema'}, 'the lungs are clear . the heart is large .'),
    ({'Edema'}, CONSTANT),
  ],
)
def test_template_of_a_classifier(labels, report):
  for order in (1, -1):
    train = [*TRAIN.items()][::order] * 2
    found = template_reports(
      CONSTANT, [r for r, _ in train], [x for _, x in train], [labels, set()]
    )
    assert found == [report, CONSTANT]


def test_template_needs_labels_of_each_report():
  with pytest.raises(ValueError, match='2 references and 1 predictions'):
    template_reports(CONSTANT, ['a', 'b'], [set()], [set()])
