"""Disease classification from single films: EKAGen's DiagnosisBot and locator.

Any encoder with a linear layer on the mean of its map, so that a class has a
place on the film as well; `tasks/diagnosis.py` reads what is trained here.
"""

import jax
import jax.numpy as jnp
from clu import parameter_overview
from ml_collections import ConfigDict

from cmn_jax.interop.encoders import put_encoder
from cmn_jax.loaded import Loaded
from cmn_jax.models.classifier import IMAGE, MULTI_LABEL
from cmn_jax.models.config import DTYPES
from cmn_jax.models.encoders import ENCODERS
from cmn_jax.models.film_classifier import SingleFilmClassifier
from cmn_jax.tasks.encoder import (
  RANDOM,
  encoded_images,
  encoder_of,
  frozen_parts,
  pretrained_encoder,
)
from cmn_jax.tasks.labelled_studies import LabelledStudies
from cmn_jax.training.parallel import AXIS
from cmn_jax.training.state import init_variables, study_batch
from input_pipeline.errors import UserError, check_choice


class DiagnoseTask(LabelledStudies):
  """Trains a classifier of films; see `training.task.Task` for the members.

  In training every film of a study is learnt from, at an evaluation its first
  one is read. With train.freeze the encoder's maps are computed once.
  """

  about_key = 'diagnosis'

  def __init__(self, config: ConfigDict, data, loaded: Loaded | None = None):
    super().__init__(config, data, loaded)
    _check(config, self.classifier)
    self.frozen = frozen_parts(config)
    self.reads_images = not self.frozen
    self.encoder_start, self._shift_last = RANDOM, False
    if loaded:
      self.encoder_start = loaded.meta['encoder_start']
      self._shift_last = loaded.meta['diagnosis']['shift_last_stage']
      self._encoder = encoder_of(loaded.variables)
    self._maps = {}
    self.model = self.network(AXIS)

  def network(self, axis: str | None) -> SingleFilmClassifier:
    """The classifier, with batch statistics over a mapped axis or not."""
    c = self._config.model
    return SingleFilmClassifier(
      c.encoder,
      c.encoder_width,
      len(self.classes),
      self._shift_last,
      axis,
      DTYPES[c.dtype],
      c.remat,
    )

  def variables(self, seed: int) -> dict:
    """A random head on the encoder that model.pretrained names."""
    c = self._config
    blank = study_batch(c.data.views, c.data.image_size, c.data.max_length)
    variables = init_variables(self.network(None), seed, blank)
    encoder, self.encoder_start = pretrained_encoder(c.model)
    variables = put_encoder(variables, encoder) if encoder else variables
    self._encoder = encoder_of(variables)
    return variables

  def targets(self, split: str, mirrored: bool = False) -> dict:
    """Labels, and what a frozen encoder has seen."""
    labels = super().targets(split, mirrored)
    if not (self.frozen and labels):
      return labels
    if split not in self._maps:
      self._maps[split] = encoded_images(
        self._config, self._data, self._encoder, split
      )
    return {**labels, **self._maps[split]}

  def losses(self, outputs: dict, batch: dict, step: jax.Array) -> dict:
    """As of any classifier, each film with the labels of its study."""
    films = len(outputs['logits']) // len(batch['mask_B'])
    rows = {
      name: jnp.repeat(batch[name], films, axis=0)
      for name in ('labels_BxC', 'known_BxC')
    }
    mask_BxI = batch['mask_BxI'][:, :films] & batch['mask_B'][:, None]
    rows['mask_B'] = mask_BxI.reshape(-1)
    return super().losses(outputs, rows, step)

  def about(self, variables: dict) -> str:
    """Encoder, parameters, data and labels."""
    count = parameter_overview.count_parameters(variables['params'])
    c = self._config
    return (
      f'{c.name}: {count:,} parameters, {c.model.encoder} at '
      f'{c.data.image_size} pixels{", frozen" if self.frozen else ""}\n'
      f'{self.labelled()}'
    )

  def meta(self) -> dict:
    """Data, labels, start, and what reads films with this."""
    return {
      'dataset': self._data.name,
      'label_source': self.labels.source,
      'encoder_start': self.encoder_start,
      'diagnosis': {
        **self.classes_meta(),
        'shift_last_stage': self._shift_last,
      },
    }


def _check(config: ConfigDict, classifier) -> None:
  """Refuses what a classifier of films alone does not have."""
  for name, only in (
    ('task', MULTI_LABEL),
    ('inputs', IMAGE),
    ('checkpoint', ''),
  ):
    if getattr(classifier, name) != only:
      raise UserError(
        f'classifier.{name} is {getattr(classifier, name)!r}, and the task '
        f'diagnose has {only!r} alone: leave it out, or take the variant '
        'classifier'
      )
  check_choice('model.encoder', config.model.encoder, ENCODERS)
  check_choice('model.dtype', config.model.dtype, DTYPES)
