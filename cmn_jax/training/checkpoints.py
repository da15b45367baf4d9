"""Orbax checkpoints: `<step>/{model,train,meta}`, the latest and the best.

`model` holds parameters and batch statistics, `train` the optimizer's state
and the step, `meta` a JSON of all else that a reader needs. Evaluating and
predicting touch only `model` and `meta`.
"""

import importlib.metadata
import json
from collections.abc import Collection, Sequence
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from cmn_jax.training.distributed import log
from cmn_jax.training.meta_fields import Fields, fault_of
from cmn_jax.training.state import shapes_of
from configs import difference
from input_pipeline.atomic_write import write_text
from input_pipeline.errors import UserError, first_line
from input_pipeline.quiet import without_warnings

META_FORMAT = 3  # goes up when older checkpoints need to be read otherwise
_NO_TASK = 2
_PACKAGES = ('jax', 'flax', 'optax', 'orbax-checkpoint')


class CheckpointError(UserError):
  """A checkpoint is missing, or does not fit what was asked of it."""


class DamagedError(CheckpointError):
  """Files of a checkpoint are missing or cannot be read."""


def best_step(steps: Sequence[int], scores: dict[int, float]) -> int:
  """The first of the steps that score best."""
  return max(steps, key=lambda step: (scores[step], -step))


def score_of(meta: dict | None) -> float:
  """The validation score that chooses among a run's checkpoints.

  Where an older meta has none, it is the last of its history; that of a
  checkpoint between validations is minus infinity.
  """
  meta = meta or {}
  if 'score' in meta:
    return -np.inf if meta['score'] is None else float(meta['score'])
  rows = meta.get('history') or [{}]
  select_by = meta.get('config', {}).get('train', {}).get('select_by')
  return rows[-1].get('val', {}).get(select_by, -np.inf)


def read_scores(root: Path) -> dict[int, float]:
  """{step: score} of the checkpoints in a folder whose meta can be read."""
  scores = {}
  for step in steps_in(root):
    try:
      scores[step] = score_of(_read_json(root / str(step) / 'meta'))
    except Exception as error:
      log(f'left out: {_unreadable(root / str(step), error)}')
  return scores


def steps_in(root: Path) -> list[int]:
  """Steps of the complete checkpoints in a folder."""
  return [
    int(p.name)
    for p in (root.iterdir() if root.is_dir() else ())
    if p.name.isdigit() and (p / 'model').is_dir() and (p / 'meta').is_dir()
  ]


def make_meta(
  config: ConfigDict, history: list[dict], score: float | None, about: dict
) -> dict:
  """The JSON of a checkpoint: all that its parameters need to be used.

  Args:
    config: the whole one.
    history: a row for each epoch so far.
    score: on validation, by which checkpoints are chosen; None where it was
      not validated.
    about: what the task adds, such as its vocabulary.
  """
  return {
    'format': META_FORMAT,
    'task': config.task,
    'config': config.to_dict(),
    'history': history,
    'score': score,
    'versions': {p: importlib.metadata.version(p) for p in _PACKAGES},
    **about,
  }


def save_model(folder: Path | str, variables: dict, meta: dict):
  """Writes model/ and meta/ into a folder that has neither."""
  folder = Path(folder).absolute()
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(folder / 'model', variables)
  with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as checkpointer:
    checkpointer.save(folder / 'meta', meta)


def replace_meta(step_folder: Path, meta: dict) -> None:
  """Puts another meta in the place of a checkpoint's, all at once."""
  (path,) = (step_folder / 'meta').glob('*metadata')
  write_text(path, json.dumps(meta))


def find_step(folder: Path | str, without: Collection[int] = ()) -> Path:
  """The folder of one step: DIR may be a workdir, its checkpoints, or a step.

  Of several it is the best by validation.

  Args:
    folder: DIR.
    without: steps that are not looked at.

  Raises:
    CheckpointError: nothing complete was found there.
  """
  folder = Path(folder).absolute()
  if (folder / 'model').is_dir() and (folder / 'meta').is_dir():
    return folder
  root = folder / 'checkpoints'
  root = root if root.is_dir() else folder
  scores = read_scores(root)
  scores = {step: x for step, x in scores.items() if step not in without}
  if not scores:
    below = sorted(path.parent.name for path in folder.glob('*/checkpoints'))
    if below:
      raise CheckpointError(
        f'{folder} is not one run: name the folder in it, {", ".join(below)}'
      )
    raise CheckpointError(
      f'no checkpoint in {folder}: expected a workdir with '
      'checkpoints/<step>/, or a folder that holds model/ and meta/; train one '
      'with main.py'
    )
  step = best_step(list(scores), scores)
  if scores[step] == -np.inf:
    raise CheckpointError(
      f'no checkpoint in {root} has been validated yet: give the command '
      'that trains it again, or name the step'
    )
  return root / str(step)


