"""Predictions of other programs, scored as our own are, never among them.

ReXrank's form is an object by study id, each with model_prediction. RadEval's
is JSON {references, hypotheses}, JSONL of {ref, hyp} or CSV with the columns
reference, hypothesis: it has no ids, so that its rows stand in the order of
the run's studies, and its references must be theirs. Ours is a list of
{id, prediction}, in words, as a run's evaluation/test_predictions.json.
"""

import csv
import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from cmn_jax.comparison.runs import Run
from cmn_jax.scores.meteor import meteor_java
from cmn_jax.scores.results import is_classifier
from cmn_jax.scores.scoring import SplitScorer
from input_pipeline.errors import UserError, reason
from input_pipeline.findings_reader import PHANTOM, FindingsReader
from input_pipeline.layouts.rows import DoubledNameError, without_doubles
from input_pipeline.tokenizers import UNKNOWN, clean_mimic_cxr

_FORMS = (
  "ReXrank's object {id: {model_prediction}}, RadEval's references and "
  "hypotheses as .json, .jsonl or .csv, or a run's own *_predictions.json"
)
# How many ids a message names.
_NAMED = 3


class Prediction(NamedTuple):
  """One report of another program.

  Attributes:
    id: None in RadEval's forms.
    reference: None in the others.
    text: the report, not empty.
    is_words: whether it is of our own form, in words as we score them.
  """

  id: str | None
  reference: str | None
  text: str
  is_words: bool = False


class _Study(NamedTuple):
  """A study of a run, as the scorer takes it."""

  id: str
  report: str
  reference: str
  findings: None


def read_predictions(file: Path) -> list[Prediction]:
  """Reads ReXrank's or RadEval's form, or that of our own runs.

  Raises:
    UserError: the file is of no such form, or a prediction in it is empty.
  """
  try:
    text = file.read_text('utf-8')
    if file.suffix == '.csv':
      rows = list(csv.DictReader(text.splitlines()))
      found = _pairs(rows, 'reference', 'hypothesis')
    elif file.suffix == '.jsonl':
      rows = [json.loads(line) for line in text.splitlines() if line.strip()]
      found = _pairs(rows, 'ref', 'hyp')
    else:
      found = _of_json(json.loads(text, object_pairs_hook=without_doubles))
  except UserError as error:
    raise UserError(f'{file}: {error}') from None
  except DoubledNameError as error:
    raise UserError(f'{file}: {error}: expected each study once') from None
  except OSError as error:
    raise UserError(f'{file} cannot be read: {reason(error)}') from None
  except Exception as error:  # Files of others raise all there is.
    raise UserError(
      f'{file} holds no predictions ({repr(error)[:200]}): expected {_FORMS}'
    ) from None
  if not found:
    raise UserError(f'{file} holds no predictions: expected {_FORMS}')
  for n, prediction in enumerate(found):
    if not isinstance(prediction.text, str) or not prediction.text.strip():
      raise UserError(
        f'{file} has an empty prediction for '
        f'{prediction.id or f"row {n + 1}"}: expected a report for each study'
      )
  return found


def _pairs(rows, reference: str, hypothesis: str) -> list[Prediction]:
  return [Prediction(None, row[reference], row[hypothesis]) for row in rows]


def _of_json(content) -> list[Prediction]:
  if isinstance(content, list):  # A run's own evaluation/*_predictions.json.
    if not all(isinstance(row['id'], str) for row in content):
      raise TypeError('an id that is no text')
    return [
      Prediction(row['id'], None, row['prediction'], True) for row in content
    ]
  if content.keys() >= {'references', 'hypotheses'}:
    lists = content['references'], content['hypotheses']
    if len(lists[0]) != len(lists[1]):
      raise UserError(
        f'{len(lists[0])} references and {len(lists[1])} hypotheses: expected '
        'one of each for a study'
      )
    return [Prediction(None, *pair) for pair in zip(*lists, strict=True)]
  return [
    Prediction(id_, None, study['model_prediction'])
    for id_, study in content.items()
  ]


class Matched(NamedTuple):
  """Another program's reports of a run's test studies, in their order.

  Attributes:
    name: of its row.
    run: lends the studies, with their references.
    words: the report of each, cleaned and cut as references are.
  """

  name: str
  run: Run
  words: list[str]


