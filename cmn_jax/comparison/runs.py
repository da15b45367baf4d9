"""Evaluated runs as they lie on disk: workdirs, and saved scores of several."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cmn_jax.scores.results import (
  ClassifierResults,
  ReportResults,
  check_whole,
  without_extras,
)
from input_pipeline.atomic_write import write_text
from input_pipeline.errors import UserError, reason

_DIGITS = 5  # of saved scores, behind the point


class Run(NamedTuple):
  """A run's test.json, and its predictions where they lie beside it."""

  path: Path
  results: ReportResults | ClassifierResults
  predictions: list[dict] | None


class Saved(NamedTuple):
  """What a path holds.

  Attributes:
    runs: ours.
    paired_tests: between them.
    others: scores of other programs' predictions, never among ours.
  """

  runs: Sequence[Run]
  paired_tests: Sequence[dict] = ()
  others: Sequence[dict] = ()


def read_saved(path: Path) -> Saved:
  """The run at `path`, all seeds' runs in it, or what `save` has written.

  Raises:
    UserError: there is none, it cannot be read, it is of another split, or
      lacks what the tables need.
  """
  seeds = sorted(path.glob('seed_*')) if path.is_dir() else []
  if seeds and not (path / 'evaluation').exists():
    return Saved([run for s in seeds for run in read_saved(s).runs])
  if path.is_dir():
    folder = path / 'evaluation'
    predictions = folder / 'test_predictions.json'
    content = _checked(_read(folder / 'test.json'), folder / 'test.json')
    found = _read(predictions) if predictions.exists() else None
    return Saved([Run(path, content, found)])
  content = _read(path)
  if isinstance(content, dict) and content.keys() <= set(Saved._fields):
    runs = [
      Run(path, _checked(results, path), None)
      for results in content.get('runs', [])
    ]
    paired, others = (content.get(k, []) for k in ('paired_tests', 'others'))
    return Saved(runs, paired, [_checked_other(one, path) for one in others])
  return Saved([Run(path, _checked(content, path), None)])


def save(
  path: Path,
  runs: Sequence[Run],
  paired_tests: Sequence[dict],
  others: Sequence[dict] = (),
) -> None:
  """Writes the scores of runs, paired tests and others, for `read_saved`.

  Raises:
    UserError: the file is there already.
  """
  if path.exists():
    raise UserError(f'{path} exists: choose another --save')
  path.parent.mkdir(parents=True, exist_ok=True)
  content = {
    'runs': [_to_share(without_extras(run.results)) for run in runs],
    'paired_tests': list(paired_tests),
    'others': [without_extras(one) for one in others],
  }
  lists = []
  for key, values in content.items():
    lines = ',\n'.join(map(_lines, values))
    lists.append(f'"{key}": [\n{lines}\n]')
  write_text(path, '{\n' + ',\n'.join(lists) + '\n}\n')


def _to_share(results: dict) -> dict:
  """Without where on somebody's disk the folders of its config were."""
  config = {
    key: '/'.join(Path(value).parts[-2:]) if _is_absolute(value) else value
    for key, value in results['config'].items()
  }
  return {**results, 'config': config}


def _is_absolute(value) -> bool:
  return isinstance(value, str) and Path(value).is_absolute()


def _lines(content: dict) -> str:
  """JSON with a line for each key."""
  lines = [
    f'  {json.dumps(key)}: {json.dumps(_rounded(value), ensure_ascii=False)}'
    for key, value in content.items()
  ]
  return ' {\n' + ',\n'.join(lines) + '\n }'


def _rounded(value):
  if isinstance(value, dict):
    return {k: _rounded(v) for k, v in value.items()}
  if isinstance(value, list):
    return [_rounded(v) for v in value]
  return round(value, _DIGITS) if isinstance(value, float) else value


def _read(file: Path):
  try:
    return json.loads(file.read_text('utf-8'))
  except (OSError, ValueError) as error:
    raise UserError(
      f'{file} cannot be read ({reason(error)}): expected a workdir that '
      'main.py has evaluated, its evaluation/test.json, or what --save wrote'
    ) from None


def _checked(results, file: Path):
  if not isinstance(results, dict) or 'dataset' not in results:
    raise UserError(
      f'{file} holds no scores of a run: expected the evaluation/test.json '
      'that main.py writes, or what --save wrote'
    )
  check_whole(results, str(file))
  if results['split'] != 'test':
    raise UserError(
      f'{file} holds the scores of {results["split"]}: the tables are of test'
    )
  return results


def _checked_other(scores, file: Path):
  wanted = {'name', 'task', 'references', 'dataset', 'split_digest', 'studies'}
  if not isinstance(scores, dict) or not scores.keys() >= wanted:
    raise UserError(
      f'{file} holds predictions of others without all of '
      f'{", ".join(sorted(wanted))}: expected what --save wrote'
    )
  return scores
