"""The page of a classifier: its scores, its classes, its probabilities."""

import html
import os
from collections.abc import Mapping, Sequence

from cmn_jax.pages import charts
from cmn_jax.pages.page import (
  Section,
  curve,
  figure,
  write_page,
)
from cmn_jax.pages.report_scores import (
  DASH,
  Score,
  compare,
  dig,
  finite,
  interval_of,
  number,
  small_interval,
)
from input_pipeline.findings import NO_FINDING

_AVERAGES = {
  'precision_weighted': 'Precision, weighted',
  'recall_weighted': 'Recall, weighted',
  'f1_weighted': 'F1, weighted',
  'f1_macro': 'F1 macro',
  'micro_f1': 'F1 micro',
  'auroc_macro': 'AUROC macro',
  'auprc_macro': 'AUPRC macro',
}
_RIVALS = {
  'always_no_finding': 'always No Finding',
  'report_by_rules': 'the report read by rules',
}
_INPUTS = {
  'image': 'It reads films alone.',
  'image+reference': 'It reads films and the reference report, which nobody '
  'has at the bedside, and in which labels may have been read: this is an '
  'upper bound, not what can be deployed.',
  'image+generated': 'It reads films and the report that the report model '
  'wrote for them.',
}


def write_classifier_page(
  path: str | os.PathLike,
  *,
  title: str,
  description: str,
  test: Mapping,
  history: Sequence[Mapping],
) -> None:
  """Writes the page, all or nothing; it needs no other file and no network.

  Args:
    path: of the HTML file.
    title: what was trained on what.
    description: variant, seed, size, devices, in a sentence or two.
    test: the content of a classifier's evaluation/test.json.
    history: a row for each epoch: epoch, train_loss and, where the epoch was
      validated, val with micro_f1, f1_macro and auroc_macro.
  """
  sections = [
    Section('scores', 'Scores', _scores_section(test)),
    Section('curves', 'Learning curves', _curves_section(history, test)),
    Section('classes', 'Classes', _classes_section(test)),
    Section('calibration', 'Probabilities', _calibration_section(test)),
  ]
  if 'confusion_matrix' in test:
    sections.append(
      Section('confusion', 'Confusion matrix', _confusion_section(test))
    )
  write_page(
    path,
    kicker=f'Classified studies, {test["split"]} split',
    title=title,
    description=f'{description} {_INPUTS[test["inputs"]]}',
    headline=_headline(test),
    sections=sections,
    facts=_facts(test),
    script='',
  )


def _headline(test) -> str:
  """What micro F1 says against the rows that need no training."""
  mine = _average(test, 'micro_f1')
  clauses = [
    f'{compare(mine, _average(row, "micro_f1"))} {_RIVALS[name]} '
    f'({number(row["micro_f1"])})'
    for name, row in test['baselines'].items()
  ]
  ece = number(dig(test, 'calibration', 'ece'))
  return (
    f'<p class="lead">F1 of {mine.value:.3f} over all findings '
    f'{" and ".join(clauses)}.</p>'
    f'<p>Micro F1{_in_words(mine)}, No Finding left out; macro F1 '
    f'{number(test["f1_macro"])}, AUROC {number(test["auroc_macro"])}; '
    f'probabilities are {ece} off on average.</p>'
    '<p class="note">One score beats another here if their 95 % bootstrap '
    'intervals over studies do not overlap.</p>'
  )


def _in_words(score: Score) -> str:
  """Its interval in brackets, '' where there is none."""
  if score.low is None:
    return ''
  return f' (95 % {score.low:.3f}{DASH}{score.high:.3f})'


def _average(row, key) -> Score:
  interval = interval_of(dig(row, 'intervals', key))
  return Score(finite(row.get(key)), *(interval or (None, None)))


