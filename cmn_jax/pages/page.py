"""A self-contained page, and the HTML that its sections share."""

import html
import os
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cmn_jax.scores.catalogue import MISSING, Score, interval_of, value_of
from cmn_jax.scores.results import dependence_note
from input_pipeline.atomic_write import write_text

DASH = '\u2013'
BEATS, BELOW = 'beats', 'is below'
UNCLEAR = 'is not clearly different from'
_HERE = Path(__file__).parent


class Section(NamedTuple):
  """A part of a page: its heading, '' for the summary on top, and its HTML."""

  title: str
  html: str


def write_page(
  path: str | os.PathLike,
  title: str,
  description: str,
  sections: Sequence[Section],
) -> None:
  """Writes a page, whole or not at all; it needs no other file, no network.

  Args:
    path: of the HTML file.
    title: what was trained on what.
    description: of the run, in a sentence or two.
    sections: in order.
  """
  write_text(Path(path), page_text(title, description, sections))


def page_text(title: str, description: str, sections: Sequence[Section]) -> str:
  """The HTML of a page; arguments as for `write_page`."""
  template = string.Template((_HERE / 'page.html').read_text('utf-8'))
  return template.substitute(
    title=html.escape(title),
    description=html.escape(description),
    style=(_HERE / 'page.css').read_text('utf-8'),
    sections='\n'.join(map(_section, sections)),
  )


def _section(section: Section) -> str:
  if not section.title:
    return f'<div class="headline">{section.html}</div>'
  anchor = anchor_of(section.title)
  return (
    f'<section aria-labelledby="{anchor}">\n'
    f'<h2 id="{anchor}">{html.escape(section.title)}</h2>\n'
    f'{section.html}\n</section>'
  )


def anchor_of(title: str) -> str:
  """The id of a heading, such as 'learning-curves'."""
  return re.sub(r'\W+', '-', title.lower()).strip('-')


def number(value: float | None, digits: int = 3) -> str:
  """The value as text, '-' where there is none."""
  return MISSING if value is None else f'{value:.{digits}f}'


def bounds_text(bounds: Sequence[float], digits: int = 3) -> str:
  """An interval as text, such as '0.123-0.456' with an en dash."""
  low, high = bounds
  return f'{low:.{digits}f}{DASH}{high:.{digits}f}'


def small_interval(bounds: Sequence[float] | None, digits: int = 3) -> str:
  """An interval in small type, '' where there is none, or none of a width."""
  if not bounds or bounds[0] == bounds[1]:
    return ''
  return f'<small>{bounds_text(bounds, digits)}</small>'


def in_words(results: Mapping, score: Score) -> str:
  """A score with its interval in brackets where there is one."""
  text = score.text(value_of(results, score))
  bounds = interval_of(results, score)
  if not bounds:
    return text
  return f'{text} (95 % interval {bounds_text(bounds, score.digits)})'


def compare(mine: Mapping, other: Mapping, score: Score) -> str | None:
  """BEATS, BELOW or UNCLEAR, by whether the intervals of both overlap.

  Without an interval of `mine`, as of few positives, UNCLEAR; of `other`, as of
  a control, the value stands for it. None where one of the two has no value.
  """
  values = value_of(mine, score), value_of(other, score)
  if None in values:
    return None
  own = interval_of(mine, score)
  if not own:
    return UNCLEAR
  low, high = own
  other_low, other_high = interval_of(other, score) or (values[1], values[1])
  if low > other_high:
    return BEATS
  if high < other_low:
    return BELOW
  return UNCLEAR


def compare_note(dataset: str) -> str:
  """What `compare` calls better, in small type."""
  return (
    '<p class="note">One score beats another here if their 95 % bootstrap '
    'intervals over studies do not overlap; without an interval of the '
    f"model's it is not told apart. {dependence_note(dataset)}</p>"
  )


def table(
  label: str,
  style: str,
  head: Iterable[str],
  rows: Iterable[tuple[str, Iterable[str], str]],
) -> str:
  """A table that scrolls where the page is narrow.

  Args:
    label: the heading that names it.
    style: class of the table.
    head: a text for each column, the first one included.
    rows: name, cells as HTML (with their <td>) and class of each.
  """
  columns = ''.join(
    f'<th scope="col">{html.escape(name)}</th>' for name in head
  )
  lines = ''.join(
    f'<tr class="{css}"><th scope="row">{html.escape(name)}</th>'
    f'{"".join(cells)}</tr>'
    for name, cells, css in rows
  )
  return (
    f'<div class="scroll" tabindex="0" role="region" '
    f'aria-labelledby="{anchor_of(label)}"><table class="{style}"><thead><tr>'
    f'{columns}</tr></thead><tbody>{lines}</tbody></table></div>'
  )


def score_table(
  label: str,
  scores: Sequence[Score],
  rows: Iterable[tuple[str, Mapping, str]],
) -> str:
  """Scores by column, and the results of a system in each row.

  Args:
    label: the heading that names it.
    scores: the columns.
    rows: name, results and class ('model', 'baselines', 'controls').
  """
  lines = [
    (name, [score_cell(results, score) for score in scores], css)
    for name, results, css in rows
  ]
  return table(label, 'scores', ['', *(s.label for s in scores)], lines)


def score_cell(results: Mapping, score: Score) -> str:
  """A score, and its interval below it."""
  interval = small_interval(interval_of(results, score), score.digits)
  return f'<td>{score.text(value_of(results, score))}{interval}</td>'


def withheld_note(results: Mapping) -> str:
  """Why some intervals are not there, '' where all are."""
  why = results.get('intervals_withheld')
  return f'Intervals left out: {html.escape(why)}. ' if why else ''
