"""The report page: whole, honest, self-contained, and hard to break."""

import base64
import io
import itertools
import math
import re

import numpy as np
import pytest
from PIL import Image

from cmn_jax.pages.charts import attention_bytes, image_uri
from cmn_jax.pages.page import write_page
from cmn_jax.pages.report import report_sections
from cmn_jax.pages.studies import Example, judge_findings
from cmn_jax.scores.findings import score_attributes
from input_pipeline.errors import UserError
from input_pipeline.findings import Finding
from tests.made.report_example import (
  REPORT,
  WORDS,
  Page,
  make_example,
  make_history,
)
from tests.made.run_scores import report_results

IU = {'micro_f1': 0.3125, 'macro_f1': 0.1875}
RESULTS = report_results(config={'model.heads': 4}, findings_iu=IU)


def write(tmp_path, results=RESULTS, history=None, examples=None):
  sections = report_sections(
    results,
    make_history() if history is None else history,
    [make_example(n) for n in range(3)] if examples is None else examples,
  )
  path = tmp_path / 'report.html'
  write_page(path, 'cmn on <phantom>', 'seed 1 & 2 devices', sections)
  assert [p.name for p in tmp_path.iterdir()] == ['report.html']
  return path.read_text('utf-8')


def test_shows_everything_and_escapes_it(tmp_path):
  source = write(tmp_path)
  page = Page(source)
  for text in (
    'cmn on <phantom>',
    'seed 1 & 2 devices',
    'all is <well> .',
    'small right effusion . no nodule <seen> .',
    REPORT,
    'Not for clinical use',
    'study-2',
    'own (not official), digest d1d1d1d1d1d1',
    'model.heads = 4',
    '4 distinct reports for 50 studies, the commonest for 40 % of them; 60 % '
    'of its reports state a finding, of the references 80 %',
    'step 40, epoch 4, selected on val bleu_4',
    'jax 0.10.2',
    '45.6 reports per second',
    '1 study without images.',
    'random projection stands in',
  ):
    assert text in page.text
  findings = RESULTS['findings']
  for value in (
    RESULTS['bleu_4'],
    RESULTS['bleu_2_rexrank'],
    IU['macro_f1'],
    *RESULTS['intervals']['rouge_l'],
    *findings['micro_f1_interval'],
    *(row['f1'] for row in findings['per_class'].values()),
    RESULTS['baselines']['retrieval']['findings']['macro_f1'],
    RESULTS['controls']['shuffled_images']['bleu_1'],
    RESULTS['retrieval']['chance']['recall_5'],
  ):
    assert f'{value:.3f}' in page.text
  assert '<seen>' not in source
  assert not re.search(r'\$\w', source)
  assert len(page.of_class('study')) == 3


def test_needs_no_other_file_and_no_network(tmp_path):
  source = write(tmp_path)
  assert not re.search(r'https?:|@import|url\(', source)
  for tag, attrs in Page(source).tags:
    assert tag not in ('link', 'iframe')
    for name in ('src', 'href'):
      assert attrs.get(name, 'data:').startswith('data:')


def test_dozen_of_noisy_studies_stays_under_3_megabytes(tmp_path):
  examples = [make_example(n, 300, ['opacity'] * 60) for n in range(12)]
  assert len(write(tmp_path, examples=examples)) < 3_000_000


@pytest.mark.parametrize(
  'key', ['commonest_share', 'findings.counts', 'baselines.constant.cider']
)
def test_results_that_are_not_whole_are_refused(key):
  results = report_results()
  *above, last = key.split('.')
  tree = results
  for part in above:
    tree = tree[part]
  del tree[last]
  with pytest.raises(UserError, match=f'lacks {re.escape(key)}, as an older'):
    report_sections(results, [], [])


def test_what_has_no_value_is_a_dash(tmp_path):
  history = [{'epoch': 1, 'train_loss': math.nan, 'val': None}]
  page = Page(write(tmp_path, RESULTS | {'cider': math.nan}, history))
  assert 'nan' not in page.text.lower() and 'None' not in page.text
  assert not page.of_class('chart')
  assert 'Zone right - of 0 pairs' in page.text


def test_learning_curves_mark_the_chosen_epoch(tmp_path):
  page = Page(write(tmp_path))
  assert 'the chosen checkpoint, of epoch 4, by val bleu_4' in page.text
  assert len(page.of_class('chart')) == 3
  marked = {a['x1'] for tag, a in page.of_class('chosen') if tag == 'line'}
  _, _, bleu_4, _ = [a['points'] for tag, a in page.tags if tag == 'polyline']
  # Heights are counted from above: the best epoch has the smallest y.
  x, _ = min(
    (point.split(',') for point in bleu_4.split()), key=lambda p: float(p[1])
  )
  assert marked == {x}


def test_differences_from_baselines_stand_with_the_scores(tmp_path):
  paired = {'template': {'cider': {'difference': 0.125, 'p_value': 0.0625}}}
  text = Page(write(tmp_path, RESULTS | {'paired': paired})).text
  assert 'This model less template: CIDEr +0.125 (p 0.062).' in text


def headline(results):
  return Page(report_sections(results, [], [])[0].html).text


