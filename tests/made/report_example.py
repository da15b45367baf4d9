"""A report page's content made up for its tests, and a reader of the page."""

import html.parser

import numpy as np

from cmn_jax.pages.studies import Example
from input_pipeline.findings import Finding

VOID = {'meta', 'img', 'input', 'br', 'link'}
REPORT = 'there is a large left effusion . heart < normal & clear .'
WORDS = REPORT.split()


class Page(html.parser.HTMLParser):
  """Checks that tags are balanced; collects text, tags and attributes."""

  def __init__(self, source):
    super().__init__()
    self.open, self.tags, self.texts = [], [], []
    self.feed(source)
    self.close()
    assert not self.open, f'never closed: {self.open}'
    self.text = ' '.join(' '.join(self.texts).split())

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag not in VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open and self.open[-1] == tag, f'</{tag}> after {self.open}'
    self.open.pop()

  def handle_data(self, data):
    if self.open and self.open[-1] not in ('script', 'style'):
      self.texts.append(data)

  def of_class(self, name):
    return [
      (tag, attrs)
      for tag, attrs in self.tags
      if name in (attrs.get('class') or '').split()
    ]


def make_example(number=0, size=32, words=WORDS, views=2, grid=7):
  rng = np.random.default_rng(number)
  return Example(
    study_id=f'study-{number}',
    images_IxHxW=rng.integers(0, 256, (views, size, size), np.uint8),
    reference='small right effusion . no nodule <seen> .',
    prediction=' '.join(words),
    reference_findings=[Finding('effusion', 'right', '', 'mild')],
    predicted_findings=[Finding('effusion', 'left', '', 'severe')],
    words=list(words),
    attention_TxIxhxw=rng.random((len(words), views, grid, grid)),
  )


def make_history(epochs=6):
  best = 4
  return [
    {
      'step': 10 * e,
      'epoch': e,
      'train_loss': 3 / e,
      'val': {
        'loss': 3.1 / e,
        'bleu_4': 0.2 - 0.01 * abs(e - best),
        'micro_f1': 0.1 * e,
      },
    }
    for e in range(1, epochs + 1)
  ]
