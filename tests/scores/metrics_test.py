"""BLEU, ROUGE-L and CIDEr against pycocoevalcap and against sums by hand."""

import math
import random
import time

import pytest
from nltk.translate import bleu_score

from cmn_jax.scores import metrics

WORDS = (
  'the lungs are clear . no effusion or pneumothorax heart size is normal mild '
  'right left basal opacity <unk> 2 naïve 肺'
)


def _random_reports(studies, longest, seed):
  rng = random.Random(seed)
  words = WORDS.split()
  return [
    ' '.join(rng.choices(words, k=rng.randint(0, longest)))
    for _ in range(studies)
  ]


SYSTEMS = {
  'usual': (_random_reports(60, 40, 1), _random_reports(60, 40, 2)),
  'empty reports': (
    ['', 'the heart is large .', '', 'clear lungs'],
    ['', '', 'no effusion .', 'clear lungs'],
  ),
  'nothing at all': (['the heart is large .', 'clear lungs .'], ['', '']),
  'one word': (['normal', 'normal', 'clear'], ['normal', 'abnormal', 'clear']),
  'no common word': (['a b c d', 'e f g h'], ['i j k l', 'm n o p']),
  'all identical': (['no effusion seen here .'] * 5,) * 2,
  'same report for all': (_random_reports(9, 20, 3), ['clear lungs .'] * 9),
  'repeated n-grams': (
    ['no no no effusion effusion .', 'clear lungs clear lungs'],
    ['no effusion ' * 20, 'clear ' * 7],
  ),
  'very long': (_random_reports(3, 900, 4), _random_reports(3, 900, 5)),
  'single study': (['the lungs are clear .'], ['the lungs look clear .']),
  'unicode': (['naïve 肺 is clear .', 'é'], ['naive 肺 is clear .', 'é']),
  'odd spaces': (
    ['a  double space here .', ' leading', 'trailing ', 'tab\there too'],
    ['a double  space here .', 'leading', 'trailing', 'tab here  too'],
  ),
}


@pytest.mark.parametrize('system', SYSTEMS)
def test_equals_pycocoevalcap(system):
  pytest.importorskip('pycocoevalcap', reason='the reference code')
  from pycocoevalcap.bleu.bleu import Bleu
  from pycocoevalcap.cider.cider import Cider
  from pycocoevalcap.rouge.rouge import Rouge

  references, hypotheses = SYSTEMS[system]
  truths = {i: [report] for i, report in enumerate(references)}
  tests = {i: [report] for i, report in enumerate(hypotheses)}
  bleus, _ = Bleu(4).compute_score(truths, tests, verbose=0)
  rouge_l, rouge_l_S = Rouge().compute_score(truths, tests)
  cider, cider_S = Cider().compute_score(truths, tests)

  near = {'rel': 0, 'abs': 1e-9}
  scores = metrics.TextCounts.of(references, hypotheses).values()
  ours = [scores[f'bleu_{k}'] for k in (1, 2, 3, 4)]
  assert ours == pytest.approx(bleus, **near)
  assert scores['rouge_l'] == pytest.approx(rouge_l, **near)
  assert scores['cider'] == pytest.approx(cider, **near)
  assert metrics.rouge_l_per_study(references, hypotheses) == pytest.approx(
    rouge_l_S, **near
  )
  assert metrics.cider_per_study(references, hypotheses) == pytest.approx(
    cider_S, **near
  )


@pytest.mark.parametrize('system', SYSTEMS)
def test_bleu_2_of_rexrank_is_nltks_with_its_first_smoothing(system):
  smoothing = bleu_score.SmoothingFunction().method1
  references, hypotheses = SYSTEMS[system]
  references = [*references, 'The heart. is NOT large.', 'no effusion.']
  hypotheses = [*hypotheses, 'the heart is not. Large', 'No effusion 2.5.']
  expected = [
    bleu_score.sentence_bleu(
      [_rexrank_words(theirs)],
      _rexrank_words(ours),
      weights=(1 / 2, 1 / 2),
      smoothing_function=smoothing,
    )
    for theirs, ours in zip(references, hypotheses, strict=True)
  ]
  ours = metrics.bleu_2_rexrank_per_study(references, hypotheses)
  assert ours == pytest.approx(expected, abs=1e-12)
  mean = metrics.TextCounts.of(references, hypotheses).values()[
    'bleu_2_rexrank'
  ]
  assert mean == pytest.approx(sum(expected) / len(expected))


def _rexrank_words(report):
  return [w for w in report.lower().replace('.', ' .').split(' ') if w != '']


def test_bleu_by_hand():
  references = ['the heart is not large .', 'clear lungs']
  hypotheses = ['the heart is large', 'clear clear']
  # Words 5 of 6 (one 'clear' counts), pairs 2 of 4, triples 1 of 2, fours 0 of
  # 1; 6 words for 8.
  brevity = math.exp(1 - 8 / 6)
  expected = [
    brevity * 5 / 6,
    brevity * (5 / 6 * 2 / 4) ** (1 / 2),
    brevity * (5 / 6 * 2 / 4 * 1 / 2) ** (1 / 3),
    0,
  ]
  scores = metrics.TextCounts.of(references, hypotheses).values()
  assert [scores[f'bleu_{k}'] for k in (1, 2, 3, 4)] == pytest.approx(
    expected, abs=3e-4
  )


def test_rouge_l_by_hand():
  # Common: 'the heart large', 3 of 4 words there and 3 of 6 here.
  precision, recall = 3 / 4, 3 / 6
  expected = 2.44 * precision * recall / (recall + 1.44 * precision)
  scores = metrics.rouge_l_per_study(
    ['the heart is not large .', 'clear lungs'], ['the big heart large', 'none']
  )
  assert scores == pytest.approx([expected, 0.0])


def test_cider_by_hand():
  # 'a' is in both references and weighs nothing; 'b' and 'c' weigh log 2.
  # Words: cosine of (b) with (b) is 1. Pairs: (a b) with (a b) is 1. Longer
  # n-grams there are none.
  assert metrics.cider_per_study(['a b', 'a c'], ['a b', 'a']) == pytest.approx(
    [10 * 2 / 4, 0.0]
  )


def test_full_stop_is_a_word():
  with_stop = metrics.TextCounts.of(
    ['clear lungs .'], ['clear lungs .']
  ).values()
  without = metrics.TextCounts.of(['clear lungs .'], ['clear lungs']).values()
  assert with_stop['bleu_1'] == pytest.approx(1)
  assert without['bleu_1'] < 0.7
  assert without['rouge_l'] < 0.8


def test_score_reports_adds_meteor(monkeypatch):
  monkeypatch.setattr(metrics, 'meteor_java', lambda r, h: 0.5)
  reports = SYSTEMS['usual']
  scores = metrics.score_reports(*reports)
  assert set(scores) == {*metrics.METRICS, 'meteor'}
  assert scores.pop('meteor') == 0.5
  assert scores == metrics.TextCounts.of(*reports).values()
  assert all(type(score) is float for score in scores.values())


@pytest.mark.parametrize('lists', [([], []), (['a'], ['a', 'b'])])
def test_lists_that_do_not_fit(lists):
  with pytest.raises(ValueError, match=r'expected the same studies'):
    metrics.score_reports(*lists)


def test_a_test_split_takes_seconds():
  references = _random_reports(600, 120, 6)
  hypotheses = _random_reports(600, 120, 7)
  begin = time.process_time()
  metrics.TextCounts.of(references, hypotheses).values()
  assert time.process_time() - begin < 5