def _scores_section(test) -> str:
  rows = [_score_row('This classifier', test, 'model')]
  for name, row in test['baselines'].items():
    words = _RIVALS[name].removeprefix('the ')
    rows.append(_score_row(words[0].upper() + words[1:], row, 'baselines'))
  head = ''.join(f'<th scope="col">{name}</th>' for name in _AVERAGES.values())
  ones = ', '.join(
    f'{html.escape(name)} {number(row["precision_weighted_undefined_1"])}'
    for name, row in (
      ('this classifier', test),
      *((_RIVALS[k], v) for k, v in test['baselines'].items()),
    )
  )
  return (
    '<div class="scroll" tabindex="0" role="region" aria-labelledby="scores">'
    f'<table class="scores"><thead><tr><th scope="col"></th>{head}</tr></thead>'
    f'<tbody>{"".join(rows)}</tbody></table></div>'
    '<p class="note">Small type: 95 % bootstrap interval over studies. '
    'Weighted: over all classes, each as often as it occurs. Macro and micro: '
    'over the findings that occur, No Finding left out. The precision of a '
    f'class that is never predicted counts 0 here; were it 1: {ones}. The '
    'areas need probabilities, which rules do not give.</p>'
  )


def _score_row(name, row, style):
  cells = ''.join(
    f'<td>{number(row.get(key))}{small_interval(_average(row, key))}</td>'
    for key in _AVERAGES
  )
  return (
    f'<tr class="{style}"><th scope="row">{html.escape(name)}</th>{cells}</tr>'
  )


def _rare_note(test) -> str:
  rare = test['labels']['rare']
  if not rare:
    return ''
  score = _average(test, 'f1_macro_rare')
  return (
    'Rare, in fewer than one training study in '
    f'{round(1 / test["labels"]["rare_below"])}: '
    f'{html.escape(", ".join(rare))}; over these macro F1 is '
    f'{number(score.value)}{_in_words(score)}. '
  )


def _curves_section(history, test) -> str:
  select_by = str(test['selected_on']).removeprefix('val').strip()
  scores = dict(curve(history, 'val', select_by))
  chosen = max(scores, key=scores.get, default=None)
  figures = [
    figure(
      'Loss per label',
      [charts.Curve('train', 'train', curve(history, 'train_loss'))],
      chosen,
      from_zero=True,
    )
  ]
  for key in ('micro_f1', 'f1_macro', 'auroc_macro'):
    points = curve(history, 'val', key)
    figures.append(
      figure(
        _AVERAGES[key],
        [charts.Curve('validation', 'val', points)],
        chosen,
        from_zero=False,
      )
    )
  flatter = (
    ''
    if test['task'] == 'single_label'
    else '; thresholds are chosen on validation too, so these scores flatter'
  )
  return (
    f'<div class="curves">{"".join(figures)}</div><p class="note">Against the '
    f'epoch. Dotted line: the checkpoint that was kept, the best by '
    f'{html.escape(str(test["selected_on"]))}{flatter}.</p>'
  )


def _classes_section(test) -> str:
  per_class = test['per_class']
  names = sorted(
    per_class,
    key=lambda name: (name == NO_FINDING, -per_class[name]['support']),
  )
  rows = ''.join(_class_row(name, per_class[name], test) for name in names)
  columns = (
    ('studies', 'precision', 'recall', 'F1', 'AUROC', 'AUPRC')
    if test['task'] == 'single_label'
    else ('studies', 'from', 'precision', 'recall', 'F1', 'AUROC', 'AUPRC')
  )
  said = (
    'One class of each study is said, the most probable one.'
    if test['task'] == 'single_label'
    else 'From: the probability from which on a class is said, chosen on '
    'validation.'
  )
  head = ''.join(f'<th scope="col">{name}</th>' for name in columns)
  return (
    '<div class="scroll" tabindex="0" role="region" aria-labelledby="classes">'
    f'<table class="findings"><thead><tr><th scope="col">Class</th>{head}'
    '<th scope="col" class="axis"><span>0</span><span>F1</span><span>1</span>'
    f'</th></tr></thead><tbody>{rows}</tbody></table></div>'
    f'<p class="note">{_rare_note(test)}Labels: '
    f'{html.escape(test["labels"]["source"])}. {said} Small type: 95 % '
    'interval over the resamples with the class; under the studies their '
    'share, which is the AUPRC of guessing. Dot: F1 with its interval; '
    'diamond: the better of the rows that need no training.</p>'
  )


