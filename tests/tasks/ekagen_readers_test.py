"""Films at hand: which one labels and masks are of, and which is dimmed."""

import numpy as np

from cmn_jax.models.ekagen import CaptionerShape
from cmn_jax.models.ekagen_config import EkagenConfig
from cmn_jax.models.ekagen_films import dim_first
from cmn_jax.models.ekagen_system import EkagenSystem
from cmn_jax.models.images import as_pixels
from cmn_jax.tasks.ekagen_readers import FilmReaders
from configs import phantom
from tests.made import small


class _Reader:
  """Says of a film, and covers of it, what it is brighter than."""

  classes = ('a',)

  def probabilities(self, variables, films):
    return films.mean(axis=(1, 2))[:, None] / 255

  def decide(self, probability):
    return probability > 0.25

  def masks(self, variables, films, *options):
    return films > 128


class _Parts(dict):
  def reader(self, name):
    return _Reader()


def test_the_first_film_that_is_there_is_read_and_dimmed():
  ekagen = EkagenConfig.of(phantom.get_config('ekagen_rn101').ekagen)
  batch = small.batch(3, size=32)
  del batch['ids_BxT']
  batch['mask_BxI'][1] = [False, True]
  images = batch['images_BxIxHxW']
  images[1, 0] = 0
  readers = FilmReaders(_Parts(knowledge=0), ekagen)
  variables = {'params': {}, 'batch_stats': {}}
  found = readers.diagnosed(variables, batch)
  films = np.stack([images[0, 0], images[1, 1], images[2, 0]])
  assert np.asarray(found['labels_BxG']).all()
  masks = np.unpackbits(np.asarray(found['bits_BxHxw']), axis=-1).astype(bool)
  np.testing.assert_array_equal(masks, films > 128)
  system = EkagenSystem(CaptionerShape(30), ekagen)
  shown = system.apply(variables, found, method='shown')
  wanted = dim_first(images, batch['mask_BxI'], masks, ekagen.mask_min_cover)
  np.testing.assert_array_equal(shown, as_pixels(wanted))
  np.testing.assert_array_equal(wanted[1, 0], images[1, 0])
  assert (np.asarray(wanted)[1, 1] != images[1, 1]).any()
