"""Evaluated runs as they lie on disk: scores, and predictions if kept."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from input_pipeline.errors import UserError

PAIRED = 'paired_tests'  # key of a file of paired tests
# What the tables read of every run, and of either kind.
_KEYS = ('dataset', 'variant', 'seed', 'studies', 'baselines')
_CLASSIFIER_KEYS = (
  'inputs',
  'task',
  'per_class',
  'labels.source',
  'labels.classes',
  'labels.rare',
  'labels.rare_below',
)
_REPORT_KEYS = (
  'selected_on',
  'controls',
  'findings.source',
  'findings.micro_f1_interval',
  'findings.per_class',
)


class Run(NamedTuple):
  """A run's test.json, and its predictions where they are."""

  path: Path
  test: dict
  predictions: list[dict] | None


def read_runs(path: Path) -> list[Run]:
  """The run at `path`, or all the seeds' runs in it.

  Raises:
    UserError: there is none, it cannot be read, it is of another split, or
      lacks what the tables need.
  """
  seeds = sorted(path.glob('seed_*')) if path.is_dir() else []
  if seeds and not (path / 'evaluation').exists():
    return [run for seed in seeds for run in read_runs(seed)]
  if not path.is_dir():
    return [Run(path, _read_test(path), None)]
  folder = path / 'evaluation'
  predictions = folder / 'test_predictions.json'
  return [
    Run(
      path,
      _read_test(folder / 'test.json'),
      _read(predictions) if predictions.exists() else None,
    )
  ]


def _read(file: Path):
  try:
    return json.loads(file.read_text())
  except (OSError, ValueError) as error:
    raise UserError(
      f'{file} cannot be read ({error}): expected a workdir that main.py has '
      'evaluated, or its evaluation/test.json'
    ) from None


def _read_test(file: Path) -> dict:
  test = _read(file)
  known = 'findings', 'f1_weighted', PAIRED
  if not isinstance(test, dict) or not any(key in test for key in known):
    raise UserError(
      f'{file} holds no scores of a run: expected the evaluation/test.json '
      'that main.py writes, or what --save_tests wrote'
    )
  if PAIRED in test:
    return test
  if test.get('split', 'test') != 'test':
    raise UserError(
      f'{file} holds the scores of {test["split"]}: the tables are of test'
    )
  keys = _CLASSIFIER_KEYS if is_classifier(test) else _REPORT_KEYS
  missing = [key for key in (*_KEYS, *keys) if not _has(test, key)]
  if missing:
    raise UserError(
      f'{file} lacks {", ".join(missing)}, as an older version wrote it: run '
      'main.py again with --mode=evaluate and the same flags'
    )
  return test


def _has(test: Mapping, dotted: str) -> bool:
  for key in dotted.split('.'):
    if not isinstance(test, Mapping) or key not in test:
      return False
    test = test[key]
  return True


def is_classifier(test: Mapping) -> bool:
  """Whether a test.json is a classifier's."""
  return 'f1_weighted' in test
