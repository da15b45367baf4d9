"""Sections that report models and classifiers share."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cmn_jax.pages import charts
from cmn_jax.pages.page import Section, number, small_interval, table
from input_pipeline.findings import NO_FINDING


class Plot(NamedTuple):
  """A chart against the epoch.

  Attributes:
    title: its caption.
    curves: {name: keys of a row of the history}, 'train' or 'validation'.
    from_zero: the vertical axis begins at 0.
  """

  title: str
  curves: Mapping[str, tuple[str, ...]]
  from_zero: bool


def curves_section(
  history: Sequence[Mapping], results: Mapping, plots: Sequence[Plot], note: str
) -> Section:
  """Charts by epoch, and which epoch's checkpoint was chosen.

  Args:
    history: a row for each epoch: epoch, train_loss and, where it was
      validated, val.
    results: the content of a test.json.
    plots: what is drawn.
    note: HTML below them.
  """
  chosen = results['checkpoint']['epoch']
  figures = [_figure(plot, history, chosen) for plot in plots]
  if not any(figures):
    content = '<p class="note">No epoch was recorded.</p>'
  else:
    content = (
      f'<div class="curves">{"".join(figures)}</div><p class="note">Against '
      f'the epoch. Dotted line: the chosen checkpoint, of epoch {chosen:g}, by '
      f'{html.escape(results["selected_on"])}. {note}</p>'
    )
  return Section('Learning curves', content)


def _figure(plot: Plot, history, chosen) -> str:
  """A chart with its caption; '' without any point."""
  styles = {'train': 'train', 'validation': 'val'}
  curves = [
    charts.Curve(name, styles[name], points)
    for name, keys in plot.curves.items()
    if (points := _points(history, keys))
  ]
  if not curves:
    return ''
  keys = ' '.join(
    f'<span class="key {curve.style}">{curve.name}</span>' for curve in curves
  )
  chart = charts.line_chart(
    f'{plot.title} by epoch', curves, chosen, plot.from_zero, across='epoch'
  )
  return (
    f'<figure><figcaption><b>{html.escape(plot.title)}</b> {keys}</figcaption>'
    f'{chart}</figure>'
  )


def _points(history, keys) -> list[tuple[float, float]]:
  """(epoch, value) of the rows that have a finite value."""
  points = []
  for row in history:
    value = row
    for key in keys:
      value = (value or {}).get(key)
    if value is not None and math.isfinite(value):
      points.append((float(row['epoch']), float(value)))
  return points


def class_table(
  label: str,
  per_class: Mapping[str, Mapping],
  baselines: Sequence[Mapping[str, Mapping]],
  columns: Mapping[str, str],
  studies: int,
) -> str:
  """A line for each class, with a bar of its F1 beside the best baseline's.

  Args:
    label: the heading that names it.
    per_class: scores of each class, support among them.
    baselines: the same of what needs no training.
    columns: {heading: key of a class's scores}, f1 among them.
    studies: of how many studies the support is, where a class does not say.
  """
  # No Finding comes last: it is in no average.
  names = sorted(
    per_class, key=lambda n: (n == NO_FINDING, -per_class[n]['support'])
  )
  rows = []
  for name in names:
    scores = per_class[name]
    rivals = [
      value for row in baselines if (value := row[name]['f1']) is not None
    ]
    share = scores['support'] / max(scores.get('studies', studies), 1)
    bar = (
      number(None)
      if scores['f1'] is None
      else charts.interval_bar(
        scores['f1'], scores.get('f1_interval'), max(rivals, default=None)
      )
    )
    cells = [
      f'<td>{scores["support"]}<small>{share:.3f}</small></td>',
      *(_class_cell(scores, key) for key in columns.values()),
      f'<td>{bar}</td>',
    ]
    rows.append((name, cells, ''))
  head = ['Class', 'studies', *columns, '0 \u2013 F1 \u2013 1']
  return table(label, 'findings', head, rows)


def _class_cell(scores, key) -> str:
  style = ' class="f1"' if key == 'f1' else ''
  digits = 2 if key == 'threshold' else 3
  interval = small_interval(scores.get(f'{key}_interval'))
  return f'<td{style}>{number(scores[key], digits)}{interval}</td>'


CLASS_NOTE = (
  'Under the studies: their share. Small type under a score: 95 % interval '
  'over studies. Dot: F1 with its interval; diamond: the better of the rows '
  'that need no training.'
)


def run_section(results: Mapping, speed: str) -> Section:
  """What made these scores: split, checkpoint, config, versions.

  Args:
    results: the content of a test.json.
    speed: how fast the split was written or classified.
  """
  official = 'official, whole' if results['split_official'] else 'not official'
  config = [f'{key} = {value}' for key, value in results['config'].items()]
  checkpoint = results['checkpoint']
  facts = {
    'Studies': f'{results["studies"]} of {results["dataset"]}, '
    f'{results["split"]} split, read once',
    'Split': f'{results["split_source"]} ({official}), digest '
    f'{results["split_digest"]}',
    'Config': results['named_config'],
    'Changed': '; '.join(config) or 'nothing',
    'Checkpoint': f'step {checkpoint["step"]}, epoch {checkpoint["epoch"]}, '
    f'selected on {results["selected_on"]}',
    'Seed': str(results['seed']),
    'Speed': speed,
    'Versions': ', '.join(f'{k} {v}' for k, v in results['versions'].items()),
    'Left out': ' '.join(map(str, results['left_out'])) or 'no study',
  }
  lines = ''.join(
    f'<div><dt>{name}</dt><dd>{html.escape(text)}</dd></div>'
    for name, text in facts.items()
  )
  return Section('This run', f'<dl class="run">{lines}</dl>')