def test_headline_claims_only_what_intervals_allow():
  lead = 'The model beats its trivial baselines on findings F1 and BLEU-4.'
  assert lead in headline(RESULTS)
  assert 'what it writes depends on the images' in headline(RESULTS)

  results = report_results()
  results['baselines']['retrieval'] |= {
    key: results[key] for key in ('bleu_4', 'intervals')
  }
  assert (
    'beats its trivial baselines on findings F1, but does not clearly beat '
    'its trivial baselines on BLEU-4'
  ) in headline(results)

  best = report_results(right=5)
  results['baselines']['constant'] |= {
    key: best[key] for key in ('bleu_4', 'intervals')
  }
  assert 'is below a trivial baseline on BLEU-4' in headline(results)

  results['controls']['shuffled_images'] = results
  assert 'do not show that it looks at the images' in headline(results)
  # Of a single study there is nothing to shuffle.
  assert 'shuffled' not in headline(results | {'controls': {}})


def test_without_an_interval_nothing_is_claimed():
  """As of fewer than ten positives: the bare values differ by chance."""
  results = report_results(right=5)
  del results['findings']['micro_f1_interval']
  said = headline(results)
  assert 'does not clearly beat its trivial baselines on findings F1' in said
  assert 'do not show that it looks at the images' in said


def test_findings_are_judged_by_name_then_place():
  left, right = Finding('effusion', 'left'), Finding('effusion', 'right')
  nodule = Finding('nodule', 'right', 'upper')
  judged = judge_findings(
    [right, left, nodule, Finding('edema', status='negative')],
    [left, Finding('nodule', 'left', 'upper'), Finding('opacity')],
  )
  assert [(j.verdict, j.finding.name, j.finding.side) for j in judged] == [
    ('missed', 'effusion', 'right'),
    ('right', 'effusion', 'left'),
    ('partly', 'nodule', 'right'),
    ('invented', 'opacity', ''),
  ]
  assert judged[2].wrong == (('side', 'right', 'left'),)


def test_chips_show_what_the_accuracies_count():
  kinds = list(itertools.product(('', 'left', 'right'), ('', 'small', 'large')))
  for pair in itertools.product(kinds, repeat=2):
    truths, guesses = (
      [Finding('effusion', side, '', severity) for side, severity in some]
      for some in (pair, kinds[3:6])
    )
    wrong = [w[0] for j in judge_findings(truths, guesses) for w in j.wrong]
    scores = score_attributes([truths], [guesses])
    for name in ('side', 'severity'):
      share = scores[f'{name}_accuracy']
      missed = 0 if share is None else (1 - share) * scores['counts'][name]
      assert wrong.count(name) == pytest.approx(missed)


def test_chips_differ_by_symbol_and_words(tmp_path):
  example = make_example()
  example.reference_findings.append(Finding('nodule', 'left'))
  example.predicted_findings.append(Finding('scoliosis'))
  page = Page(write(tmp_path, examples=[example]))
  study = page.text.split('study-0')[1]
  assert '≈ effusion right, mild; side written: left' in study
  assert '○ missed: nodule left' in study
  assert '✕ invented: scoliosis' in study


def test_the_first_mention_of_a_finding_is_chosen(tmp_path):
  page = Page(write(tmp_path, examples=[make_example()]))
  words = [a for tag, a in page.tags if tag == 'button']
  assert len(words) == len(WORDS)
  pressed = [a['aria-pressed'] == 'true' for a in words]
  assert pressed.index(True) == WORDS.index('effusion')
  assert sum(pressed) == 1
  assert 'partly' in words[WORDS.index('effusion')]['class']


@pytest.mark.parametrize('words', [[], ['clear', '.'], ['.']])
def test_short_and_empty_reports(tmp_path, words):
  example = make_example(words=words, views=1, grid=4)
  page = Page(write(tmp_path, examples=[example]))
  pressed = [a for _, a in page.tags if a.get('aria-pressed') == 'true']
  assert len(pressed) == min(len(words), 1)


def test_words_without_attention_are_plain(tmp_path):
  example = make_example(words=WORDS)
  fewer = Example(
    **{**vars(example), 'attention_TxIxhxw': example.attention_TxIxhxw[:3]}
  )
  page = Page(write(tmp_path, examples=[fewer]))
  assert len([1 for tag, _ in page.tags if tag == 'button']) == 3
  assert REPORT in page.text


def test_attention_survives_in_order(tmp_path):
  example = make_example(grid=4)
  ((_, attrs),) = Page(write(tmp_path, examples=[example])).of_class('study')
  assert attrs['data-grid'] == '4,4'
  raw = np.frombuffer(base64.b64decode(attrs['data-attention']), np.uint8)
  read = raw.reshape(len(WORDS), 2, 4, 4) / 255
  true = example.attention_TxIxhxw
  true = true / true.max(axis=(1, 2, 3), keepdims=True)
  np.testing.assert_allclose(read, true, atol=0.5 / 255 + 1e-9)


def test_attention_bytes_takes_nan_and_nothing():
  nothing = base64.b64decode(attention_bytes(np.full((1, 1, 2, 2), np.nan)))
  assert nothing == bytes(4)
  assert attention_bytes(np.zeros((0, 2, 7, 7))) == ''


def test_images_are_lossless():
  image = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
  png = base64.b64decode(image_uri(image).split(',')[1])
  np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), image)
