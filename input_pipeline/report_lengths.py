"""How long reports are: in words and, if asked for, in SentencePiece pieces."""

import statistics

from input_pipeline.study import SPLITS
from input_pipeline.tokenizers import (
  CLEANERS,
  SentencePieceTokenizer,
  needs_pieces,
)

WORDS = 'words'
COLUMNS = ('mean', 'median', '95th percentile', 'longest', 'over 58')


def units_of(dataset, clean, tokenizer, pieces):
  """{what is counted: report -> how many of it}; words come first.

  Args:
    dataset: a `study.Dataset`; pieces are trained on its train reports.
    clean: how reports are cleaned, a key of `CLEANERS`.
    tokenizer: 'words' for these alone, or a kind of SentencePiece.
    pieces: how many pieces; 0 for words.
  """
  units = {WORDS: lambda report: len(CLEANERS[clean](report).split())}
  if needs_pieces(tokenizer, pieces):
    reports = [study.report for study in dataset.studies['train']]
    fitted = SentencePieceTokenizer.fit(reports, pieces, tokenizer, clean)
    units[f'{pieces:,} {tokenizer} pieces'] = fitted.count
  return units


def lengths_of(dataset, count):
  """{split: lengths of its reports, the shortest first}."""
  return {
    split: sorted(count(study.report) for study in dataset.studies[split])
    for split in SPLITS
  }


def describe(lengths):
  """A text for each of `COLUMNS`; `lengths` are sorted, and at least one."""
  return [
    f'{statistics.fmean(lengths):.1f}',
    f'{lengths[len(lengths) // 2]}',
    f'{lengths[int(0.95 * (len(lengths) - 1))]}',
    f'{lengths[-1]}',
    percent(sum(n > 58 for n in lengths), len(lengths)),
  ]


def percent(part, whole):
  """A share as a person reads it."""
  return f'{100 * part / whole:.1f} %'


def length_lines(dataset, units):
  """A line for the screen for each unit: the lengths of the train reports."""
  lines = []
  for unit, count in units.items():
    lengths = lengths_of(dataset, count)['train']
    if lengths:
      pairs = zip(COLUMNS, describe(lengths), strict=True)
      told = ', '.join(f'{name} {value}' for name, value in pairs)
      lines.append(f'  train reports in {unit}: {told}')
  return lines
