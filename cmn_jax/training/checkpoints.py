"""Orbax checkpoints: `<step>/{model,train,meta}`, the latest and the best.

`model` holds parameters and batch statistics, `train` the optimizer's state
and the step, `meta` a JSON of all else that a reader needs. Evaluating and
predicting touch only `model` and `meta`.
"""

import contextlib
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flax
import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from ml_collections import ConfigDict

from cmn_jax.training.state import TrainState
from input_pipeline.errors import UserError

META_FORMAT = 2  # goes up when older checkpoints can no longer be read
_PACKAGES = ('jax', 'flax', 'optax', 'orbax-checkpoint')


class CheckpointError(UserError):
  """A checkpoint is missing, or does not fit what was asked of it."""


class _LatestAndBest:
  """Keeps the newest checkpoint and the first of those that score best."""

  def should_preserve(self, checkpoints: Sequence[Any], *, context):
    del context
    scores = [_score(c.metrics) for c in checkpoints]
    keep = [False] * len(checkpoints)
    if keep:
      keep[scores.index(max(scores))] = True
      keep[-1] = True
    return keep


def _score(metrics) -> float:
  return metrics['score'] if metrics else -np.inf


class Checkpoints:
  """The checkpoints of one run, written in the background."""

  def __init__(self, workdir: Path | str):
    self._manager = ocp.CheckpointManager(
      Path(workdir).absolute() / 'checkpoints',
      options=ocp.CheckpointManagerOptions(
        preservation_policy=_LatestAndBest(),
        enable_async_checkpointing=True,
      ),
    )

  @property
  def latest_step(self) -> int | None:
    """Step of the newest complete checkpoint."""
    return self._manager.latest_step()

  def save(self, step: int, state: TrainState, meta: dict, score: float):
    """Saves in the background; `score` (validation) says which is best."""
    self._manager.save(
      step,
      args=ocp.args.Composite(
        model=ocp.args.StandardSave(_writable(state.variables)),
        train=ocp.args.StandardSave(_writable(_train_item(state))),
        meta=ocp.args.JsonSave(meta),
      ),
      metrics={'score': score},
    )

  def meta(self, step: int) -> dict:
    """The meta of a step."""
    return self._manager.restore(
      step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())
    ).meta

  def restore(self, step: int, like: TrainState) -> TrainState:
    """The whole state of a step, as numpy arrays."""
    restored = self._manager.restore(
      step,
      args=ocp.args.Composite(
        model=ocp.args.StandardRestore(_as_numpy(like.variables)),
        train=ocp.args.StandardRestore(_as_numpy(_train_item(like))),
      ),
    )
    return like.replace(**restored.train, **restored.model)

  def wait(self):
    """Blocks until what was saved is on disk."""
    self._manager.wait_until_finished()

  def close(self):
    """Waits and frees the manager."""
    self._manager.close()


def _train_item(state: TrainState):
  return {'step': state.step, 'opt_state': state.opt_state}


def _writable(tree):
  """What Orbax can save: of several processes, each has its own copy."""
  if jax.process_count() == 1:
    return tree
  return jax.tree.map(np.asarray, tree)


def _as_numpy(tree):
  """An abstract tree that Orbax restores as numpy arrays."""
  return jax.tree.map(lambda x: np.empty(x.shape, x.dtype), tree)


def make_meta(
  config: ConfigDict,
  tokenizer,
  *,
  dataset: str,
  label_source: str,
  history: list[dict],
  finding_targets: Sequence[str] = (),
) -> dict:
  """The JSON of a checkpoint: all that its parameters need to be used."""
  return {
    'format': META_FORMAT,
    'config': config.to_dict(),
    'tokenizer': tokenizer.to_json(),
    'dataset': dataset,
    'label_source': label_source,
    'history': history,
    'finding_targets': list(finding_targets),
    'versions': {p: importlib.metadata.version(p) for p in _PACKAGES},
  }


def save_model(folder: Path | str, variables: dict, meta: dict):
  """Writes model/ and meta/ into a folder that has neither."""
  folder = Path(folder).absolute()
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(folder / 'model', variables)
  with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as checkpointer:
    checkpointer.save(folder / 'meta', meta)


def find_step(folder: Path | str, step: int | None = None) -> Path:
  """The folder of one step: DIR may be a workdir, its checkpoints, or a step.

  Without `step` it is the best by validation.

  Raises:
    CheckpointError: nothing complete was found there.
  """
  folder = Path(folder).absolute()
  if (folder / 'model').is_dir() and (folder / 'meta').is_dir():
    return folder
  root = folder / 'checkpoints'
  root = root if root.is_dir() else folder
  found = sorted(
    int(p.name)
    for p in (root.iterdir() if root.is_dir() else ())
    if p.name.isdigit() and (p / 'model').is_dir()
  )
  if not found:
    raise CheckpointError(
      f'no checkpoint in {folder}: expected a workdir with '
      'checkpoints/<step>/, or a folder that holds model/ and meta/; train one '
      'with main.py'
    )
  if step is None:
    scores = {n: _score(_read_json(root / str(n) / 'metrics')) for n in found}
    step = max(found, key=lambda n: (scores[n], -n))
  if step not in found:
    raise CheckpointError(
      f'no checkpoint of step {step} in {root}: there are {found}'
    )
  return root / str(step)


def load_model(step_folder: Path) -> tuple[dict, dict]:
  """Variables {'params', 'batch_stats'} as numpy arrays, and the meta.

  Raises:
    CheckpointError: the files are damaged or of another format.
  """
  try:
    meta = _read_json(step_folder / 'meta')
    with _without_warnings(), ocp.StandardCheckpointer() as checkpointer:
      tree = checkpointer.metadata(step_folder / 'model').item_metadata.tree
      variables = checkpointer.restore(step_folder / 'model', _as_numpy(tree))
  except Exception as error:
    reason = str(error).strip().split('\n')[0]
    raise CheckpointError(
      f'cannot read the checkpoint {step_folder}: {reason}'
    ) from error
  found = None if meta is None else meta.get('format')
  if found != META_FORMAT:
    raise CheckpointError(
      f'{step_folder}/meta is of format {found}, this version reads format '
      f'{META_FORMAT}: train or convert again'
    )
  return variables, meta


@contextlib.contextmanager
def _without_warnings():
  """Orbax misses a file that its manager does not write for an item."""
  before = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)
  try:
    yield
  finally:
    logging.set_verbosity(before)


def _read_json(folder: Path):
  if not folder.is_dir():
    return None
  with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as checkpointer:
    return checkpointer.restore(folder)


def check_same_shapes(variables, expected, what: str):
  """Raises CheckpointError that lists every array that does not fit."""
  have = _flat_shapes(variables)
  want = _flat_shapes(expected)
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


def _flat_shapes(tree) -> dict:
  flat = flax.traverse_util.flatten_dict(tree, sep='/')
  return {k: tuple(v.shape) for k, v in flat.items()}
