"""The card of a model that travels: what it is, how good, who may use it."""

import json
from collections.abc import Mapping

from cmn_jax.scores.catalogue import (
  CLASS_SCORES,
  REPORT_SCORES,
  beside,
  value_of,
)
from cmn_jax.scores.results import is_classifier
from input_pipeline.errors import UserError
from input_pipeline.layouts.mimic_cxr import LICENCE as MIMIC_LICENCE
from input_pipeline.study import OPENI_LICENCE

_NOT_OURS = 'Such weights are not ours to give away.'
# By the beginning of a data set's name; those that forbid come with _NOT_OURS.
_LICENCES = {
  'iu_xray': f'{OPENI_LICENCE} {_NOT_OURS}',
  'mimic_cxr': f'{MIMIC_LICENCE} {_NOT_OURS}',
  'phantom': 'Films and reports were drawn by a program, of no patient.',
}
_UNKNOWN = (
  'Unknown here: that of the films and reports it was trained on. Whoever '
  'passes the weights on has to know it.'
)


def licence_of(dataset: str) -> str:
  """What may be done with weights trained on a data set, in a sentence."""
  return next(
    (said for name, said in _LICENCES.items() if dataset.startswith(name)),
    _UNKNOWN,
  )


def check_may_push(dataset: str) -> None:
  """Raises UserError where a data set's licence forbids it."""
  said = licence_of(dataset)
  if said.endswith(_NOT_OURS):
    raise UserError(
      f'--push is refused: it was trained on {dataset}. {said} Leave --push '
      'out to write the folder alone'
    )


def card_of(meta: Mapping, results: Mapping | None) -> str:
  """README.md of a checkpoint.

  Args:
    meta: of it.
    results: the content of evaluation/test.json, None where it was never
      evaluated.
  """
  config, dataset = meta['config'], meta['dataset']
  fields = {
    'library_name': 'cmn_jax',
    'license': 'other',
    'tags': ['chest x-ray', 'radiology', meta['task']],
  }
  head = '\n'.join(f'{name}: {json.dumps(x)}' for name, x in fields.items())
  epochs = meta['history'][-1]['epoch'] if meta.get('history') else 0
  return f"""---
{head}
---
# {config['name']} on {dataset}

A model of the task `{meta['task']}` in JAX ({config['named']}, seed
{config['seed']}): {config['model']['encoder']} at
{config['data']['image_size']} pixels, {config['data']['views']} films of a
study, {epochs} epochs on {dataset}. The encoder started from
{meta.get('encoder_start', 'an unknown state')}; its licence holds too.

    python -m cmn_jax.predict --checkpoint THIS_FOLDER --image film.png

## Scores

{_scores(results)}

## Data and licence

{licence_of(dataset)}

## Intended use

Research on report generation. **Not for clinical use**: it states findings that
are not there and misses some that are, and nobody has tested it on patients.
On films unlike those of its training (other machines, ages, body parts) what it
says means nothing; `predict` warns of most of them, not of all.
"""


def _scores(results: Mapping | None) -> str:
  if results is None:
    return 'It was not evaluated, or its scores did not travel with it.'
  scores = CLASS_SCORES if is_classifier(results) else REPORT_SCORES
  rows = {'this model': results, **beside(results)}
  scores = [
    score
    for score in scores
    if score.terminal and value_of(results, score) is not None
  ]
  lines = [['', *(score.label for score in scores)]]
  lines += [['---'] * len(lines[0])]
  for name, row in rows.items():
    lines.append([name, *(s.text(value_of(row, s)) for s in scores)])
  table = '\n'.join(f'| {" | ".join(line)} |' for line in lines)
  constant = (
    'Always No Finding says that of every study'
    if is_classifier(results)
    else 'The constant report is one training report for every study'
  )
  return (
    f'{table}\n\n{results["studies"]} {results["split"]} studies, split '
    f'{results["split_source"]}. {constant}: what does not beat it has learnt '
    'little.'
  )
