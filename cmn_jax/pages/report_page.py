"""The page that a run leaves: scores beside their baselines, and pictures."""

import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from cmn_jax.pages import charts
from cmn_jax.pages.page import Section, curve, figure, write_page
from cmn_jax.pages.report_retrieval import retrieval_section
from cmn_jax.pages.report_scores import (
  BASELINES,
  DASH,
  dig,
  finite,
  headline,
  interval_of,
  number,
  scores_section,
)
from cmn_jax.pages.report_studies import Example, studies_section
from input_pipeline.findings import NO_FINDING

_HERE = Path(__file__).parent

# What test.json's findings.source means.
_SOURCES = {
  'phantom': 'The findings of a study are those that were drawn, exactly; '
  'those of a generated report are read in its words.',
  'rules': 'Findings are read in both texts by rules of this project, not by '
  'CheXbert: scores of the two cannot be compared.',
}


def write_report_page(
  path: str | os.PathLike,
  *,
  title: str,
  description: str,
  test: Mapping,
  history: Sequence[Mapping],
  examples: Sequence[Example],
) -> None:
  """Writes the page, all or nothing; it needs no other file and no network.

  Args:
    path: of the HTML file.
    title: what was trained on what.
    description: variant, seed, size, devices, in a sentence or two.
    test: the content of evaluation/test.json; a dash stands for what it lacks.
    history: a row for each epoch: epoch, train_loss and, where the epoch was
      validated, val with loss, bleu_4 and micro_f1.
    examples: the studies to show.
  """
  write_page(
    path,
    kicker=f'Generated reports, {test.get("split") or "test"} split',
    title=title,
    description=description,
    headline=headline(test),
    sections=[
      Section(
        'scores', 'Scores', scores_section(test) + retrieval_section(test)
      ),
      Section(
        'curves',
        'Learning curves',
        _curves_section(history, test.get('selected_on')),
      ),
      Section('findings', 'Findings', _findings_section(test)),
      Section('studies', 'Studies', studies_section(examples)),
    ],
    facts=_facts(test),
    script=(_HERE / 'report_page.js').read_text('utf-8'),
  )


def _curves_section(history, selected_on) -> str:
  select_by = str(selected_on or '').removeprefix('val').strip()
  scores = dict(curve(history, 'val', select_by))
  chosen = max(scores, key=scores.get, default=None)
  losses = [
    charts.Curve('train', 'train', curve(history, 'train_loss')),
    charts.Curve('validation', 'val', curve(history, 'val', 'loss')),
  ]
  figures = [figure('Loss per word', losses, chosen, from_zero=False)]
  for key, name in (('bleu_4', 'BLEU-4'), ('micro_f1', 'Findings F1')):
    scored = charts.Curve('validation', 'val', curve(history, 'val', key))
    figures.append(figure(name, [scored], chosen, from_zero=True))
  if not any(figures):
    return '<p class="note">No epoch was recorded.</p>'
  note = 'Against the epoch; the loss is in nats.'
  if chosen is not None:
    note += (
      f' Dotted line: the checkpoint that was kept, epoch {chosen:g}, the best '
      f'by {html.escape(str(selected_on))}.'
    )
  return (
    f'<div class="curves">{"".join(figures)}</div><p class="note">{note}</p>'
  )


def _findings_section(test: Mapping) -> str:
  findings = dig(test, 'findings') or {}
  accuracies = ''.join(
    _accuracy(findings, name) for name in ('side', 'zone', 'severity')
  )
  per_class = dig(findings, 'per_class') or {}
  # No Finding is not one of them: it comes last, as in no average.
  names = sorted(
    per_class,
    key=lambda name: (
      name == NO_FINDING,
      -(finite(dig(per_class, name, 'support')) or 0),
    ),
  )
  rows = ''.join(_finding_row(name, per_class[name], test) for name in names)
  no_finding = 'No Finding is in no average.' if NO_FINDING in per_class else ''
  return (
    f'<dl class="facts">{accuracies}</dl>'
    '<div class="scroll" tabindex="0" role="region" aria-labelledby="findings">'
    '<table class="findings"><thead><tr><th scope="col">Finding</th>'
    '<th scope="col">studies</th><th scope="col">precision</th>'
    '<th scope="col">recall</th>'
    '<th scope="col">F1</th><th scope="col" class="interval">95 % interval</th>'
    '<th scope="col" class="axis"><span>0</span><span>F1</span><span>1</span>'
    '</th></tr>'
    f'</thead><tbody>{rows}</tbody></table></div>'
    '<p class="note">Side, zone and severity: share that is right among the '
    'findings that were found. Dot: F1 of the model with its interval; '
    'diamond: the better of the two trivial '
    f'baselines. {_SOURCES.get(findings.get("source"), "")} {no_finding}</p>'
  )


def _accuracy(findings, name):
  count = dig(findings, 'counts', name)
  # Of no pair at all, an accuracy of 0 would say too much.
  value = DASH if count == 0 else number(findings.get(f'{name}_accuracy'))
  of = '' if count is None else f'<small>of {count} pairs</small>'
  return f'<div><dt>{name.capitalize()} right</dt><dd>{value}{of}</dd></div>'


def _finding_row(name, scores, test):
  f1 = finite(dig(scores, 'f1'))
  interval = interval_of(dig(scores, 'f1_interval'))
  rivals = [
    finite(dig(test, 'baselines', b, 'findings', 'per_class', name, 'f1'))
    for b in BASELINES
  ]
  rival = max((f for f in rivals if f is not None), default=None)
  support = dig(scores, 'support')
  cells = ''.join(
    f'<td>{number(dig(scores, k))}</td>' for k in ('precision', 'recall')
  )
  bounds = f'{interval[0]:.3f}{DASH}{interval[1]:.3f}' if interval else DASH
  bar = DASH if f1 is None else charts.interval_bar(f1, interval, rival)
  return (
    f'<tr><th scope="row">{html.escape(name)}</th>'
    f'<td>{DASH if support is None else support}</td>{cells}'
    f'<td class="f1">{number(f1)}</td><td class="interval">{bounds}</td>'
    f'<td>{bar}</td></tr>'
  )


def _facts(test: Mapping) -> str:
  seconds = number(test.get('seconds'), 1)
  rate = number(test.get('reports_per_second'), 1)
  return html.escape(
    f'{test.get("studies") or DASH} studies of the '
    f'{test.get("split") or "test"} split, read once; checkpoint selected on '
    f'{test.get("selected_on") or DASH}; written in {seconds} s, {rate} '
    'reports per second. ' + ' '.join(map(str, test.get('left_out') or ()))
  )
