"""Scores beside their baselines: the report page's headline and table."""

import html
import math
import numbers
from collections.abc import Mapping
from typing import NamedTuple

DASH = '\u2013'

# Rows beside the model's: where they stand in test.json, and their names.
BASELINES = {
  'constant': 'the constant report',
  'retrieval': 'the nearest training report',
}
_CONTROLS = {'shuffled_images': 'this model, films shuffled'}

_BEATS, _BELOW = 'beats', 'is below'
_UNCLEAR = 'is not clearly different from'

# Columns of the score table.
_WORD_SCORES = {
  'bleu_1': 'BLEU-1',
  'bleu_2': 'BLEU-2',
  'bleu_3': 'BLEU-3',
  'bleu_4': 'BLEU-4',
  'meteor': 'METEOR',
  'meteor_nltk': 'METEOR (NLTK)',
  'rouge_l': 'ROUGE-L',
  'cider': 'CIDEr',
}
_FINDINGS_SCORES = {'micro_f1': 'F1 micro', 'macro_f1': 'F1 macro'}
_HEADLINE_SCORES = {'micro_f1': 'findings F1', 'bleu_4': 'BLEU-4'}


class Score(NamedTuple):
  """A score and the bounds of its 95 % interval; what is missing is None."""

  value: float | None
  low: float | None = None
  high: float | None = None


def headline(test: Mapping) -> str:
  """What the scores say against their baselines, in HTML paragraphs.

  A score beats another where the two 95 % intervals do not overlap.
  """
  compared = {key: _against_baselines(test, key) for key in _HEADLINE_SCORES}
  details = [_detail(test, key, compared[key]) for key in compared]
  details += [_against_shuffled(test), _distinct(test)]
  return (
    f'<p class="lead">{_lead(compared)}</p>'
    f'<p>{" ".join(filter(None, details))}</p>'
    '<p class="note">One score beats another here if their 95 % bootstrap '
    'intervals over studies do not overlap; where an interval is missing, the '
    'value stands for it.</p>'
  )


def _lead(compared) -> str:
  """The verdict in one sentence."""
  if not any(compared.values()):
    return 'No trivial baseline was scored, so nothing says what this is worth.'
  won, lost, rest = [], [], []
  for key, name in _HEADLINE_SCORES.items():
    found = {verdict for verdict, _ in compared[key]}
    if found:
      group = lost if _BELOW in found else won if found == {_BEATS} else rest
      group.append(name)
  clauses = [
    f'{verb} {" and ".join(names)}'
    for verb, names in (
      ('beats its trivial baselines on', won),
      ('does not clearly beat its trivial baselines on', rest),
      ('is below a trivial baseline on', lost),
    )
    if names
  ]
  return f'The model {", but ".join(clauses)}.'


def _against_baselines(test, key) -> list[tuple[str, str]]:
  """(verdict, baseline and its score) for each baseline that has the score."""
  mine = score_of(test, key)
  others = {
    words: score_of(dig(test, 'baselines', baseline), key)
    for baseline, words in BASELINES.items()
  }
  return [
    (compare(mine, other), f'{words} ({number(other.value)})')
    for words, other in others.items()
    if mine.value is not None and other.value is not None
  ]


def _detail(test, key, others) -> str:
  if not others:
    return ''
  clauses = [
    f'{verb} {" and ".join(who for v, who in others if v == verb)}'
    for verb in (_BEATS, _UNCLEAR, _BELOW)
    if any(v == verb for v, _ in others)
  ]
  name = _HEADLINE_SCORES[key]
  name = name[0].upper() + name[1:]
  mine = _with_interval(score_of(test, key))
  return f'{name} of {mine} {", and ".join(clauses)}.'


def _against_shuffled(test):
  mine = score_of(test, 'micro_f1')
  other = score_of(dig(test, 'controls', 'shuffled_images'), 'micro_f1')
  if mine.value is None or other.value is None:
    return ''
  value = number(other.value)
  if compare(mine, other) == _BEATS:
    return (
      f'With the films shuffled between studies its findings F1 falls to '
      f'{value}: what it writes depends on the films.'
    )
  return (
    f'With the films shuffled between studies its findings F1 is {value}, not '
    'clearly lower: what it writes hardly depends on the films.'
  )


