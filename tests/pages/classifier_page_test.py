"""The classifier's page: all of its numbers, whole and escaped."""

import re

import numpy as np
import pytest
from cmn_jax.pages.classifier_page import write_classifier_page

from cmn_jax.scores.decisions import calibration, confusion_matrix, decide
from cmn_jax.scores.multilabel import score_classification
from tests.made.report_example import Page

CLASSES = ('effusion', 'a <nodule>', 'No Finding')
HISTORY = [
  {
    'epoch': n,
    'train_loss': 1.0 / n,
    'val': {'micro_f1': s, 'f1_macro': s / 2, 'auroc_macro': 0.5 + s / 2},
  }
  for n, s in ((1, 0.2), (2, 0.6), (3, 0.5))
]


def _test(task, inputs):
  rng = np.random.default_rng(0)
  single = task == 'single_label'
  truth = rng.random((80, 3)) < [0.4, 0.1, 0.4]
  if single:
    truth = np.eye(3, dtype=bool)[rng.integers(0, 3, 80)]
  known = np.ones_like(truth)
  p = 0.5 * truth + 0.5 * rng.random((80, 3))
  said = decide(p, None if single else np.full(3, 0.5))

  def score(said, p=None):
    return score_classification(
      truth,
      known,
      said,
      CLASSES,
      probability_SxC=p,
      bootstrap=20,
      rare=CLASSES[1:2],
      single_label=single,
    )

  test = {
    **score(said, p),
    'split': 'test',
    'selected_on': 'val micro_f1',
    'task': task,
    'inputs': inputs,
    'labels': {
      'source': 'rules',
      'classes': list(CLASSES),
      'rare': [CLASSES[1]],
      'rare_below': 0.05,
    },
    'studies': 80,
    'unlabelled': 3,
    'left_out': [],
    'studies_per_second': 100.0,
    'calibration': calibration(truth.ravel(), p.ravel()),
    'baselines': {'always_no_finding': score(np.eye(3, dtype=bool)[[2] * 80])},
  }
  if single:
    test['confusion_matrix'] = confusion_matrix(
      truth.argmax(1), said.argmax(1), 3
    )
  else:
    for scores in test['per_class'].values():
      scores['threshold'] = 0.5
  return test


@pytest.mark.parametrize('task', ['multi_label', 'single_label'])
def test_the_page_is_whole_and_has_the_numbers(tmp_path, task):
  test = _test(task, 'image+reference')
  write_classifier_page(
    tmp_path / 'report.html',
    title='classifier on <data>',
    description='A run.',
    test=test,
    history=HISTORY,
  )
  page = (tmp_path / 'report.html').read_text('utf-8')
  assert '<nodule>' not in page and '<data>' not in page
  text = Page(page).text
  for number in (
    test['f1_weighted'],
    test['auroc_macro'],
    test['f1_macro_rare'],
    test['calibration']['ece'],
    test['baselines']['always_no_finding']['precision_weighted_undefined_1'],
    *(scores['auprc'] for scores in test['per_class'].values()),
  ):
    assert f'{number:.3f}' in text
  assert 'which nobody has at the bedside' in text
  assert '3 more without labels' in text
  assert 'one training study in 20: a <nodule>;' in text
  assert ('Confusion matrix' in text) == (task == 'single_label')
  assert 'http' not in re.sub(r'http-equiv', '', page)


def test_what_beats_and_what_does_not(tmp_path):
  test = _test('multi_label', 'image')
  test['baselines']['report_by_rules'] = {**test}
  write_classifier_page(
    tmp_path / 'report.html',
    title='t',
    description='d',
    test=test,
    history=HISTORY,
  )
  page = (tmp_path / 'report.html').read_text('utf-8')
  lead = re.search(r'<p class="lead">(.*?)</p>', page)[1]
  assert 'beats always No Finding (0.000)' in lead
  assert 'is not clearly different from the report read by rules' in lead
