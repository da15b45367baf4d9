"""The report page: whole, honest, self-contained, and hard to break."""

import base64
import io
import math
import re

import numpy as np
import pytest
from cmn_jax.pages.report_page import Example, write_report_page
from cmn_jax.pages.report_scores import headline
from cmn_jax.pages.report_studies import judge_findings
from PIL import Image

from cmn_jax.pages.charts import attention_bytes, film_uri
from input_pipeline.findings import Finding
from tests.made.report_example import (
  REPORT,
  WORDS,
  Page,
  make_example,
  make_history,
  make_scores,
  make_test,
)


def write(tmp_path, **changes):
  path = tmp_path / 'report.html'
  content = {
    'title': 'cmn on <phantom>',
    'description': 'seed 1 & 2 devices',
    'test': make_test(),
    'history': make_history(),
    'examples': [make_example(n) for n in range(3)],
  }
  write_report_page(path, **{**content, **changes})
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
    'study-0',
    'study-1',
    'study-2',
    '37',
    'of 50',
  ):
    assert text in page.text
  for number in ('0.250', '0.253', '0.255', '0.322', '0.900', '0.800'):
    assert number in page.text
  for number in ('0.911', '0.822', '0.864', '13', '0.987', '0.555', '0.110'):
    assert number in page.text
  assert '<seen>' not in source
  assert '$' not in source
  assert len(page.of_class('study')) == 3


def test_needs_no_other_file_and_no_network(tmp_path):
  source = write(tmp_path)
  assert not re.search(r'https?:|@import|url\(', source)
  for tag, attrs in Page(source).tags:
    assert tag not in ('link', 'iframe')
    for name in ('src', 'href'):
      assert attrs.get(name, 'data:').startswith('data:')


def test_dozen_of_noisy_studies_stays_under_3_megabytes(tmp_path):
  words = ['opacity'] * 60
  examples = [make_example(n, 300, words) for n in range(12)]
  assert len(write(tmp_path, examples=examples)) < 3_000_000


def strip(tree, key):
  """The tree without a key, at any depth."""
  if not isinstance(tree, dict):
    return tree
  return {k: strip(v, key) for k, v in tree.items() if k != key}


def all_keys(tree):
  if not isinstance(tree, dict):
    return set()
  return set(tree).union(*map(all_keys, tree.values()))


def test_lacks_any_key_without_breaking(tmp_path):
  for key in sorted(all_keys(make_test())):
    Page(write(tmp_path, test=strip(make_test(), key), examples=[]))


def none_instead(tree):
  return {
    k: none_instead(v) if isinstance(v, dict) else None for k, v in tree.items()
  }


@pytest.mark.parametrize(
  'test', [{}, none_instead(make_test()), dict.fromkeys(make_test())]
)
def test_nothing_known_gives_dashes(tmp_path, test):
  page = Page(write(tmp_path, test=test, history=[], examples=[]))
  assert 'nothing says what this is worth' in page.text
  assert 'None' not in page.text and 'nan' not in page.text.lower()
  row = page.text.split('This model')[1].split('Small type')[0]
  assert row.count('\u2013') >= 11


def test_nan_is_a_dash(tmp_path):
  test = {**make_test(), 'bleu_4': math.nan}
  history = [{'epoch': 1, 'train_loss': math.nan, 'val': None}]
  page = Page(write(tmp_path, test=test, history=history))
  assert 'nan' not in page.text.lower()
  assert not page.of_class('chart')


def test_learning_curves_mark_the_chosen_epoch(tmp_path):
  page = Page(write(tmp_path))
  assert 'epoch 4, the best by val bleu_4' in page.text
  assert len(page.of_class('chart')) == 3
  marked = {a['x1'] for tag, a in page.of_class('chosen') if tag == 'line'}
  _, _, bleu_4, _ = [a['points'] for tag, a in page.tags if tag == 'polyline']
  # Heights are counted from above: the best epoch has the smallest y.
  x, _ = min(
    (point.split(',') for point in bleu_4.split()), key=lambda p: float(p[1])
  )
  assert marked == {x}


def test_one_epoch_is_a_point(tmp_path):
  page = Page(write(tmp_path, history=make_history(1)))
  assert len(page.of_class('chart')) == 3


def text_of(test):
  return Page(headline(test)).text


def test_headline_claims_only_what_intervals_allow():
  test = make_test()
  lead = 'The model beats its trivial baselines on findings F1 and BLEU-4.'
  assert lead in text_of(test)
  assert 'what it writes depends on the films' in text_of(test)
  assert '37 distinct reports for 50 studies' in text_of(test)

  test['baselines']['retrieval'] = make_scores(0.245, 0.4)
  assert (
    'beats its trivial baselines on findings F1, but does not clearly beat '
    'its trivial baselines on BLEU-4'
  ) in text_of(test)

  test['baselines']['constant'] = make_scores(0.4, 0.0)
  assert 'is below a trivial baseline on BLEU-4' in text_of(test)

  test['controls']['shuffled_images'] = make_scores(0.1, 0.895)
  assert 'hardly depends on the films' in text_of(test)


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


def test_an_attribute_left_open_by_the_reference_is_not_wrong():
  judged = judge_findings(
    [Finding('effusion')], [Finding('effusion', 'left', '', 'mild')]
  )
  assert [j.verdict for j in judged] == ['right']


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


def test_films_are_lossless():
  film = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
  png = base64.b64decode(film_uri(film).split(',')[1])
  np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), film)


def test_an_old_page_is_replaced_whole(tmp_path):
  first = write(tmp_path)
  second = write(tmp_path, title='another')
  assert 'another' in second and second != first

  with pytest.raises(AttributeError):
    write(tmp_path, examples=[None])
  assert (tmp_path / 'report.html').read_text('utf-8') == second