def latest_folder(workdir: Path) -> Path | None:
  """The folder of the newest complete checkpoint of a run, None before one."""
  root = Path(workdir).absolute() / 'checkpoints'
  steps = steps_in(root)
  return root / str(max(steps)) if steps else None


def load_model(step_folder: Path) -> tuple[dict, dict]:
  """Variables {'params', 'batch_stats'} as numpy arrays, and the meta.

  Raises:
    CheckpointError: the files are damaged or of another format.
  """
  meta = load_meta(step_folder)
  try:
    variables = read_arrays(step_folder / 'model')
  except Exception as error:
    raise _unreadable(step_folder, error) from error
  return {'batch_stats': {}, **variables}, meta


def read_arrays(folder: Path) -> dict:
  """The tree of numpy arrays in a checkpoint's model/ or train/."""
  # Orbax misses a file that its manager does not write for an item.
  with without_warnings(), ocp.StandardCheckpointer() as checkpointer:
    tree = checkpointer.metadata(folder).item_metadata.tree
    return checkpointer.restore(folder, as_numpy(tree))


def load_meta(step_folder: Path) -> dict:
  """The meta of a step, as this version writes it.

  Raises:
    CheckpointError: it is damaged or of another format.
  """
  try:
    meta = _read_json(step_folder / 'meta')
  except Exception as error:
    raise _unreadable(step_folder, error) from error
  return checked_meta(meta, step_folder)


def checked_meta(meta: object, where: Path) -> dict:
  """A meta as this version writes it.

  Raises:
    CheckpointError: it is of another format, or no meta.
  """
  found = meta.get('format') if isinstance(meta, dict) else None
  if found not in (_NO_TASK, META_FORMAT):
    raise CheckpointError(
      f'{where}/meta is of format {found}, this version reads format '
      f'{META_FORMAT}: train or convert again'
    )
  try:
    meta = _completed(_with_task(meta) if found == _NO_TASK else meta)
    fault = fault_of(meta)
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    fault = f'{type(error).__name__} {str(error)[:200]}'
  if fault:
    raise DamagedError(f'{where}/meta is no meta of a checkpoint: {fault}')
  return Fields(meta, f'{where}/meta')


def _unreadable(step_folder: Path, error: Exception) -> CheckpointError:
  """What to say of a checkpoint that cannot be read."""
  said = first_line(error)
  denied = isinstance(error, PermissionError) or 'PERMISSION' in said
  kind = CheckpointError if denied else DamagedError
  return kind(f'cannot read the checkpoint {step_folder}: {said}')


def _completed(meta: dict) -> dict:
  """A meta whose config has every field of today."""
  if 'config' not in meta:  # An encoder alone.
    return meta
  meta = {**meta, 'config': difference.completed(meta['config'])}
  if 'classifier' in meta:
    about = meta['classifier']
    report = _completed(about['report_model'])
    meta['classifier'] = {**about, 'report_model': report}
  return meta


def _with_task(meta: dict) -> dict:
  """A meta of format 2, which named task and row by one 'variant'."""
  if 'config' not in meta:  # An encoder alone.
    return {**meta, 'format': META_FORMAT}
  config = dict(meta['config'])
  variant = config.pop('variant')
  task = 'classify' if 'classifier' in meta else 'report'
  config |= {'task': task, 'name': variant, 'named': f':{variant}'}
  meta = {**meta, 'task': task, 'config': config, 'format': META_FORMAT}
  if task == 'classify':
    about = meta['classifier']
    meta['classifier'] = {
      **about,
      'report_model': _with_task({**about['report_model'], 'format': _NO_TASK}),
    }
  return meta


def as_numpy(tree):
  """An abstract tree that Orbax restores as numpy arrays."""
  return jax.tree.map(lambda x: np.empty(x.shape, x.dtype), tree)


def _read_json(folder: Path):
  if not folder.is_dir():
    return None
  with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as checkpointer:
    return checkpointer.restore(folder)


def check_same_shapes(variables, expected, what: str):
  """Raises CheckpointError that lists every array that does not fit."""
  have, want = shapes_of(variables), shapes_of(expected)
  faults = [f'{k} is missing' for k in sorted(want.keys() - have.keys())]
  faults += [f'{k} is surplus' for k in sorted(have.keys() - want.keys())]
  faults += [
    f'{k} is {have[k]} where {want[k]} is expected'
    for k in sorted(have.keys() & want.keys())
    if have[k] != want[k]
  ]
  if faults:
    shown = '; '.join(faults[:8])
    more = f'; and {len(faults) - 8} more' if len(faults) > 8 else ''
    raise CheckpointError(f'{what} does not fit the model: {shown}{more}')