def _class_row(name, scores, test):
  rivals = [
    finite(dig(row, 'per_class', name, 'f1'))
    for row in test['baselines'].values()
  ]
  rival = max((f for f in rivals if f is not None), default=None)
  interval = interval_of(scores.get('f1_interval'))
  share = scores['support'] / max(scores['studies'], 1)
  cells = [f'<td>{scores["support"]}<small>{share:.3f}</small></td>']
  if test['task'] != 'single_label':
    cells.append(f'<td>{number(scores["threshold"], 2)}</td>')
  cells += [
    f'<td>{number(scores[key])}</td>' for key in ('precision', 'recall')
  ]
  cells += [
    f'<td class="f1">{number(scores["f1"])}</td>',
    *(_ranked_cell(scores, key) for key in ('auroc', 'auprc')),
    f'<td>{charts.interval_bar(scores["f1"], interval, rival)}</td>',
  ]
  return f'<tr><th scope="row">{html.escape(name)}</th>{"".join(cells)}</tr>'


def _ranked_cell(scores, key) -> str:
  interval = interval_of(scores.get(f'{key}_interval'))
  score = Score(scores[key], *(interval or (None, None)))
  return f'<td>{number(score.value)}{small_interval(score)}</td>'


def _calibration_section(test) -> str:
  calibration = test['calibration']
  chart = charts.line_chart(
    'Frequency against probability',
    [
      charts.Curve('perfect', 'train', [(0.0, 0.0), (1.0, 1.0)]),
      charts.Curve(
        'this classifier',
        'val',
        [(b['probability'], b['frequency']) for b in calibration['bins']],
      ),
    ],
    None,
    from_zero=True,
    across='probability',
  )
  what = (
    'the most probable class of each study'
    if test['task'] == 'single_label'
    else 'every class of every study'
  )
  return (
    f'<div class="curves"><figure><figcaption><b>How often it came true</b> '
    f'against the probability that was given</figcaption>{chart}</figure></div>'
    f'<p class="note">Of {what}. On the dashed line probabilities mean what '
    'they say. Expected calibration error '
    f'{number(calibration["ece"])}: the mean distance from it, each bin as '
    'often as it is used. A focal loss is known to pull probabilities towards '
    'one half.</p>'
  )


def _confusion_section(test) -> str:
  names = test['labels']['classes']
  head = ''.join(f'<th scope="col">{html.escape(name)}</th>' for name in names)
  rows = []
  for name, counts in zip(names, test['confusion_matrix'], strict=True):
    total = max(sum(counts), 1)
    cells = ''.join(
      f'<td style="--share:{100 * n / total:.0f}%">{n or ""}</td>'
      for n in counts
    )
    rows.append(f'<tr><th scope="row">{html.escape(name)}</th>{cells}</tr>')
  return (
    '<div class="scroll" tabindex="0" role="region" '
    'aria-labelledby="confusion"><table class="confusion">'
    f'<thead><tr><th scope="col"></th>{head}</tr>'
    f'</thead><tbody>{"".join(rows)}</tbody></table></div>'
    '<p class="note">Studies by their primary finding (rows) and what was said '
    '(columns). Tint: share of the row.</p>'
  )


def _facts(test) -> str:
  unknown = test['unlabelled']
  without = f', {unknown} more without labels left out' if unknown else ''
  left_out = ' '.join(map(str, test['left_out']))
  return html.escape(
    f'{test["studies"]} studies of the {test["split"]} split{without}, read '
    f'once; checkpoint selected on {test["selected_on"]}; '
    f'{number(test["studies_per_second"], 1)} studies per second. {left_out}'
  )
