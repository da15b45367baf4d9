"""Studies on a report model's page: images, texts, findings, attention."""

import dataclasses
import html
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cmn_jax.pages import charts
from cmn_jax.scores.findings import pair_findings
from input_pipeline.findings import Finding, read_findings

RIGHT, PARTLY, MISSED, INVENTED = 'right', 'partly', 'missed', 'invented'
# Of a report that nothing can be held against.
STATED = 'stated'

# Symbol and meaning of each verdict: colour alone would not reach everyone.
_LEGEND = {
  RIGHT: ('✓', 'right'),
  PARTLY: ('≈', 'found, but its side, zone or severity is wrong'),
  MISSED: ('○', 'missed'),
  INVENTED: ('✕', 'invented'),
  STATED: ('•', 'stated'),
}
_ATTRIBUTES = ('side', 'zone', 'severity')
# Above the studies, where words have looked anywhere.
_LOOK = (
  '<p class="note">Point at a word of a generated report, tap it, or reach '
  'it with the arrow keys: the films show where the model looked when it '
  'wrote that word (cross-attention, mean over heads). Colour begins where '
  'a patch gets more than an even share; it is full at the peak of the word, '
  'or at three times an even share if the peak is lower. Underlined are the '
  'words that state a finding, in the colour of the verdict.</p>'
  '<input type="checkbox" id="overlay" checked>'
  '<label class="switch" for="overlay">Show attention over the films</label>'
  '<noscript><p class="note">The attention needs JavaScript.</p></noscript>'
)
_SCRIPT = Path(__file__).parent / 'studies.js'


@dataclasses.dataclass(frozen=True)
class Example:
  """One study to show.

  Attributes:
    study_id: as in the dataset, or of somebody's own.
    images_IxHxW: uint8, as the model saw them.
    reference: what the radiologist, or the phantom, wrote; None of one's own
      films, whose report is judged by nobody.
    prediction: what the model wrote.
    reference_findings: positive findings of the study.
    predicted_findings: positive findings of the prediction.
    words: of the prediction; their order is that of the attention.
    attention_TxIxhxw: weight of each patch of each image for each word, mean
      over the heads. Words beyond T are shown without.
    warning: what stands above the report in bold, if anything.
    note: what stands below it.
  """

  study_id: str
  images_IxHxW: np.ndarray
  reference: str | None
  prediction: str
  reference_findings: list[Finding]
  predicted_findings: list[Finding]
  words: list[str]
  attention_TxIxhxw: np.ndarray
  warning: str = ''
  note: str = ''


def attention_of(
  attention_TxP: np.ndarray, words: int, mask_I: np.ndarray
) -> np.ndarray:
  """A row of a model's attention on the films that there are, (T, I, h, w)."""
  views = len(mask_I)
  side = round((attention_TxP.shape[1] / views) ** 0.5)
  attention = attention_TxP[:words].reshape(-1, views, side, side)
  return attention[:, mask_I]


class Judged(NamedTuple):
  """A finding with its verdict; `wrong` lists (attribute, truth, guess)."""

  verdict: str
  finding: Finding
  wrong: tuple[tuple[str, str, str], ...] = ()


def judge_findings(
  reference: Sequence[Finding], predicted: Sequence[Finding]
) -> list[Judged]:
  """Pairs findings as `score_attributes` does, and says what is wrong.

  An attribute that the reference leaves open cannot be wrong.

  Returns:
    The reference's findings in their order, then the invented ones.
  """
  truths = [f for f in reference if f.status == 'positive']
  guesses = [f for f in predicted if f.status == 'positive']
  pairs = list(pair_findings(truths, guesses))
  judged = []
  for truth in truths:
    # By identity: two mentions may be equal.
    place = next((n for n, (t, _) in enumerate(pairs) if t is truth), None)
    if place is None:
      judged.append(Judged(MISSED, truth))
      continue
    _, guess = pairs.pop(place)
    guesses = [g for g in guesses if g is not guess]
    wrong = _wrong(truth, guess)
    judged.append(Judged(PARTLY if wrong else RIGHT, truth, wrong))
  return judged + [Judged(INVENTED, guess) for guess in guesses]


def _wrong(truth, guess):
  pairs = [(a, getattr(truth, a), getattr(guess, a)) for a in _ATTRIBUTES]
  return tuple((a, t, g) for a, t, g in pairs if t and t != g)


def studies_section(examples: Sequence[Example]) -> str:
  """The legend and a card for each example."""
  if not examples:
    return '<p class="note">No examples were chosen (eval.examples = 0).</p>'
  judged = any(example.reference is not None for example in examples)
  legend = ''.join(
    f'<span class="chip {verdict}"><i>{symbol}</i>{meaning}</span>'
    for verdict, (symbol, meaning) in _LEGEND.items()
    if (verdict == STATED) != judged
  )
  look = _LOOK if any(len(e.attention_TxIxhxw) for e in examples) else ''
  return (
    f'<div class="legend">{legend}</div>{look}'
    + ''.join(map(_card, examples))
    + f'<script>\n{_SCRIPT.read_text("utf-8")}</script>'
  )


