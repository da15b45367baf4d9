"""EKAGen's two classifiers with drawn weights, without torch."""

import jax
import numpy as np

from cmn_jax.interop.film_classifiers import from_classifier
from cmn_jax.interop.swins import place_buffers
from cmn_jax.models.film_classifier import FilmClassifier
from input_pipeline.findings.vocabulary import CHEXPERT_14
from tests.parity import ekagen_draw as drawn

SEED = 31
BOT, LOCATOR = 'swin_t', 'resnet34'
SIDES = {BOT: 224, LOCATOR: 300}


def classifier(encoder: str, shift_last_stage: bool = True):
  """Ours with drawn weights: the model and its variables."""
  model = FilmClassifier(
    encoder, 64, len(CHEXPERT_14), shift_last_stage=shift_last_stage
  )
  tensors = drawn.draw_classifier(model, SEED)
  state = {**tensors, **(place_buffers() if encoder == BOT else {})}
  return model, from_classifier(model, state, CHEXPERT_14, 'drawn')


def logits_of(model: FilmClassifier, variables, films):
  """The encoder's maps, and logits in our order."""

  def run(variables, films):
    mask_B = np.ones(len(films), bool)
    return model.apply(variables, films, mask_B, method=model.maps_and_logits)

  return jax.jit(run)(variables, films)


def classifier_films(encoder: str, studies: int):
  """Normalised films of the size that a classifier takes."""
  return drawn.films(studies, SIDES[encoder], SEED + 1)


def draw_maps(films: int, places: int, seed: int):
  """A locator's map (B, h, w, F), logits (B, G) and last kernel (F, G)."""
  draw = np.random.RandomState(seed)
  size = (films, places, places, 24)
  maps = np.maximum(draw.standard_normal(size), 0)
  # Each film has its place, as lesions have: masks should not be everything.
  y, x = draw.uniform(0, places, (2, films, 1, 1))
  down, across = np.ogrid[:places, :places]
  maps *= np.exp(-(np.square(down - y) + np.square(across - x)) / 4)[..., None]
  maps = maps.astype(np.float32)
  kernel = draw.standard_normal((24, 14)).astype(np.float32)
  logits = 2 * draw.standard_normal((films, 14))
  return maps, logits.astype(np.float32), kernel
