"""The scores by name: what tables, pages, terminal and selection print or take.

A new score is added here and where it is computed, nowhere else.
"""

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MISSING = '-'


@dataclass(frozen=True)
class Score:
  """A score in test.json, and in what form it is shown.

  Attributes:
    key: its path in the results, joined by dots, such as 'findings.micro_f1'.
    label: its heading, such as 'F1 micro'.
    digits: behind the point.
    percent: shown as a percentage of 1.
    selectable: computed at each validation, and may choose the checkpoint.
    tested: compared between two rows by a paired test.
    terminal: printed when an evaluation ends; the others stand in tables and on
      pages alone.
  """

  key: str
  label: str
  digits: int = 3
  percent: bool = False
  selectable: bool = False
  tested: bool = False
  terminal: bool = False

  @property
  def name(self) -> str:
    """By which `train.select_by` names it: its key's last part, and its set."""
    part, _, last = self.key.rpartition('.')
    _, is_set, label_set = part.partition('findings')
    return last + label_set if is_set else last

  def text(self, value: float | None) -> str:
    """The value as printed, '-' where there is none."""
    if value is None:
      return MISSING
    if self.percent:
      return f'{100 * value:.{self.digits}f} %'
    return f'{value:.{self.digits}f}'


REPORT_SCORES = (
  Score('bleu_1', 'BLEU-1', selectable=True, tested=True, terminal=True),
  Score('bleu_2', 'BLEU-2', selectable=True),
  Score('bleu_3', 'BLEU-3', selectable=True),
  Score('bleu_4', 'BLEU-4', selectable=True, tested=True, terminal=True),
  Score('bleu_2_rexrank', 'BLEU-2 (ReXrank)', selectable=True),
  Score('meteor', 'METEOR'),
  Score('meteor_nltk', 'METEOR (NLTK)', selectable=True),
  Score('rouge_l', 'ROUGE-L', selectable=True, tested=True),
  Score('cider', 'CIDEr', 2, selectable=True, tested=True, terminal=True),
  Score(
    'findings.micro_f1',
    'F1 micro',
    selectable=True,
    tested=True,
    terminal=True,
  ),
  # By the label set of the Indiana collection.
  Score('findings_iu.micro_f1', 'F1 iu', tested=True, terminal=True),
  Score('findings.macro_f1', 'F1 macro', selectable=True),
  Score('findings_iu.macro_f1', 'F1 macro iu'),
  Score('findings.side_accuracy', 'side'),
  Score('findings.zone_accuracy', 'zone'),
  Score('distinct_reports', 'distinct', 0, terminal=True),
  Score('commonest_share', 'commonest', 0, percent=True, terminal=True),
  Score('abnormal_share', 'abnormal', 0, percent=True, terminal=True),
  Score('findings_iu.abnormal_share', 'abnormal iu', 0, percent=True),
)
CLASS_SCORES = (
  Score('precision_weighted', 'precision', terminal=True),
  Score('precision_weighted_undefined_1', 'undefined as 1'),
  Score('recall_weighted', 'recall', terminal=True),
  Score('f1_weighted', 'F1', selectable=True, terminal=True),
  Score('micro_f1', 'F1 micro', selectable=True, tested=True, terminal=True),
  Score('f1_macro', 'F1 macro', selectable=True, tested=True, terminal=True),
  Score('auroc_macro', 'AUROC', selectable=True, terminal=True),
  Score('auprc_macro', 'AUPRC', selectable=True, terminal=True),
  Score('accuracy', 'accuracy', selectable=True),
)
# Of the classes that few training studies have.
RARE_SCORES = (
  Score('f1_macro_rare', 'F1 rare', tested=True),
  Score('auroc_macro_rare', 'AUROC rare'),
  Score('auprc_macro_rare', 'AUPRC rare'),
)
RETRIEVAL_SCORES = tuple(
  Score(f'retrieval.{way}.{key}', f'{name} {label}', digits)
  for way, name in (
    ('image_to_report', 'report by images'),
    ('report_to_image', 'images by report'),
  )
  for key, label, digits in (
    ('recall_1', '@1', 3),
    ('recall_5', '@5', 3),
    ('recall_10', '@10', 3),
    ('median_rank', 'rank', 1),
  )
)

# What rows beside a model are called, where their keys do not say it.
_ROW_NAMES = {
  'constant': 'constant report',
  'retrieval': 'nearest study',
  'always_no_finding': 'always No Finding',
  'shuffled_knowledge': 'shuffled labels',
  'constant_knowledge': 'constant labels',
  'true_label_knowledge': 'true labels',
}


def selectable(scores: Sequence[Score]) -> tuple[str, ...]:
  """Names that `train.select_by` may have."""
  return tuple(score.name for score in scores if score.selectable)


def value_of(results: Mapping, score: Score) -> float | None:
  """The score in the content of a test.json, or of a baseline in it.

  None where it is missing or no finite number.
  """
  return _number(_at(results, score.key))


def interval_of(results: Mapping, score: Score) -> tuple[float, float] | None:
  """Bounds (low, high) of its 95 % interval; None where none was computed."""
  # Findings carry their intervals beside their values, the others in one place.
  key = (
    f'{score.key}_interval' if '.' in score.key else f'intervals.{score.key}'
  )
  bounds = _at(results, key)
  if not isinstance(bounds, Sequence) or len(bounds) != 2:
    return None
  low, high = map(_number, bounds)
  return None if low is None or high is None else (low, high)


def row_name(key: str) -> str:
  """What a baseline or control is called, by its key in test.json."""
  return _ROW_NAMES.get(key, key.replace('_', ' '))


def beside(results: Mapping) -> dict[str, Mapping]:
  """The baselines and controls of a test.json, by name."""
  return {
    row_name(key): scores
    for part in ('baselines', 'controls')
    for key, scores in results.get(part, {}).items()
  }


def terminal_table(
  rows: Mapping[str, Mapping], scores: Sequence[Score]
) -> list[str]:
  """Lines of a table, the results by row name and the scores for terminals.

  A score that no row has is left out.
  """
  columns = [
    score
    for score in scores
    if score.terminal
    and any(value_of(results, score) is not None for results in rows.values())
  ]
  widths = [max(len(score.label), 5) for score in columns]
  first = max(map(len, rows))
  table = {'': [score.label for score in columns]}
  for name, results in rows.items():
    table[name] = [score.text(value_of(results, score)) for score in columns]
  return [
    ' '.join(
      [
        name.ljust(first),
        *(cell.rjust(w) for cell, w in zip(cells, widths, strict=True)),
      ]
    )
    for name, cells in table.items()
  ]


def _p(value: float) -> str:
  """Of a paired test: never 0, which no resampling can show."""
  return f'p {value:.3f}' if value >= 0.001 else 'p < 0.001'


def paired_sentences(results: Mapping) -> list[str]:
  """The model less each baseline that it was tested against, in words."""
  labels = {score.name: score.label for score in REPORT_SCORES if score.tested}
  sentences = []
  for name, tests in results.get('paired', {}).items():
    differences = [
      f'{labels[key]} {test["difference"]:+.3f} ({_p(test["p_value"])})'
      for key, test in tests.items()
      if test['difference'] is not None
    ]
    sentences.append(f'less {name}: {", ".join(differences)}')
  return sentences


def _at(tree, key):
  """The value under a dotted path, None where a part of it is missing."""
  for part in key.split('.'):
    if not isinstance(tree, Mapping):
      return None
    tree = tree.get(part)
  return tree


def _number(value) -> float | None:
  if isinstance(value, numbers.Real) and math.isfinite(value):
    return float(value)
  return None
