"""What any task has trained, ready for the X-ray images of new studies."""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from cmn_jax.loaded import Loaded
from cmn_jax.tasks import TASKS
from cmn_jax.traced_programs import jit_and_keep
from input_pipeline.errors import UserError
from input_pipeline.film_list import study_of
from input_pipeline.images import prepare_films


def read_study(paths: Sequence[Path | str], views: int, size: int) -> dict:
  """The images of one study as a batch, in the order that they are given in.

  Args:
    paths: PNG, JPEG or DICOM files.
    views: images that the model takes; the others are masked.
    size: their side in pixels.

  Raises:
    ImageError: a file is not a readable image.
    UserError: more images than the model takes, or none, or of two patients.
  """
  check_count(paths, views)
  study = study_of('', paths)
  if study.fault:
    raise UserError(f'{", ".join(study.films)}: {study.fault}')
  row = read_row([*paths, *[None] * (views - len(paths))], size)
  return {name: x[None] for name, x in row.items()}


def check_count(paths: Sequence, views: int) -> None:
  """Raises UserError for more films than a model takes of a study, or none."""
  if not 1 <= len(paths) <= views:
    raise UserError(
      f'{len(paths)} images given; this model takes 1 to {views} of a study'
    )


def read_row(slots: Sequence[Path | str | None], size: int) -> dict:
  """A study as a row of a batch; None stands for a film that it does not have.

  Raises ImageError for a file that is not a readable image.
  """
  there_I = np.array([film is not None for film in slots])
  images_IxHxW = np.zeros((len(slots), size, size), np.uint8)
  films = [film for film in slots if film is not None]
  images_IxHxW[there_I] = prepare_films(films, size)
  return {
    'images_BxIxHxW': images_IxHxW,
    'mask_B': np.bool_(True),
    'mask_BxI': there_I,
  }


def filled(batch: dict, rows: int) -> dict:
  """A batch with so many rows; those that are added are like its first."""
  missing = rows - len(batch['mask_B'])
  return {
    name: np.concatenate([x, np.repeat(x[:1], missing, axis=0)])
    for name, x in batch.items()
  }


class Predictor:
  """What any task has trained, for one study after the other.

  Attributes:
    loaded: the checkpoint.
    task: ready to predict.
  """

  def __init__(self, loaded: Loaded):
    self.loaded = loaded
    self.task = TASKS[loaded.task](loaded.config, None, loaded)
    # One study at a time needs no mapped axis.
    self.task.model = self.task.network(None)
    self._variables = jax.device_put(loaded.variables)
    self._predict = jit_and_keep(
      lambda variables, batch: self.task.predict(variables, batch, full=False),
      ('predict', self.task.model, loaded.meta),
    )

  def rows(self, batch: dict) -> dict:
    """What the task predicts for a batch; reports not given are empty."""
    c = self.loaded.config.data
    length = len(batch['mask_B']), c.max_length
    batch = {'ids_BxT': np.zeros(length, np.int32), **batch}
    return jax.tree.map(np.asarray, self._predict(self._variables, batch))

  def describe(self, paths: Sequence[Path | str]) -> dict:
    """What the task says of the images of one study, as JSON's types."""
    c = self.loaded.config.data
    batch = read_study(paths, c.views, c.image_size)
    return self.task.describe(self.rows(batch), 0)
