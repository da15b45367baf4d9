"""The classifier's page: all of its numbers, whole and escaped."""

import re

import pytest

from cmn_jax.pages.classifier import classifier_sections
from cmn_jax.pages.page import write_page
from input_pipeline.errors import UserError
from tests.made.report_example import Page
from tests.made.run_scores import classifier_results

HISTORY = [
  {
    'epoch': n,
    'train_loss': 1.0 / n,
    'val': {'micro_f1': s, 'f1_macro': s / 2, 'auroc_macro': 0.5 + s / 2},
  }
  for n, s in ((1, 0.2), (2, 0.6), (3, 0.5), (4, 0.7))
]


def _write(path, results):
  sections = classifier_sections(results, HISTORY)
  write_page(path / 'report.html', 'classifier on <data>', 'A run.', sections)
  return (path / 'report.html').read_text('utf-8')


@pytest.mark.parametrize('single', [False, True])
def test_the_page_is_whole_and_has_the_numbers(tmp_path, single):
  results = classifier_results('c', 'image+reference', 0.9, single=single)
  source = _write(tmp_path, results)
  assert '<nodule>' not in source and '<data>' not in source
  page = Page(source)
  for value in (
    results['f1_weighted'],
    results['auroc_macro'],
    results['f1_macro_rare'],
    results['calibration']['ece'],
    results['baselines']['always_no_finding']['precision_weighted_undefined_1'],
    *(row['auprc'] for row in results['per_class'].values()),
    *results['intervals']['micro_f1'],
  ):
    assert f'{value:.3f}' in page.text
  for text in (
    'which nobody has at the bedside',
    '3 more studies without labels',
    'one training study in 20: a <nodule>;',
    'own (not official), digest d1d1d1d1d1d1',
  ):
    assert text in page.text
  assert ('Confusion matrix' in page.text) == single
  assert ('Thresholds' in page.text) != single
  assert 'http' not in re.sub('http-equiv', '', source)


def test_what_beats_and_what_does_not(tmp_path):
  results = classifier_results(noise=0.9)
  results['baselines']['report_by_rules'] = results.copy()
  lead = re.search(r'<p class="lead">(.*?)</p>', _write(tmp_path, results))[1]
  assert 'beats always No Finding (0.000)' in lead
  assert 'is not clearly different from report by rules' in lead


def test_withheld_intervals_are_explained(tmp_path):
  results = classifier_results()
  page = Page(_write(tmp_path, results))
  assert 'f1_macro' not in results['intervals']
  assert f'Intervals left out: {results["intervals_withheld"]}' in page.text


def test_results_that_are_not_whole_are_refused():
  results = classifier_results()
  del results['labels']['rare'], results['split_digest']
  with pytest.raises(UserError, match='lacks split_digest, as an older'):
    classifier_sections(results, HISTORY)
  results['split_digest'] = ''
  with pytest.raises(UserError, match=r'lacks labels\.rare, as an older'):
    classifier_sections(results, HISTORY)