def _card(example: Example) -> str:
  judged = _judged(example)
  attention = np.asarray(example.attention_TxIxhxw)
  rows, columns = attention.shape[2:]
  mentions = _mentions(
    example.words, [j for j in judged if j.verdict != MISSED]
  )
  missed = {
    word
    for j in judged
    if j.verdict == MISSED
    for word in j.finding.name.split()
  }
  chosen = _first_to_show(example.words, attention, mentions, missed)
  name = html.escape(example.study_id)
  return (
    f'<article class="study" aria-label="Study {name}" '
    f'data-grid="{rows},{columns}" '
    f'data-attention="{charts.attention_bytes(attention)}">'
    f'<div><div class="films">{_images(example)}</div>'
    '<p class="caption" aria-live="polite"></p></div>'
    f'<div><h3>{name}</h3>'
    f'{_paragraph("warning", example.warning)}'
    f'{_chips(judged, example.reference is None)}'
    f'{_reference(example, judged)}'
    '<p class="label">Generated</p><p class="text generated">'
    f'{_attended_words(example.words, len(attention), mentions, chosen)}</p>'
    f'{_paragraph("note", example.note)}</div></article>'
  )


def _judged(example: Example) -> list[Judged]:
  if example.reference is not None:
    return judge_findings(
      example.reference_findings, example.predicted_findings
    )
  return [
    Judged(STATED, finding)
    for finding in example.predicted_findings
    if finding.status == 'positive'
  ]


def _reference(example: Example, judged: list[Judged]) -> str:
  if example.reference is None:
    return ''
  words = example.reference.split()
  mentions = _mentions(words, [j for j in judged if j.verdict != INVENTED])
  return (
    '<p class="label">Reference</p><p class="text reference">'
    f'{_plain_words(words, mentions)}</p>'
  )


def _paragraph(style: str, text: str) -> str:
  return text and f'<p class="{style}">{html.escape(text)}</p>'


def _images(example):
  return ''.join(
    f'<div class="film"><img src="{charts.image_uri(image)}" '
    f'alt="Film {i} of study {html.escape(example.study_id)}">'
    f'<canvas aria-hidden="true"></canvas><span>film {i}</span></div>'
    for i, image in enumerate(example.images_IxHxW, start=1)
  )


def _chips(judged: list[Judged], alone: bool) -> str:
  if not judged:
    where = 'is stated' if alone else 'in either report'
    return f'<p class="note">No finding {where}.</p>'
  return f'<ul class="chips">{"".join(map(_chip, judged))}</ul>'


def _chip(judged: Judged) -> str:
  verdict, finding, wrong = judged
  symbol, _ = _LEGEND[verdict]
  place = ' '.join(filter(None, (finding.side, finding.zone)))
  details = ', '.join(filter(None, (place, finding.severity)))
  errors = ''.join(
    f'; {attribute} written: {guess or "none"}' for attribute, _, guess in wrong
  )
  before = f'{verdict}: ' if verdict in (MISSED, INVENTED) else ''
  text = html.escape(before + finding.name)
  return (
    f'<li class="chip {verdict}"><i>{symbol}</i>{text} '
    f'<em>{html.escape(details + errors)}</em></li>'
  )


def _mentions(words: Sequence[str], judged: list[Judged]) -> dict[int, str]:
  """Positions of the words that complete a finding's mention: its verdict.

  A mention is complete with the first word after which the labeler finds it.
  """
  waiting, positions, before = list(judged), {}, []
  for t in range(len(words)):
    if not waiting:
      break
    text = ' '.join(words[: t + 1])
    now = [f.name for f in read_findings(text) if f.status == 'positive']
    for entry in list(waiting):
      name = entry.finding.name
      if now.count(name) > before.count(name):
        positions[t] = entry.verdict
        before.append(name)
        waiting.remove(entry)
  return positions


def _plain_words(words, mentions):
  if not words:
    return '<span class="note">(empty)</span>'
  return ' '.join(
    f'<span class="{_word_class(word, mentions.get(t))}">'
    f'{html.escape(word)}</span>'
    if t in mentions or _is_stop(word)
    else html.escape(word)
    for t, word in enumerate(words)
  )


def _attended_words(words, looked, mentions, chosen):
  """The first `looked` words as buttons, of which one is chosen."""
  buttons = [
    f'<button type="button" class="{_word_class(word, mentions.get(t))}" '
    f'aria-pressed="{"true" if t == chosen else "false"}">'
    f'{html.escape(word)}</button>'
    for t, word in enumerate(words[:looked])
  ]
  rest = words[looked:]
  return ' '.join(
    [*buttons, *([_plain_words(rest, {})] if rest or not words else [])]
  )


def _first_to_show(words, attention_TxIxhxw, mentions, missed):
  """A finding's mention; else a missed one's name; else the sharpest look."""
  shown = attention_TxIxhxw[: len(words)]
  named = [t for t, word in enumerate(words) if word in missed]
  for t in [*sorted(mentions), *named]:
    if t < len(shown):
      return t
  if not shown.size:
    return 0
  peaks = shown.max(axis=(1, 2, 3))
  stops = [_is_stop(word) for word in words[: len(shown)]]
  return int(np.where(stops, -1, peaks).argmax())


def _is_stop(word):
  return word in ('.', ',', ';', ':')


def _word_class(word, verdict):
  names = ['stop'] if _is_stop(word) else []
  return ' '.join(names + (['mention', verdict] if verdict else []))
