"""Theirs and ours with the same weights, and what they say of reports."""

import dataclasses
import functools

import jax
import numpy as np
import torch

from cmn_jax.interop.r2gencmn import from_r2gencmn, r2gencmn_rows
from cmn_jax.models.config import ModelConfig
from cmn_jax.models.images import normalise_images
from cmn_jax.models.report_generator import ReportGenerator
from configs import iu_xray
from tests.made import small
from tests.parity import authors, draw
from tests.parity.results import Row, at_most, for_scale

SMALL = small.shape(
  encoder_width=16,
  memory_slots=128,
  memory_top_k=16,
  width=64,
  hidden=64,
  vocabulary=80,
  max_length=24,
)
# Of the published config and vocabulary, but for dropout.
PUBLISHED = dataclasses.replace(
  ModelConfig.of(iu_xray.get_config('cmn'), 761),
  dropout=0.0,
  patch_dropout=0.0,
  memory_dropout=0.0,
)


@dataclasses.dataclass(frozen=True)
class Size:
  """What a check is run at.

  Attributes:
    name: for the table.
    shape: of the model.
    image: side of a film in pixels.
    studies: that reports are written for.
    batch: studies at once.
    train_batch: studies of a training step.
    end_bias: so that some reports end early and some do not.
    sharp: see draw.draw_state_dict.
  """

  name: str
  shape: ModelConfig
  image: int
  studies: int
  batch: int
  train_batch: int
  end_bias: float
  sharp: float


SMALL_SIZE = Size('small model', SMALL, 64, 256, 64, 8, 2.0, 1.0)
PUBLISHED_SIZE = Size('published sizes', PUBLISHED, 224, 208, 8, 2, 4.5, 1.5)
SIZES = {'small': SMALL_SIZE, 'published': PUBLISHED_SIZE}


def pair(
  size: Size, views: int, seed: int, centre: bool = True, logits: float = 1.0
):
  """The authors' model and ours with the same random weights.

  Args:
    size: of the models.
    views: films of a study.
    seed: of the weights.
    centre: see `_centre_patches`.
    logits: factor of the weights that words are predicted with.

  Returns:
    Theirs, ours, our variables.
  """
  tensors = draw.draw_state_dict(
    size.shape, r2gencmn_rows(size.shape), seed, size.end_bias, size.sharp
  )
  for name in ('weight', 'bias'):
    tensors[f'encoder_decoder.logit.{name}'] *= np.float32(logits)
  theirs = authors.build_model(size.shape, views, size.image, dropout=False)
  ours = ReportGenerator(size.shape)
  if centre:
    _centre_patches(size, ours, tensors)
  load_state(theirs, tensors)
  return theirs, ours, from_r2gencmn(ours, tensors, 'the drawn weights')


def _centre_patches(size: Size, model: ReportGenerator, tensors):
  """Lets the patch embedding see what differs between studies.

  A random ResNet answers nearly the same to all films: without this all
  reports are alike. Changes the patch embedding in place.
  """
  variables = from_r2gencmn(model, tensors, 'the drawn weights')
  films = normalise_images(draw.draw_films(8, 1, size.image, seed=9))
  patches, _ = model.apply(
    variables, films, np.ones(8, bool), method=model.visual_features
  )
  patches = np.asarray(patches)
  weight = tensors['encoder_decoder.att_embed.0.weight']
  embedded = patches @ weight.T
  weight *= 0.4 / np.std(embedded - embedded.mean(0))
  centre = patches.mean((0, 1)) @ weight.T
  tensors['encoder_decoder.att_embed.0.bias'] -= centre


def load_state(model, tensors):
  """Loads all but the buffers that are not drawn."""
  result = model.load_state_dict(
    {k: torch.from_numpy(v) for k, v in tensors.items()}, strict=False
  )
  kept = ('.pe', '.num_batches_tracked')
  missing = [k for k in result.missing_keys if not k.endswith(kept)]
  if missing or result.unexpected_keys:
    raise SystemExit(
      f'error: {missing} missing, {result.unexpected_keys} extra'
    )


def log_probs(size: Size, views: int, studies: int) -> list[Row]:
  """Teacher-forced log-probabilities, evaluation mode.

  The logits are of unit size: rounding is relative, and the limit is not.
  """
  theirs, ours, variables = pair(size, views, seed=1, logits=1 / 3)
  batch = {
    'images_BxIxHxW': draw.draw_films(studies, views, size.image, seed=3),
    'ids_BxT': draw.draw_ids(studies, size.shape, seed=2),
    'mask_B': np.ones(studies, bool),
  }
  on = f'{size.name}, {_views(views)}, {studies} studies'
  got = _our_log_probs(ours, variables, batch)
  single = _their_log_probs(theirs, batch)
  double = _their_log_probs(theirs.double(), batch)
  return [
    at_most('log-probabilities, absolute', on, _worst(got, single), 1e-4),
    _far_from_double('theirs', on, single, double),
    _far_from_double('ours', on, got, double),
  ]


def _their_log_probs(theirs, batch) -> np.ndarray:
  images = np.asarray(normalise_images(batch['images_BxIxHxW']))
  dtype = next(theirs.parameters()).dtype
  images = images.astype(str(dtype).removeprefix('torch.'))
  return authors.log_probs(theirs.eval(), images, batch['ids_BxT'])


def worst_log_prob(theirs, ours: ReportGenerator, variables, batch) -> float:
  """Largest difference of teacher-forced log-probabilities."""
  got = _our_log_probs(ours, variables, batch)
  return _worst(got, _their_log_probs(theirs, batch))


def _our_log_probs(ours, variables, batch) -> np.ndarray:
  images = np.asarray(normalise_images(batch['images_BxIxHxW']))
  apply = jax.jit(functools.partial(ours.apply, method='log_probs'))
  got = apply(variables, images, batch['ids_BxT'], batch['mask_B'])
  return np.asarray(got)


def _far_from_double(who: str, on: str, single, double) -> Row:
  what = f'{who} in float32 and theirs in float64'
  return for_scale(what, on, f'{_worst(single, double):.1e}')


def _worst(one: np.ndarray, other: np.ndarray) -> float:
  return float(np.max(np.abs(one - other)))


def _views(views: int) -> str:
  return 'one view' if views == 1 else f'{views} views'
