"""The sections of a classifier's page: scores, classes, probabilities."""

import html
from collections.abc import Mapping, Sequence

from cmn_jax.pages import charts
from cmn_jax.pages.page import (
  Section,
  compare,
  compare_note,
  in_words,
  number,
  score_table,
  table,
  withheld_note,
)
from cmn_jax.pages.sections import (
  CLASS_NOTE,
  Plot,
  class_table,
  curves_section,
  run_section,
)
from cmn_jax.scores.catalogue import (
  CLASS_SCORES,
  RARE_SCORES,
  row_name,
  value_of,
)
from cmn_jax.scores.results import ClassifierResults, check_whole

_SCORES = {score.key: score for score in (*CLASS_SCORES, *RARE_SCORES)}
_F1 = _SCORES['micro_f1']
_AVERAGES = [s for s in CLASS_SCORES if s.key != 'accuracy']
_INPUTS = {
  'image': 'It reads images alone.',
  'image+reference': 'It reads images and the reference report, which nobody '
  'has at the bedside, and in which labels may have been read: this is an '
  'upper bound, not what can be deployed.',
  'image+generated': 'It reads images and the report that the report model '
  'wrote for them.',
}


def classifier_sections(
  results: ClassifierResults, history: Sequence[Mapping]
) -> list[Section]:
  """The page of a classifier.

  Args:
    results: the content of evaluation/test.json.
    history: a row for each epoch: epoch, train_loss and, where the epoch was
      validated, val with micro_f1, f1_macro and auroc_macro.

  Raises:
    UserError: the results are not whole.
  """
  check_whole(results, 'test.json')
  plots = [
    Plot('Loss per label', {'train': ('train_loss',)}, from_zero=True),
    *(
      Plot(_SCORES[key].label, {'validation': ('val', key)}, from_zero=False)
      for key in ('micro_f1', 'f1_macro', 'auroc_macro')
    ),
  ]
  flatter = (
    ''
    if _is_single_label(results)
    else 'Thresholds are chosen on validation too, so its scores flatter.'
  )
  speed = f'{number(results["studies_per_second"], 1)} studies per second'
  sections = [
    Section('', _headline(results)),
    Section('Scores', _scores(results)),
    curves_section(history, results, plots, flatter),
    Section('Classes', _classes(results)),
    Section('Probabilities', _calibration(results)),
  ]
  if _is_single_label(results):
    sections.append(Section('Confusion matrix', _confusion(results)))
  return [*sections, run_section(results, speed)]


def _is_single_label(results) -> bool:
  return 'confusion_matrix' in results


def _headline(results) -> str:
  """What micro F1 says against the rows that need no training."""
  clauses = [
    f'{verdict} {row_name(key)} ({_F1.text(value_of(row, _F1))})'
    for key, row in results['baselines'].items()
    if (verdict := compare(results, row, _F1))
  ]
  macro, auroc = (
    in_words(results, _SCORES[key]) for key in ('f1_macro', 'auroc_macro')
  )
  return (
    f'<p class="lead">F1 of {_F1.text(value_of(results, _F1))} over all '
    f'findings {" and ".join(clauses)}.</p>'
    f'<p>{_INPUTS[results["inputs"]]} Micro F1 {in_words(results, _F1)}, No '
    f'Finding left out; macro F1 {macro}, AUROC {auroc}; probabilities are '
    f'{number(results["calibration"]["ece"])} off on average.</p>'
    f'{compare_note(results["dataset"])}'
  )


def _scores(results) -> str:
  rows = [('This classifier', results, 'model')]
  for key, row in results['baselines'].items():
    words = row_name(key)
    rows.append((words[0].upper() + words[1:], row, 'baselines'))
  return score_table('Scores', _AVERAGES, rows) + (
    '<p class="note">Small type: 95 % bootstrap interval over studies. '
    f'{withheld_note(results)}Precision, recall and F1: over all classes, each '
    'as often as it occurs; macro and micro: over the findings that occur, No '
    'Finding left out. The precision of a class that is never predicted counts '
    '0, and 1 in the column beside it. The areas need probabilities, which '
    'rules do not give.</p>'
  )


def _classes(results) -> str:
  single = _is_single_label(results)
  columns = {} if single else {'from': 'threshold'}
  columns |= {'precision': 'precision', 'recall': 'recall', 'F1': 'f1'}
  columns |= {'AUROC': 'auroc', 'AUPRC': 'auprc'}
  said = (
    'One class of each study is said, the most probable one.'
    if single
    else 'From: the probability from which on a class is said, chosen on '
    'validation.'
  )
  return class_table(
    'Classes',
    results['per_class'],
    [row['per_class'] for row in results['baselines'].values()],
    columns,
    results['studies'],
  ) + (
    f'<p class="note">{_rare_note(results)}Labels: '
    f'{html.escape(results["labels"]["source"])}'
    f'{_unlabelled(results)}. {said} {CLASS_NOTE} The share is the AUPRC of '
    'guessing.</p>'
  )


def _unlabelled(results) -> str:
  count = results['unlabelled']
  return f'; {count} more studies without labels are left out' if count else ''


def _rare_note(results) -> str:
  labels = results['labels']
  if not labels['rare']:
    return ''
  score = in_words(results, _SCORES['f1_macro_rare'])
  return (
    f'Rare, in fewer than one training study in '
    f'{round(1 / labels["rare_below"])}: '
    f'{html.escape(", ".join(labels["rare"]))}; over these macro F1 is '
    f'{score}. '
  )


def _calibration(results) -> str:
  calibration = results['calibration']
  curves = [
    charts.Curve('perfect', 'train', [(0.0, 0.0), (1.0, 1.0)]),
    charts.Curve(
      'this classifier',
      'val',
      [(b['probability'], b['frequency']) for b in calibration['bins']],
    ),
  ]
  chart = charts.line_chart(
    'Frequency against probability',
    curves,
    None,
    from_zero=True,
    across='probability',
  )
  what = (
    'the most probable class of each study'
    if _is_single_label(results)
    else 'every class of every study'
  )
  return (
    f'<div class="curves"><figure><figcaption><b>How often it came true</b> '
    f'against the probability that was given</figcaption>{chart}</figure></div>'
    f'<p class="note">Of {what}. On the dashed line probabilities mean what '
    f'they say. Expected calibration error {number(calibration["ece"])}: the '
    'mean distance from it, each bin as often as it is used. A focal loss is '
    'known to pull probabilities towards one half.</p>'
  )


def _confusion(results) -> str:
  names = results['labels']['classes']
  rows = []
  for name, counts in zip(names, results['confusion_matrix'], strict=True):
    total = max(sum(counts), 1)
    cells = [
      f'<td style="--share:{100 * n / total:.0f}%">{n or ""}</td>'
      for n in counts
    ]
    rows.append((name, cells, ''))
  return table('Confusion matrix', 'confusion', ['', *names], rows) + (
    '<p class="note">Studies by their primary finding (rows) and what was said '
    '(columns). Tint: share of the row.</p>'
  )
