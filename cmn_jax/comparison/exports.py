"""Predictions in the files that the field's clinical scorers read.

Their neural scores (RadGraph, CheXbert, GREEN, ...) need downloads of their
own, and so they run elsewhere, on these files.
"""

import json
import os
from collections.abc import Sequence

from input_pipeline.errors import UserError


def write_radeval(path: str | os.PathLike, predictions: Sequence[dict]) -> None:
  """Writes two lists in the same order, for RadEval.

  Args:
    path: a .json file: {references: [...], hypotheses: [...]}.
    predictions: dicts with id, reference and prediction.
  """
  _check_ids(predictions)
  _write(
    path,
    {
      'references': [p['reference'] for p in predictions],
      'hypotheses': [p['prediction'] for p in predictions],
    },
  )


def write_rexrank(path: str | os.PathLike, predictions: Sequence[dict]) -> None:
  """Writes a dict by study, for ReXrank.

  ReXrank scores against findings and impression together. Our references are
  findings alone, so the impression stays empty.

  Args:
    path: a .json file: {id: {report, section_findings, section_impression,
      model_prediction}}.
    predictions: dicts with id, reference and prediction.
  """
  _check_ids(predictions)
  studies = {
    p['id']: {
      'report': p['reference'],
      'section_findings': p['reference'],
      'section_impression': '',
      'model_prediction': p['prediction'],
    }
    for p in predictions
  }
  _write(path, studies)


def _check_ids(predictions):
  seen = set()
  for prediction in predictions:
    if prediction['id'] in seen:
      raise UserError(
        f'Study {prediction["id"]!r} is predicted twice: expected one report '
        'for each study. Export one split of one run.'
      )
    seen.add(prediction['id'])


def _write(path, content):
  with open(path, 'w', encoding='utf-8') as file:
    json.dump(content, file, ensure_ascii=False, indent=1)