def _distinct(test):
  distinct, studies = test.get('distinct_reports'), test.get('studies')
  if distinct is None or not studies:
    return ''
  reports = 'report' if distinct == 1 else 'reports'
  return f'It wrote {distinct} distinct {reports} for {studies} studies.'


def compare(mine: Score, other: Score) -> str:
  """Beats, is below, or neither, by the intervals of both."""
  low, high = _bounds(mine)
  other_low, other_high = _bounds(other)
  if low > other_high:
    return _BEATS
  if high < other_low:
    return _BELOW
  return _UNCLEAR


def _bounds(score):
  if score.low is None or score.high is None:
    return score.value, score.value
  return score.low, score.high


def scores_section(test: Mapping) -> str:
  """The table of all scores: the model, its baselines, its controls."""
  rows = [_score_row('This model', test, 'model')]
  for group, names in (('baselines', BASELINES), ('controls', _CONTROLS)):
    for key, content in (dig(test, group) or {}).items():
      name = names.get(key, key.replace('_', ' ')).removeprefix('the ')
      rows.append(_score_row(name.capitalize(), content or {}, group))
  headings = [*_WORD_SCORES.values(), *_FINDINGS_SCORES.values(), 'Distinct']
  head = ''.join(f'<th scope="col">{name}</th>' for name in headings)
  constant = dig(test, 'baselines', 'constant', 'report')
  return (
    '<div class="scroll" tabindex="0" role="region" aria-labelledby="scores">'
    f'<table class="scores"><thead><tr><th scope="col"></th>{head}</tr></thead>'
    f'<tbody>{"".join(rows)}</tbody></table></div>'
    '<p class="note">Small type: 95 % bootstrap interval over studies. F1: '
    'findings in the reports, No Finding left out. Distinct: how many '
    'different reports were written. The constant report is one training '
    'report, chosen on validation, for every study; the nearest training '
    'report is that of the study with the most similar films. METEOR is '
    'version 1.5, a dash where Java is missing.</p>'
  ) + (
    '<details><summary>The constant report</summary>'
    f'<p>{html.escape(constant)}</p></details>'
    if constant
    else ''
  )


def _score_row(name, scores, style):
  keys = (*_WORD_SCORES, *_FINDINGS_SCORES)
  cells = [
    f'<td>{number(score.value)}{small_interval(score)}</td>'
    for score in (score_of(scores, key) for key in keys)
  ]
  distinct, studies = scores.get('distinct_reports'), scores.get('studies')
  of = f'<small>of {studies}</small>' if studies and distinct else ''
  cells.append(f'<td>{DASH if distinct is None else distinct}{of}</td>')
  return (
    f'<tr class="{style}"><th scope="row">{html.escape(name)}</th>'
    f'{"".join(cells)}</tr>'
  )


def score_of(scores: Mapping | None, key: str) -> Score:
  """A word score or a findings score of one system."""
  if key in _FINDINGS_SCORES:
    value = dig(scores, 'findings', key)
    interval = interval_of(dig(scores, 'findings', f'{key}_interval'))
  else:
    value = dig(scores, key)
    interval = interval_of(dig(scores, 'intervals', key))
  return Score(finite(value), *(interval or (None, None)))


def dig(tree, *keys):
  """The value under the keys, None where one of them is missing."""
  for key in keys:
    if not isinstance(tree, Mapping):
      return None
    tree = tree.get(key)
  return tree


def finite(value) -> float | None:
  """The value if it is a finite number."""
  if isinstance(value, numbers.Real) and math.isfinite(value):
    return float(value)
  return None


def interval_of(bounds) -> tuple[float, float] | None:
  """(low, high) if both bounds are there."""
  if not bounds or len(bounds) != 2:
    return None
  low, high = map(finite, bounds)
  return None if low is None or high is None else (low, high)


def number(value, digits: int = 3) -> str:
  """The value as text, a dash where it is missing."""
  value = finite(value)
  return DASH if value is None else f'{value:.{digits}f}'


def _with_interval(score):
  if score.low is None:
    return number(score.value)
  bounds = f'{score.low:.3f}{DASH}{score.high:.3f}'
  return f'{score.value:.3f} (95 % interval {bounds})'


def small_interval(score: Score) -> str:
  """The interval in small type, '' where there is none."""
  if score.low is None:
    return ''
  return f'<small>{score.low:.3f}{DASH}{score.high:.3f}</small>'
