"""Labels and masks of films at hand, by the networks in a checkpoint."""

import jax.numpy as jnp

from cmn_jax.models.ekagen_config import EkagenConfig
from cmn_jax.models.film_classifier import first_films
from cmn_jax.tasks.ekagen_parts import (
  DIAGNOSIS,
  KNOWLEDGE,
  LOCATOR,
  Parts,
  part_of,
)


class FilmReaders:
  """The classifier and the locator of a captioner; either may be missing.

  Args:
    parts: what is beside the captioner.
    ekagen: rules of masks.
  """

  def __init__(self, parts: Parts, ekagen: EkagenConfig):
    self._knows, self._options = KNOWLEDGE in parts, ekagen.mask_options
    self._diagnosis, self._locator = (
      parts.reader(name) for name in (DIAGNOSIS, LOCATOR)
    )

  @property
  def classes(self) -> tuple[str, ...]:
    """Of the classifier."""
    return self._diagnosis.classes

  def diagnosed(self, variables: dict, batch: dict) -> dict:
    """A batch with labels and masks, from its films where it has none."""
    batch, films = dict(batch), None
    if 'images_BxIxHxW' in batch:
      films = first_films(batch['images_BxIxHxW'], batch['mask_BxI'])
    if self._knows and 'labels_BxG' not in batch:
      own = part_of(variables, DIAGNOSIS)
      batch['probability_BxG'] = self._diagnosis.probabilities(own, films)
      batch['labels_BxG'] = self._diagnosis.decide(batch['probability_BxG'])
    maps = 'maps_BxIxhxwxF' in batch
    if self._locator and 'bits_BxHxw' not in batch and not maps:
      own = part_of(variables, LOCATOR)
      masks = self._locator.masks(own, films, *self._options)
      batch['bits_BxHxw'] = jnp.packbits(masks, axis=-1)
    return batch
