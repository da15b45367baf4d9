"""The score table of runs beside their baselines, in Markdown.

  python -m cmn_jax.tables runs/demo runs/iu_xray_cmn

Each argument is a workdir or a test.json of one.
"""

import argparse
import json
import sys
from pathlib import Path

_COLUMNS = {
  'BLEU-1': lambda row: row['bleu_1'],
  'BLEU-2': lambda row: row['bleu_2'],
  'BLEU-3': lambda row: row['bleu_3'],
  'BLEU-4': lambda row: row['bleu_4'],
  'METEOR': lambda row: row.get('meteor'),
  'ROUGE-L': lambda row: row['rouge_l'],
  'CIDEr': lambda row: row['cider'],
  'F1 micro': lambda row: row['findings']['micro_f1'],
  'F1 macro': lambda row: row['findings']['macro_f1'],
  'side': lambda row: _place(row, 'side'),
  'zone': lambda row: _place(row, 'zone'),
  'distinct': lambda row: row['distinct_reports'],
}
_BASELINES = {
  'constant report': ('baselines', 'constant'),
  'nearest study': ('baselines', 'retrieval'),
}


def read_test(path: Path) -> dict:
  """The content of a run's test.json.

  Raises:
    ValueError: there is none.
  """
  file = path / 'evaluation' / 'test.json' if path.is_dir() else path
  try:
    return json.loads(file.read_text())
  except (OSError, ValueError) as error:
    raise ValueError(
      f'{file} cannot be read ({error}): expected a workdir that main.py has '
      'evaluated, or its evaluation/test.json'
    ) from None


def table(tests: list[dict]) -> str:
  """One Markdown table for runs on one data set, baselines first."""
  header = ['', *_COLUMNS]
  lines = [
    f'| {" | ".join(header)} |',
    f'| --- | {" | ".join("---:" for _ in _COLUMNS)} |',
  ]
  for name, (group, key) in _BASELINES.items():
    lines.append(_line(name, tests[0][group][key]))
  for test in tests:
    name = f'{test["variant"]}, seed {test["seed"]}'
    lines.append(_line(f'**{name}**', test))
    shuffled = test['controls']['shuffled_images']
    lines.append(_line(f'{name}, shuffled films', shuffled))
  return '\n'.join(lines)


def report(tests: list[dict]) -> str:
  """A table for each data set among the runs."""
  parts = []
  for dataset in dict.fromkeys(test['dataset'] for test in tests):
    group = [test for test in tests if test['dataset'] == dataset]
    findings = group[0]['findings']
    low, high = findings['micro_f1_interval']
    parts.append(
      f'## {dataset}\n\n{group[0]["studies"]} test studies; findings from '
      f'`{findings["source"]}`; checkpoints chosen on '
      f"{group[0]['selected_on']}. 95 % interval of the first run's micro F1: "
      f'{low:.3f} to {high:.3f}.\n\n{table(group)}\n'
    )
  return '\n'.join(parts)


def _line(name: str, row: dict) -> str:
  cells = (_cell(column(row)) for column in _COLUMNS.values())
  return f'| {name} | {" | ".join(cells)} |'


def _cell(value) -> str:
  if value is None:
    return '-'
  return str(value) if isinstance(value, int) else f'{value:.3f}'


def _place(row: dict, word: str) -> float | None:
  """Accuracy of side or zone words, where any finding was found."""
  findings = row['findings']
  return findings[f'{word}_accuracy'] if findings['counts'][word] else None


def main():
  """Prints the tables of the runs on the command line."""
  parser = argparse.ArgumentParser(
    prog='python -m cmn_jax.tables', description=__doc__.split('\n')[0]
  )
  parser.add_argument('runs', nargs='+', type=Path)
  try:
    tests = [read_test(path) for path in parser.parse_args().runs]
  except ValueError as error:
    sys.exit(f'error: {error}')
  print(report(tests))


if __name__ == '__main__':
  main()
