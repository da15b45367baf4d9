"""Batches of a task's studies, and functions run over all of them."""

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np
from ml_collections import ConfigDict

from cmn_jax.training import distributed
from cmn_jax.training.parallel import Parallel
from cmn_jax.training.task import Arrays, Task
from input_pipeline import batch_plan, batches
from input_pipeline.augmentation import Augmentation

# What a batch says that no device reads.
_HOST = ('study_B', 'mirrored_B')


@dataclasses.dataclass(frozen=True)
class Rows:
  """What a function gave for each study of a split.

  Attributes:
    arrays: by name, (S, ...), in the order of the split's studies.
    seconds: of all batches, compilation included.
    studies_per_second: without the first batch, which compiles.
  """

  arrays: Arrays
  seconds: float
  studies_per_second: float


class StudyBatches:
  """Batches of this process: images and reports, and the task's own arrays.

  Every array of `task.targets` joins a batch by its studies; one that has the
  name of an array that is there already takes its place.
  """

  def __init__(
    self, task: Task, data, config: ConfigDict, augmentation: Augmentation
  ):
    self._task, self._data, self._config = task, data, config
    self._augmentation = augmentation

  def train(self, first_step: int) -> Iterator[dict]:
    """Training batches from a step on, without end.

    With data.synthetic the first one again and again.
    """
    c = self._config
    size, shares_N = c.train.batch_size, self._task.sampling()
    if self._task.reads_images:
      plain = batches.train_batches(
        self._data,
        batch_size=size,
        seed=c.seed,
        augmentation=self._augmentation,
        first_step=first_step,
        shares_N=shares_N,
        **distributed.part(),
      )
      if c.data.synthetic:
        plain = itertools.repeat(next(plain))
    else:
      plan = batch_plan.plan_batches(
        len(self._data.studies['train']),
        self._data.views,
        size,
        c.seed,
        first_step,
        shares_N,
      )
      plain = self._without_images(plan, size)
    return self._joined(plain, 'train', self._augmentation.flip_with_text)

  def split(self, split: str) -> Iterator[dict]:
    """Every study of a split once, in order, the last batch padded."""
    size = self._config.eval.batch_size
    if self._task.reads_images:
      plain = batches.eval_batches(
        self._data, split, batch_size=size, **distributed.part()
      )
    else:
      order = np.arange(len(self._data.studies[split]))
      plain = self._without_images(
        batch_plan.batches_of(order, size, first=0), size
      )
    return self._joined(plain, split, mirrors=False)

  def _without_images(self, plan, size):
    part = batch_plan.part_of(size, *distributed.part().values())
    for take_B, mask_B, *_ in plan:
      yield {
        'mask_B': mask_B[part],
        'study_B': np.where(mask_B, take_B, -1)[part],
        'mirrored_B': np.zeros(part.stop - part.start, bool),
      }

  def _joined(self, plain, split, mirrors):
    arrays = self._task.targets(split)
    mirrored = self._task.targets(split, mirrored=True) if mirrors else {}
    for batch in plain:
      rows = {name: x[batch['study_B']] for name, x in arrays.items()}
      for name, x in mirrored.items():
        flip_B = batch['mirrored_B'].reshape(-1, *[1] * (x.ndim - 1))
        rows[name] = np.where(flip_B, x[batch['study_B']], rows[name])
      yield {**batch, **rows}


def place(parallel: Parallel, batch: dict) -> dict:
  """What the devices read of a batch, on them."""
  return parallel.split({k: x for k, x in batch.items() if k not in _HOST})


class OverStudies:
  """A compiled function of (variables, batch), run over whole splits."""

  def __init__(self, function: Callable, parallel: Parallel):
    self._parallel = parallel
    self._run = parallel.map_studies(function)

  def __call__(self, variables, batches: Iterator[dict], studies: int) -> Rows:
    """The function's rows of every study; none is dropped, padding is.

    Args:
      variables: on the devices.
      batches: in the order of the split's studies; this process's rows.
      studies: how many there are, of all processes.
    """
    whole, begin, warm, done = None, time.perf_counter(), None, 0
    for batch in batches:
      real_B = batch['mask_B']
      rows = self._run(variables, place(self._parallel, batch))
      if whole is None:
        whole = {
          name: np.zeros((studies, *x.shape[1:]), x.dtype)
          for name, x in rows.items()
        }
        warm = time.perf_counter()
      else:
        done += int(real_B.sum())
      for name, x in rows.items():
        whole[name][batch['study_B'][real_B]] = x[real_B]
    whole = jax.tree.map(distributed.joined, whole)
    done = int(distributed.joined(np.array([done]))[0])
    end = time.perf_counter()
    if not done:  # One batch was all: its time holds the compilation.
      warm, done = begin, studies
    return Rows(whole, end - begin, done / max(end - warm, 1e-9))
