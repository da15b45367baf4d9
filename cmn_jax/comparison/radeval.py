"""RadEval's scores of the reports of runs, where that package is installed.

BLEU and ROUGE read the words that we score; its neural scores read prose, and
the references as they were written. Names and directions of its scores are its
own: radcliq_v1 is turned over there, so that higher is better.
"""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence

from cmn_jax.comparison.exports import EMPTY, prose
from cmn_jax.comparison.others import Matched
from cmn_jax.comparison.rows import (
  check_distinct,
  grouped,
  rows_of,
  seeds_note,
  split_note,
  table_key,
)
from cmn_jax.comparison.runs import Run
from cmn_jax.comparison.table import (
  BASELINE,
  OTHERS,
  RUN,
  Cell,
  Row,
  Table,
  cell_of,
)
from cmn_jax.scores.catalogue import Score
from cmn_jax.scores.results import is_classifier
from input_pipeline.errors import UserError

_ON_WORDS = ('bleu', 'rouge')
# Those that run without a key: the last two fetch what is in no cache of
# Hugging Face, or have seven billion parameters.
_METRICS = (
  *_ON_WORDS,
  'bertscore',
  'radeval_bertscore',
  'f1chexbert',
  'radgraph',
  'ratescore',
  'radcliq',
  'srrbert',
  'temporal',
  'green',
)
_DEFAULT = _METRICS[:-2]
_OFFLINE = 'HF_HUB_OFFLINE'


@dataclasses.dataclass
class _Row:
  """A line of a table: reports, and what RadEval said of them.

  Attributes:
    name: of the line.
    kind: of the line; see `table`.
    seeds: for each seed, rows of test_predictions.json.
    cells: by RadEval's key.
  """

  name: str
  kind: str
  seeds: list[list[Mapping]]
  cells: dict[str, Cell] = dataclasses.field(default_factory=dict)


def radeval_tables(
  runs: Sequence[Run], others: Sequence[Matched], metrics: Sequence[str] = ()
) -> tuple[list[Table], list[str]]:
  """A table for each set of test studies, and what was left out.

  Args:
    runs: ours; those without predictions are left out, as classifiers are.
    others: reports of other programs.
    metrics: by their names there; by default those that need no more than
      the cache of Hugging Face.

  Returns:
    The tables, and a sentence for each metric that could not be computed, as
    without its weights: they are taken from Hugging Face's cache, and fetched
    only if HF_HUB_OFFLINE is 0.

  Raises:
    UserError: radeval is not installed or has no such metric, no run has its
      reports beside it, or two runs are the same.
  """
  ours = [r for r in runs if r.predictions and not is_classifier(r.results)]
  if not ours:
    raise UserError(
      '--radeval needs the reports themselves: name in --runs the workdir of a '
      'report model, with its evaluation/test_predictions.json'
    )
  check_distinct([run.results for run in ours])
  if unknown := [metric for metric in metrics if metric not in _METRICS]:
    raise UserError(
      f'--radeval {unknown[0]}: expected some of {", ".join(_METRICS)}, or '
      'none for all whose weights are at hand'
    )
  # Before its first import, which reads it.
  os.environ.setdefault(_OFFLINE, '1')
  try:
    from radeval import RadEval
  except ImportError as error:
    raise UserError(
      f"--radeval needs that package ({error}): pip install '.[radeval]' in a "
      'checkout of cmn_jax'
    ) from None
  groups = grouped([run.results for run in ours], table_key)
  tables = [_rows(group, ours, others) for group in groups]
  rows = [row for of_table in tables for row in of_table]
  left_out = []
  for metric in metrics or _DEFAULT:
    try:
      # What it and its models print is no table.
      with contextlib.redirect_stdout(sys.stderr):
        scorer = RadEval(metrics=[metric], show_progress=False)
        found = [_scored(scorer, metric, row) for row in rows]
    except Exception as error:  # Models of others raise all there is.
      left_out.append(
        f"RadEval's {metric} was left out ({_short(error)}): where its weights "
        f'are lacking, {_OFFLINE}=0 before this command fetches them'
      )
      continue
    for row, cells in zip(rows, found, strict=True):
      row.cells.update(cells)
  tables = [
    _table(group, rows)
    for group, rows in zip(groups, tables, strict=True)
    if rows[0].cells
  ]
  return tables, left_out


def _rows(group, runs, others) -> list[_Row]:
  """The constant report, the runs of a table, other programs."""
  by_results = {id(run.results): run.predictions for run in runs}
  studies = by_results[id(group[0])]
  rows = []
  if constant := group[0]['baselines']['constant'].get('report'):
    same = [{**study, 'prediction': constant} for study in studies]
    rows.append(_Row('constant report', BASELINE, [same]))
  rows += [
    _Row(name, RUN, [by_results[id(results)] for results in of_row])
    for name, of_row in rows_of(group).items()
  ]
  for other in others:
    if table_key(other.run.results) == table_key(group[0]):
      own = [
        {**study, 'prediction': words}
        for study, words in zip(other.run.predictions, other.words, strict=True)
      ]
      rows.append(_Row(f'{other.name} (not ours)', OTHERS, [own]))
  return rows


def _scored(scorer, metric: str, row: _Row) -> dict[str, Cell]:
  """A metric's numbers for a row, over its seeds."""
  on_words = metric in _ON_WORDS
  seeds = []
  for studies in row.seeds:
    # An empty text shifts the rows of some metrics.
    texts = [study['prediction'].strip() or EMPTY for study in studies]
    seeds.append(
      scorer(
        refs=[s['reference' if on_words else 'report'] for s in studies],
        hyps=texts if on_words else [prose(text) for text in texts],
      )
    )
  return {
    key: cell_of([one[key] for one in seeds], Score(key, key, digits=4))
    for key, value in seeds[0].items()
    if isinstance(value, int | float)
  }


def _short(error: Exception) -> str:
  lines = str(error).strip().splitlines()
  return f'{type(error).__name__}: {lines[0]}'[:160] if lines else repr(error)


def _table(group, rows: list[_Row]) -> Table:
  return Table(
    f"{group[0]['dataset']}: RadEval's scores",
    f'{split_note(group[0])}. Names and directions are its own; '
    f'{" and ".join(_ON_WORDS)} of the words that we score, all else of prose '
    f'and the references as they were written.{seeds_note(group)}',
    list(rows[0].cells),
    [Row(row.name, row.kind, list(row.cells.values())) for row in rows],
  )