def match_predictions(name: str, file: Path, runs: Sequence[Run]) -> Matched:
  """Another program's predictions beside the studies of a run.

  Args:
    name: of the row.
    file: of predictions; see `read_predictions`.
    runs: ours; that one whose studies the file has lends its references.

  Raises:
    UserError: the file cannot be read, or has missing, surplus or doubled
      studies, or no run has predictions of its own to take studies from.
  """
  predictions = read_predictions(file)
  ours = [
    run
    for run in runs
    if run.predictions is not None and not is_classifier(run.results)
  ]
  if not ours:
    raise UserError(
      f'--predictions {name} needs the references of a run: name the workdir '
      'of a report model, with its evaluation/test_predictions.json, in --runs'
    )
  run = max(ours, key=lambda run: _common(predictions, run))
  if run.results['findings']['source'] == PHANTOM:
    raise UserError(
      f'--predictions {name}: {run.path} is of drawn images, whose findings '
      'are known to the program that drew them; expected a run on real reports'
    )
  length = run.results['references']['reference_length'] - 1  # without a 0
  rare = _rare_words(run)
  words = [
    p.text if p.is_words else _as_references(p.text, rare, length)
    for p in _matched(file, predictions, run)
  ]
  return Matched(name, run, words)


def _as_references(text: str, rare: Collection[str], length: int) -> str:
  """Cleaned, cut, and with `<unk>` for rare words, as references are."""
  words = _cleaned(text)[:length]
  return ' '.join(UNKNOWN if word in rare else word for word in words)


def _rare_words(run: Run) -> set[str]:
  """What the references of a run have `<unk>` for: rare in training."""
  return {
    word
    for row in run.predictions
    for word, said in zip(
      _cleaned(row['report']), row['reference'].split(), strict=False
    )
    if said == UNKNOWN
  }


def _cleaned(text: str) -> list[str]:
  """Words; MIMIC's cleaning is IU X-Ray's, and joins lines."""
  return clean_mimic_cxr(text).split()


def scores_of(matched: Matched) -> dict:
  """Scores of another program's reports, as `SplitScorer` gives them.

  With its name, and the data set and split of the run that lends references.

  Raises:
    UserError: that run was evaluated by another version.
  """
  run = matched.run
  reader = FindingsReader(run.results['findings']['source'])
  studies = [
    _Study(row['id'], row['report'], row['reference'], None)
    for row in run.predictions
  ]
  for study, row in zip(studies, run.predictions, strict=True):
    if reader.labels_of_study(study) != set(row['reference_findings']):
      raise UserError(
        f'{run.path} was evaluated by another version, which read the findings '
        f'of {study.id} otherwise: run main.py again with --mode=evaluate'
      )
  score = SplitScorer(studies, reader, bootstrap=0)
  scores = score(matched.words, meteor=meteor_java)
  shared = 'dataset', 'split_digest', 'studies', 'references'
  return {
    **scores,
    'name': matched.name,
    'task': 'report',
    **{key: run.results[key] for key in shared},
  }


def _common(predictions, run: Run) -> int:
  """How many studies of a file a run has, by id or by place."""
  ids = {row['id'] for row in run.predictions}
  return sum(
    prediction.id in ids
    if prediction.id is not None
    else _same_text(prediction, row)
    for prediction, row in zip(predictions, run.predictions, strict=False)
  )


def _same_text(prediction: Prediction, row: dict) -> bool:
  """Whether a reference of RadEval's form is the study's, raw or cleaned."""
  clean = [
    _cleaned(text)
    for text in (prediction.reference, row['report'], row['reference'])
  ]
  return clean[0] in clean[1:]


def _matched(file: Path, predictions, run: Run) -> list[Prediction]:
  """The predictions in the order of the run's studies, all of them."""
  rows = run.predictions
  if predictions and predictions[0].id is None:
    if len(predictions) != len(rows):
      raise UserError(
        f'{file} has {len(predictions)} rows, {run.path} has {len(rows)} '
        'studies: expected one row for each study, in the same order'
      )
    for n, (prediction, row) in enumerate(zip(predictions, rows, strict=True)):
      if not _same_text(prediction, row):
        raise UserError(
          f'{file}: the reference of row {n + 1} is not that of study '
          f'{row["id"]!r}: expected the order of {run.path}'
        )
    return predictions
  by_id = {prediction.id: prediction for prediction in predictions}
  ids = {row['id'] for row in rows}
  missing = [row['id'] for row in rows if row['id'] not in by_id]
  surplus = [id_ for id_ in by_id if id_ not in ids]
  counts = Counter(prediction.id for prediction in predictions)
  doubled = [id_ for id_, count in counts.items() if count > 1]
  wrong = [
    f'{len(found)} {what} ({", ".join(found[:_NAMED])}'
    f'{", ..." if len(found) > _NAMED else ""})'
    for what, found in (
      ('missing', missing),
      ('surplus', surplus),
      ('doubled', doubled),
    )
    if found
  ]
  if wrong:
    raise UserError(
      f'{file} does not have the {len(rows)} test studies of {run.path}: '
      f'{" and ".join(wrong)}; expected exactly these'
    )
  return [by_id[row['id']] for row in rows]
