"""Evaluated runs as they lie on disk: scores, and predictions if kept."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PAIRED = 'paired_tests'  # key of a file of paired tests


class Run(NamedTuple):
  """A run's test.json, and its predictions where they are."""

  path: Path
  test: dict
  predictions: list[dict] | None


def read_runs(path: Path) -> list[Run]:
  """The run at `path`, or all the seeds' runs in it.

  Raises:
    ValueError: there is none.
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
    raise ValueError(
      f'{file} cannot be read ({error}): expected a workdir that main.py has '
      'evaluated, or its evaluation/test.json'
    ) from None


def _read_test(file: Path) -> dict:
  test = _read(file)
  known = 'findings', 'f1_weighted', PAIRED
  if not isinstance(test, dict) or not any(key in test for key in known):
    raise ValueError(
      f'{file} holds no scores of a run: expected the evaluation/test.json '
      'that main.py writes, or what --save_tests wrote'
    )
  return test


def is_classifier(test: Mapping) -> bool:
  """Whether a test.json is a classifier's."""
  return 'f1_weighted' in test
