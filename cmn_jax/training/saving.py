"""Saving a run in the background, and reading back what a stopped one left.

Between validations a run is saved without a score; such a checkpoint is there
to be resumed from, and goes with the next.
"""

import contextlib
import copy
import errno
import os
import re
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp

from cmn_jax.training import distributed
from cmn_jax.training.checkpoints import (
  CheckpointError,
  DamagedError,
  as_numpy,
  best_step,
  load_meta,
  load_model,
  read_arrays,
  read_scores,
  replace_meta,
  score_of,
  steps_in,
)
from cmn_jax.training.distributed import log
from cmn_jax.training.state import TrainState, init_state
from input_pipeline.errors import UserError, first_line

# Where a damaged checkpoint is moved to, beside the folder of the whole ones.
DAMAGED = 'damaged_checkpoints'
_SYSTEM = re.compile(
  '|'.join(
    os.strerror(number)
    for number in (
      *(errno.ENOSPC, errno.EDQUOT, errno.EROFS),
      *(errno.EACCES, errno.EPERM, errno.EIO),
    )
  )
)


class _LatestAndBest:
  """Preserves the newest checkpoint and the first of those that score best.

  Orbax stores no metrics with such a policy, so the scores come from the metas:
  a resumed run knows its best checkpoint as one that was never stopped.
  """

  def __init__(self, scores: dict[int, float]):
    self.scores = scores

  def should_preserve(self, checkpoints: Sequence[Any], *, context):
    del context
    steps = [c.step for c in checkpoints]
    return [step in self.of(steps) for step in steps]

  def of(self, steps: Collection[int]) -> set[int]:
    """Those that are kept."""
    scored = [step for step in steps if self.scores[step] > -np.inf]
    best = {best_step(scored, self.scores)} if scored else set()
    return best | {max(steps)} if steps else set()


class Checkpoints:
  """The checkpoints of one run, written in the background."""

  def __init__(self, workdir: Path | str):
    root = Path(workdir).absolute() / 'checkpoints'
    self._policy = _LatestAndBest(read_scores(root))
    self._saved = time.monotonic()
    self._manager = ocp.CheckpointManager(
      root,
      options=ocp.CheckpointManagerOptions(
        preservation_policy=self._policy,
        enable_async_checkpointing=True,
      ),
    )
    # A process that was killed behind a save may have left what went with it.
    self._remove_surplus()

  @property
  def latest_step(self) -> int | None:
    """Step of the newest complete checkpoint."""
    return self._manager.latest_step()

  @property
  def seconds_since_save(self) -> float:
    """Since the last save of this process, or since it began."""
    return time.monotonic() - self._saved

  def save(self, step: int, state: TrainState, meta: dict) -> None:
    """Saves in the background; the meta's 'score' says which is best.

    Raises:
      UserError: this save or the one before cannot be written.
    """
    self._policy.scores[step] = score_of(meta)
    with self._sentence():
      if step in self._manager.all_steps():
        self._complete(step, meta)
      else:
        self._manager.save(
          step,
          args=ocp.args.Composite(
            model=ocp.args.StandardSave(_writable(state.variables)),
            train=ocp.args.StandardSave(_writable(_train_item(state))),
            # Written later, when who gave it may have changed it.
            meta=ocp.args.JsonSave(copy.deepcopy(meta)),
          ),
        )
    self._saved = time.monotonic()

  def _complete(self, step: int, meta: dict) -> None:
    """What was saved before its validation: the meta alone is new."""
    self._manager.wait_until_finished()
    if distributed.is_first():
      replace_meta(self._manager.directory / str(step), meta)
    self._remove_surplus()

  def _remove_surplus(self) -> None:
    steps = set(self._manager.all_steps())
    if steps <= self._policy.scores.keys():
      for step in steps - self._policy.of(steps):
        self._manager.delete(step)

  def restore(
    self,
    variables: dict,
    optimizer: optax.GradientTransformation,
    frozen: Sequence[str],
  ) -> TrainState:
    """The whole state of the newest checkpoint, as numpy arrays.

    Args:
      variables: of it, as `load_model` reads them.
      optimizer: whose state was saved.
      frozen: paths of what is not trained.
    """
    state = jax.eval_shape(
      lambda tree: init_state(tree, optimizer, frozen), variables
    )
    restored = self._manager.restore(
      self.latest_step,
      args=ocp.args.Composite(
        train=ocp.args.StandardRestore(as_numpy(_train_item(state))),
      ),
    )
    whole = init_state(variables, optax.identity(), frozen)
    return whole.replace(**restored.train)

  def wait(self):
    """Blocks until what was saved is on disk; UserError as for `save`."""
    with self._sentence():
      self._manager.wait_until_finished()

  def close(self):
    """Waits and frees the manager; UserError as for `save`."""
    with self._sentence():
      self._manager.close()

  @contextlib.contextmanager
  def _sentence(self) -> Iterator[None]:
    """Failed writes, some of them an earlier save's, as a UserError."""
    try:
      yield
    except (OSError, ValueError) as error:
      # Orbax's files are written by tensorstore, whose errors are ValueErrors.
      whole = steps_in(self._manager.directory)
      last = f'that of step {max(whole)} is whole' if whole else 'there is none'
      raise UserError(
        f'cannot write a checkpoint into {self._manager.directory} ({last}): '
        f'{_reason(error)}; mend it and give the same command again'
      ) from error


def _train_item(state: TrainState):
  return {'step': state.step, 'opt_state': state.opt_state}


def _writable(tree):
  """What Orbax can save: of several processes, each has its own copy."""
  if jax.process_count() == 1:
    return tree
  return jax.tree.map(np.asarray, tree)


def set_aside_damaged(workdir: Path) -> None:
  """Moves checkpoints that cannot be read out of the way of a resumed run.

  The newest ones are read whole, until one is; of those before it the meta
  alone. Each damaged one is named on stderr and moved to another folder.
  """
  root, whole = Path(workdir).absolute() / 'checkpoints', False
  # All processes read: Orbax makes them wait for each other.
  steps = [int(p.name) for p in root.glob('*') if p.name.isdigit()]
  for step in sorted(steps, reverse=True):
    path = root / str(step)
    reason = _damage(path, arrays=not whole)
    damaged = distributed.any_says(reason is not None)
    if damaged and distributed.is_first():
      to = root.parent / DAMAGED / f'{step}-{time.time_ns()}'
      to.parent.mkdir(exist_ok=True)
      path.rename(to)
      log(f'{path} is damaged ({reason}): moved to {to}')
    whole = whole or not damaged
  distributed.wait_for_all()


def _damage(path: Path, arrays: bool) -> str | None:
  """What is wrong with a checkpoint; None where all of it can be read.

  Raises:
    CheckpointError: it is of another format, or not ours to read.
  """
  parts = ('model', 'train', 'meta')
  missing = [name for name in parts if not (path / name).is_dir()]
  if missing:
    return f'it lacks {" and ".join(missing)}/'
  try:
    if arrays:
      load_model(path)
      read_arrays(path / 'train')
    else:
      load_meta(path)
  except CheckpointError as error:
    if not isinstance(error, DamagedError) or distributed.of_another(error):
      raise
    return first_line(error.__cause__ or error)
  except Exception as error:
    if distributed.of_another(error):
      raise
    return first_line(error)
  return None


def _reason(error: BaseException) -> str:
  """What the system said, within what Orbax says, or its first line."""
  said = _SYSTEM.search(str(error))
  return said[0] if said else first_line(error)
