"""Our scores beside those of scikit-learn, scipy, sacrebleu and NLTK.

They share no code with ours. Needs requirements-outside.txt; where that is not
installed these are skipped, and the same scores are held by loops and by
pycocoevalcap in the other tests.
"""

import numpy as np
import pytest
from nltk.translate import bleu_score

from cmn_jax.scores.baselines import retrieval_reports
from cmn_jax.scores.decisions import confusion_matrix, decide
from cmn_jax.scores.metrics import TextCounts
from cmn_jax.scores.multilabel import score_classification, score_findings
from cmn_jax.scores.resampling import bootstrap, interval
from cmn_jax.scores.significance import paired_test
from tests.made.reports import reports_of, spoilt
from tests.made.results import made_labels

pytestmark = pytest.mark.outside
CLASSES = ('effusion', 'nodule', 'edema', 'No Finding')


def _learn():
  return pytest.importorskip('sklearn.metrics', reason='scikit-learn')


def _stats():
  return pytest.importorskip('scipy.stats', reason='scipy')


def test_decisions_and_rankings_of_scikit_learn():
  learn = _learn()
  truth, _, p = made_labels(seed=4, studies=400)
  said = p >= 0.5
  scores = score_classification(
    truth,
    np.ones_like(truth),
    said,
    CLASSES,
    probability_SxC=p,
    bootstrap=0,
  )
  for c, name in enumerate(CLASSES):
    row, pair = scores['per_class'][name], (truth[:, c], said[:, c])
    ranked = truth[:, c], p[:, c]
    assert row['precision'] == pytest.approx(learn.precision_score(*pair))
    assert row['recall'] == pytest.approx(learn.recall_score(*pair))
    assert row['f1'] == pytest.approx(learn.f1_score(*pair))
    assert row['auroc'] == pytest.approx(learn.roc_auc_score(*ranked))
    assert row['auprc'] == pytest.approx(learn.average_precision_score(*ranked))
  for name in ('precision', 'recall', 'f1'):
    theirs = getattr(learn, f'{name}_score')(truth, said, average='weighted')
    assert scores[f'{name}_weighted'] == pytest.approx(theirs)
  found = truth[:, :3], said[:, :3]
  for ours, average in (('micro_f1', 'micro'), ('f1_macro', 'macro')):
    theirs = learn.f1_score(*found, average=average)
    assert scores[ours] == pytest.approx(theirs)
  for name, of in (
    ('auroc', learn.roc_auc_score),
    ('auprc', learn.average_precision_score),
  ):
    theirs = of(truth[:, :3], p[:, :3], average='macro')
    assert scores[f'{name}_macro'] == pytest.approx(theirs)
  theirs = learn.accuracy_score(truth.ravel(), said.ravel())
  assert scores['accuracy'] == pytest.approx(theirs)


def test_a_single_label_of_scikit_learn():
  learn = _learn()
  rng = np.random.default_rng(5)
  chosen, p = rng.integers(0, 4, 300), rng.random((300, 4))
  truth = np.eye(4, dtype=bool)[chosen]
  said = decide(p, None)
  scores = score_classification(
    truth,
    np.ones_like(truth),
    said,
    CLASSES,
    probability_SxC=p,
    bootstrap=0,
    single_label=True,
  )
  pair = chosen, p.argmax(1)
  assert scores['accuracy'] == pytest.approx(learn.accuracy_score(*pair))
  ours = confusion_matrix(chosen, said.argmax(1), 4)
  assert ours == learn.confusion_matrix(*pair).tolist()


def test_findings_of_scikit_learn():
  learn = _learn()
  truth, said, _ = made_labels(seed=6, studies=200)
  sets = [
    [{c for c, x in zip(CLASSES, row, strict=True) if x} for row in rows]
    for rows in (truth, said)
  ]
  scores = score_findings(*sets, CLASSES, bootstrap=0)
  for average in ('micro', 'macro'):
    theirs = learn.f1_score(truth[:, :3], said[:, :3], average=average)
    assert scores[f'{average}_f1'] == pytest.approx(theirs)


def test_bleu_of_sacrebleu_and_of_nltk():
  sacrebleu = pytest.importorskip('sacrebleu', reason='sacrebleu')
  references = reports_of(80, 7)
  hypotheses = spoilt(references, 8, rate=0.3)
  scores = TextCounts.of(references, hypotheses).values()
  for order in (1, 2, 3, 4):
    bleu = sacrebleu.metrics.BLEU(
      tokenize='none', smooth_method='none', max_ngram_order=order, force=True
    )
    theirs = bleu.corpus_score(hypotheses, [references]).score / 100
    assert scores[f'bleu_{order}'] == pytest.approx(theirs, abs=1e-9)
    theirs = bleu_score.corpus_bleu(
      [[reference.split()] for reference in references],
      [hypothesis.split() for hypothesis in hypotheses],
      weights=(1 / order,) * order,
    )
    assert scores[f'bleu_{order}'] == pytest.approx(theirs, abs=1e-9)


def test_intervals_of_scipy():
  stats = _stats()
  references = reports_of(300, 9)
  counts = TextCounts.of(references, spoilt(references, 10))
  values_S = counts.means_SxM[:, 0]
  theirs = stats.bootstrap(
    (values_S,),
    np.mean,
    n_resamples=20_000,
    method='percentile',
    rng=np.random.default_rng(0),
  )
  ours = interval(
    bootstrap(
      lambda weights_RxS: {'mean': weights_RxS @ values_S / 300},
      studies=300,
      samples=20_000,
      seed=1,
    )['mean']
  )
  near = 0.1 * theirs.standard_error
  assert ours == pytest.approx([*theirs.confidence_interval], abs=near)


def test_paired_tests_of_scipy():
  stats = _stats()
  references = reports_of(12, 11)
  a, b = spoilt(references, 12, 0.4), spoilt(references, 13, 0.5)
  pair = [TextCounts.of(references, x).means_SxM[:, 0] for x in (a, b)]
  theirs = stats.permutation_test(
    pair,
    lambda x, y, axis: np.mean(x - y, axis=axis),
    permutation_type='samples',
    n_resamples=np.inf,
    vectorized=True,
  )
  ours = paired_test(references, a, b)['rouge_l']
  assert ours['difference'] == pytest.approx(theirs.statistic)
  assert 0.01 < theirs.pvalue < 0.99
  assert ours['p_value'] == pytest.approx(theirs.pvalue, abs=0.02)


def test_the_nearest_of_scipy():
  distance = pytest.importorskip('scipy.spatial.distance', reason='scipy')
  rng = np.random.default_rng(14)
  train, queries = rng.normal(size=(200, 1, 32)), rng.normal(size=(50, 1, 32))
  apart = distance.cdist(queries[:, 0], train[:, 0], 'correlation')
  reports = [str(n) for n in range(200)]
  theirs = [reports[n] for n in apart.argmin(1)]
  assert retrieval_reports(train, reports, queries) == theirs
