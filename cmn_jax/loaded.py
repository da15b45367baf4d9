"""From a folder to what it holds: a checkpoint's arrays, words and meta."""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from cmn_jax.training import hub
from cmn_jax.training.checkpoints import (
  CheckpointError,
  DamagedError,
  find_step,
  load_model,
)
from cmn_jax.training.distributed import log
from cmn_jax.training.meta_fields import FILM_STATISTICS
from input_pipeline import vocabularies
from input_pipeline.errors import UserError
from input_pipeline.film_statistics import FilmLook, FilmStatistics


def digest_of(variables: dict) -> str:
  """Tells a tree of arrays from all others, names included."""
  digest = hashlib.sha256()
  for path, array in jax.tree_util.tree_leaves_with_path(variables):
    digest.update(jax.tree_util.keystr(path).encode())
    digest.update(np.ascontiguousarray(array).tobytes())
  return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class Loaded:
  """A checkpoint in memory.

  Attributes:
    variables: {'params', 'batch_stats'}, numpy arrays.
    meta: of the checkpoint.
    origin: its folder.
  """

  variables: dict
  meta: dict
  origin: str

  @classmethod
  def load(cls, folder: Path | str) -> 'Loaded':
    """From a workdir (its best checkpoint), a step of it, or a converted one.

    Or from a folder of `cmn_jax.export --to hub`, or 'hf:ORG/NAME@REVISION'.
    A damaged checkpoint of a workdir is named, and the next best one taken.

    Raises:
      CheckpointError: nothing there, or not readable.
    """
    folder = hub.fetched(folder)
    if hub.is_hub_folder(folder):
      return cls(*hub.read_hub_folder(folder), str(folder))
    damaged, fault = [], None
    while True:
      try:
        step_folder = find_step(folder, damaged)
      except CheckpointError as error:
        raise fault or error from None
      try:
        return cls(*load_model(step_folder), str(step_folder))
      except DamagedError as error:
        if step_folder == Path(folder).absolute():
          raise
        fault = error
        log(f'left out: {error}')
        damaged.append(int(step_folder.name))

  @property
  def task(self) -> str:
    """What was trained: a key of `cmn_jax.tasks.TASKS`."""
    return self.meta['task']

  @functools.cached_property
  def config(self) -> ConfigDict:
    """That it was trained with."""
    return ConfigDict(self.meta['config'])

  @functools.cached_property
  def tokenizer(self):
    """Its words."""
    try:
      return vocabularies.from_json(self.meta['tokenizer'])
    except UserError:
      raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
      raise CheckpointError(
        f'{self.origin}/meta: its words cannot be read ({str(error)[:200]})'
      ) from error

  @functools.cached_property
  def fingerprint(self) -> str:
    """Tells these parameters from all others."""
    return digest_of(self.variables)

  def looks(self, images: Sequence[np.ndarray]) -> list[FilmLook] | None:
    """How much films, uint8 (H, W), look like those of training.

    None where the checkpoint is older than that question.
    """
    known = self._film_statistics
    return known and [known.look(image) for image in images]

  def unlike_training(self, images: Sequence[np.ndarray]) -> bool | None:
    """Whether one of them does not; None as of `looks`."""
    looks = self.looks(images)
    return looks and any(look.unlike for look in looks)

  @functools.cached_property
  def _film_statistics(self) -> FilmStatistics | None:
    content = self.meta.get(FILM_STATISTICS)
    return content and FilmStatistics.from_json(content)

  def check_reads(self, data) -> None:
    """Raises CheckpointError unless it knows the words and images of `data`.

    Args:
      data: `input_pipeline.data.Data`.
    """
    if self.meta['tokenizer'] != data.tokenizer.to_json():
      raise CheckpointError(
        f'{self.origin} knows {self.tokenizer.vocab_size} words, the '
        f'training reports of {data.name} give {data.tokenizer.vocab_size}, '
        'not the same ones: take the data that it was trained on, with its '
        'data.clean, data.min_count and data.tokenizer'
      )
    c = self.config.data
    for field, mine, its in (
      ('views', data.views, c.views),
      ('image_size', data.image_size, c.image_size),
      ('max_length', data.max_length, c.max_length),
    ):
      if mine != its:
        raise CheckpointError(
          f'data.{field} is {mine}, but {self.origin} was trained with '
          f'{its}: set --config.data.{field}={its}'
        )
