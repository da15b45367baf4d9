"""Arrays of studies that an EKAGen captioner reads beside films and reports."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from cmn_jax.loaded import digest_of
from cmn_jax.models.config import DTYPES
from cmn_jax.models.ekagen import CaptionerShape
from cmn_jax.models.ekagen_config import EkagenConfig
from cmn_jax.models.ekagen_films import dim_first
from cmn_jax.models.film_classifier import build_encoder, first_films
from cmn_jax.models.images import as_pixels
from cmn_jax.tasks import precomputed
from cmn_jax.tasks.diagnosis import (
  film_labels,
  film_probabilities,
  packed_masks,
)
from cmn_jax.tasks.ekagen_checks import check_masks
from cmn_jax.tasks.ekagen_parts import (
  DIAGNOSIS,
  KNOWLEDGE,
  LOCATOR,
  Parts,
  load_knowledge,
)
from cmn_jax.tasks.mask_files import read_masks
from input_pipeline.errors import UserError
from input_pipeline.findings_reader import FindingsReader


class EkagenInputs:
  """Labels, masks and a frozen encoder's maps, each computed once.

  Args:
    config: the whole one.
    data: `input_pipeline.data.Data`.
    ekagen: its section.
    parts: the networks that labels and masks come from.
    reader: of findings.
  """

  def __init__(
    self,
    config: ConfigDict,
    data,
    ekagen: EkagenConfig,
    parts: Parts,
    reader: FindingsReader,
  ):
    self._config, self._data, self._ekagen = config, data, ekagen
    self._parts, self._reader = parts, reader
    self._maps, self._masks = {}, {}

  def knowledge(self, split: str) -> dict[str, np.ndarray]:
    """'labels_BxG', by which knowledge is looked up.

    Beside training also 'probability_BxG' and the labels of the controls:
    another study's, and true ones.
    """
    if KNOWLEDGE not in self._parts:
      return {}
    if split == 'train':
      return {'labels_BxG': self._train_labels()}
    probability_SxG = film_probabilities(
      self._parts[DIAGNOSIS], self._config, self._data, split
    )
    reader = self._parts.reader(DIAGNOSIS)
    labels_SxG = np.asarray(reader.decide(probability_SxG))
    return {
      'labels_BxG': labels_SxG,
      'probability_BxG': probability_SxG,
      'shuffled_labels_BxG': labels_SxG[
        another(len(labels_SxG), self._config.seed)
      ],
      'true_labels_BxG': stated_labels(
        self._data.studies[split], self._reader, reader.classes
      ),
    }

  def masks(self, split: str) -> dict[str, np.ndarray]:
    """'bits_BxHxw', the packed masks of first films; nothing without any."""
    if split not in self._masks:
      self._masks[split] = self._packed(split)
    packed = self._masks[split]
    return {} if packed is None else {'bits_BxHxw': packed}

  def _packed(self, split):
    """Packed masks of a folder, or of the locator; None without either."""
    locator = self._parts.get(LOCATOR)
    options = self._ekagen.mask_options
    if self._ekagen.masks:
      packed = read_masks(self._ekagen.masks, self._data, split)
      if locator:
        check_masks(self._ekagen.masks, split, locator, options)
      return packed
    if locator is None:
      return None
    found = packed_masks(locator, self._config, self._data, split, *options)
    return found['packed']

  def maps(
    self, split: str, shape: CaptionerShape, encoder: dict
  ) -> dict[str, np.ndarray]:
    """What a frozen encoder sees of plain and of masked films.

    Args:
      split: of the data.
      shape: of the captioner.
      encoder: {'params', 'batch_stats'} of its visual encoder.

    Returns:
      maps_BxIxhxwxF and, with masks, masked_maps_BxIxhxwxF, float16; ids_BxT
      and mask_BxI, as nothing else is read.
    """
    if split not in self._maps:
      self._maps[split] = self._compute_maps(split, shape, encoder)
    return self._maps[split]

  def _compute_maps(self, split, shape, encoder):
    module = build_encoder(
      shape.encoder,
      {'dilated': shape.dilated, 'frozen': True},
      width=shape.encoder_width,
      axis_name=None,
      dtype=DTYPES[self._config.model.dtype],
      remat=False,
    )
    locator = self._parts.reader(LOCATOR)
    options, cover = self._ekagen.mask_options, self._ekagen.mask_min_cover
    both = {'encoder': encoder}
    key = [digest_of(encoder), shape.dilated]
    if locator:
      both['locator'] = self._parts[LOCATOR].variables
      key += [self._parts[LOCATOR].fingerprint, locator.thresholds_G, *options]
      key += [cover]

    def seen(variables, images, batch):
      mask_BxI = batch['mask_BxI'] & batch['mask_B'][:, None]
      maps = module.apply(variables, as_pixels(images), mask_BxI, False)
      return maps.astype(jnp.float16)

    def function(variables, batch):
      images = batch['images_BxIxHxW']
      rows = {'maps': seen(variables['encoder'], images, batch)}
      if locator:
        mask_BxI = batch['mask_BxI']
        films = first_films(images, mask_BxI)
        masks = locator.masks(variables['locator'], films, *options)
        images = dim_first(images, mask_BxI, masks, cover)
        rows['masked_maps'] = seen(variables['encoder'], images, batch)
      return rows

    arrays = precomputed.of_images(
      self._config, self._data, split, 'ekagen-maps', key, both, function
    )
    studies = self._data.studies[split]
    return {
      **{f'{name}_BxIxhxwxF': x for name, x in arrays.items()},
      'ids_BxT': self._data.ids[split],
      'mask_BxI': np.array([[f is not None for f in s.films] for s in studies]),
    }

  def _train_labels(self):
    parts, studies = self._parts, self._data.studies['train']
    if parts.train_labels_SxG is None and self._ekagen.knowledge:
      # A checkpoint does not keep them.
      parts = load_knowledge(self._ekagen.knowledge)
    if parts.train_labels_SxG is not None:
      return parts.labels_of(studies)
    if self._parts[KNOWLEDGE].meta.get('folds'):
      raise UserError(
        'the labels of the training studies are cross-fitted and stand in the '
        'folder of knowledge alone: name it as ekagen.knowledge'
      )
    diagnosis = self._parts[DIAGNOSIS]
    return film_labels(diagnosis, self._config, self._data, 'train')


def stated_labels(
  studies: Sequence, reader: FindingsReader, classes: Sequence[str]
) -> np.ndarray:
  """What each study has by its own report or drawing, (S, G) bool."""
  stated = [reader.classes_of_study(study) for study in studies]
  return np.array([[c in names for c in classes] for names in stated])


def another(studies: int, seed: int) -> np.ndarray:
  """For each study another one, (S,): along one cycle through all."""
  order = np.random.default_rng(seed).permutation(studies)
  others = np.empty(studies, int)
  others[order] = np.roll(order, 1)
  return others
