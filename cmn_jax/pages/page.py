"""What the pages of all runs share: the frame, curves, small type."""

import html
import os
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cmn_jax.pages import charts
from cmn_jax.pages.report_scores import dig, finite

_HERE = Path(__file__).parent


class Section(NamedTuple):
  """A part of a page: its anchor, its heading, its HTML."""

  key: str
  heading: str
  content: str


def write_page(
  path: str | os.PathLike,
  *,
  kicker: str,
  title: str,
  description: str,
  headline: str,
  sections: Sequence[Section],
  facts: str,
  script: str,
) -> None:
  """Writes a page, all or nothing; it needs no other file and no network.

  Args:
    path: of the HTML file.
    kicker: the small line above the title.
    title: what was trained on what.
    description: of the run, in a sentence or two.
    headline: HTML that says what the scores mean.
    sections: those of the page, in order.
    facts: HTML of the foot.
    script: JavaScript, '' for none.
  """
  template = string.Template((_HERE / 'page.html').read_text('utf-8'))
  page = template.substitute(
    kicker=html.escape(kicker),
    title=html.escape(title),
    description=html.escape(description),
    style=(_HERE / 'page.css').read_text('utf-8'),
    script=script,
    headline=headline,
    sections='\n'.join(map(_section, sections)),
    facts=facts,
  )
  path = Path(path)
  partial = path.with_name(path.name + '.partial')
  partial.write_text(page, 'utf-8')
  os.replace(partial, path)


def _section(section: Section) -> str:
  return (
    f'<section aria-labelledby="{section.key}">\n'
    f'<h2 id="{section.key}">{html.escape(section.heading)}</h2>\n'
    f'{section.content}\n</section>'
  )


def curve(history: Sequence[Mapping], *keys) -> list[tuple[float, float]]:
  """Points (epoch, value) of the rows that have a finite value."""
  points = []
  for i, row in enumerate(history, start=1):
    value = finite(dig(row, *keys))
    if value is not None:
      points.append((float(row.get('epoch', i)), value))
  return points


def figure(
  name: str,
  curves: Sequence[charts.Curve],
  chosen: float | None,
  from_zero: bool,
) -> str:
  """A chart by epoch with its caption; '' without any point."""
  curves = [curve for curve in curves if curve.points]
  if not curves:
    return ''
  keys = ' '.join(
    f'<span class="key {curve.style}">{curve.name}</span>' for curve in curves
  )
  chart = charts.line_chart(
    f'{name} by epoch', curves, chosen, from_zero=from_zero, across='epoch'
  )
  return (
    f'<figure><figcaption><b>{name}</b> {keys}</figcaption>{chart}</figure>'
  )
