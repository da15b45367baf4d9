"""Which studies each batch holds, and what is drawn for them: plain numpy."""

import itertools
from collections.abc import Iterator

import numpy as np

from input_pipeline.augmentation import DRAWS
from input_pipeline.errors import UserError

# Drawn before what came later, so that a seed's order and crops stay the same.
_FIRST_DRAWS = 3


def part_of(batch_size: int, process_index: int, process_count: int) -> slice:
  """The rows of each global batch that one process reads."""
  if batch_size % process_count:
    raise UserError(
      f'batch_size {batch_size} is not divisible by {process_count} processes.'
    )
  rows = batch_size // process_count
  return slice(process_index * rows, (process_index + 1) * rows)


def plan_batches(
  studies: int,
  views: int,
  batch_size: int,
  seed: int,
  first_step: int,
  shares_N: np.ndarray | None,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
  """Yields (studies to read, mask, draws for each film) for ever."""
  steps = -(-studies // batch_size)
  for epoch in itertools.count(first_step // steps):
    order, draws_NxIxD = _draw_epoch(seed, epoch, studies, views, shares_N)
    first = first_step % steps if epoch == first_step // steps else 0
    for take_B, mask_B in batches_of(order, batch_size, first):
      yield take_B, mask_B, draws_NxIxD[take_B]


def _draw_epoch(seed, epoch, count, views, shares_N):
  """Order of the studies, and for each film `DRAWS` draws from [0, 1)."""
  rng = np.random.default_rng([seed, epoch])
  order = rng.permutation(count)
  if shares_N is not None:
    order = rng.choice(count, size=count, p=shares_N)
  sizes = _FIRST_DRAWS, DRAWS - _FIRST_DRAWS
  draws = [rng.random((count, views, size)) for size in sizes]
  return order, np.concatenate(draws, axis=-1)


def batches_of(
  order: np.ndarray, batch_size: int, first: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Yields (studies to read, mask), from batch `first` on; padding wraps."""
  for start in range(first * batch_size, len(order), batch_size):
    places_B = np.arange(start, start + batch_size)
    yield order[places_B % len(order)], places_B < len(order)
