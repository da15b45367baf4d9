"""The visual encoder of a task: where it starts, what it sees when frozen."""

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from cmn_jax.interop.encoders import (
  IMAGENET,
  UnreachableError,
  load_encoder,
  load_imagenet,
)
from cmn_jax.loaded import digest_of
from cmn_jax.models.config import DTYPES
from cmn_jax.models.encoders import ENCODERS
from cmn_jax.models.film_features import feature_sizes, pooled_films
from cmn_jax.models.images import as_pixels
from cmn_jax.tasks import precomputed
from cmn_jax.training.distributed import log
from cmn_jax.training.optimizer import VISUAL
from input_pipeline.errors import UserError

RANDOM = 'random weights'


def frozen_parts(config: ConfigDict) -> tuple[str, ...]:
  """Top-level names of what train.freeze leaves as it is.

  Raises:
    UserError: no such part, or it would see images that flip.
  """
  frozen = config.train.freeze
  if frozen not in ('', VISUAL):
    raise UserError(
      f"train.freeze is {frozen!r}; choose from '' and {VISUAL!r}"
    )
  if frozen and config.data.flip_with_text:
    raise UserError(
      'train.freeze computes what the encoder sees of images as they are: set '
      'data.flip_with_text=False'
    )
  return (frozen,) if frozen else ()


def encoder_of(variables: dict) -> dict:
  """A copy of the visual encoder's part, as steps reuse the state's memory."""
  encoder = {kind: tree.get(VISUAL, {}) for kind, tree in variables.items()}
  return jax.tree.map(np.array, encoder)


def pretrained_encoder(c: ConfigDict) -> tuple[dict | None, str]:
  """The encoder of config.model to start from, None for random weights.

  Also says in words which it is, and logs that: with a warning where it is not
  ImageNet's as asked.

  Raises:
    ConversionError: what model.pretrained names is not there or unfit.
  """
  if c.pretrained == '':
    log(f"the visual encoder starts from {RANDOM} (model.pretrained is '')")
    return None, RANDOM
  start = c.pretrained
  if start != 'imagenet':
    encoder = load_encoder(start, c.encoder, c.encoder_width)
  else:
    start = IMAGENET[c.encoder]
    try:
      encoder = load_imagenet(c.encoder, c.encoder_width)
    except UnreachableError as error:
      log(
        'WARNING: the visual encoder starts from RANDOM weights, where the '
        f"papers start from ImageNet's: {error}"
      )
      return None, RANDOM
  log(f'the visual encoder starts from {start}')
  return encoder, start


def encoded_images(
  config: ConfigDict, data, encoder: dict, split: str
) -> dict[str, np.ndarray]:
  """What a report model reads of a split whose images are encoded already.

  Args:
    config: the whole one.
    data: `input_pipeline.data.Data`.
    encoder: {'params', 'batch_stats'} of the visual encoder.
    split: of the data.

  Returns:
    maps_BxIxhxwxF, float16, of whole images, computed once and cached;
    ids_BxT, the reports; mask_BxI, False where a study has no such image.
  """
  module = _module(config)

  def maps(variables, batch):
    mask_BxI = batch['mask_BxI'] & batch['mask_B'][:, None]
    pixels = as_pixels(batch['images_BxIxHxW'])
    x = module.apply(variables, pixels, mask_BxI, False)
    return {'maps': x.astype(jnp.float16)}

  arrays = precomputed.of_images(
    config, data, split, 'maps', digest_of(encoder), encoder, maps
  )
  studies = data.studies[split]
  return {
    'maps_BxIxhxwxF': arrays['maps'],
    'ids_BxT': data.ids[split],
    'mask_BxI': np.array([[f is not None for f in s.films] for s in studies]),
  }


def feature_sizes_of(config: ConfigDict) -> list[int]:
  """`feature_sizes` of a whole config."""
  m, d = config.model, config.data
  return feature_sizes(m.encoder, m.encoder_width, d.views, d.image_size)


def pooled_features(
  config: ConfigDict, data, encoder: dict, split: str
) -> np.ndarray:
  """Pooled maps of a split's whole images, computed once and cached, (S, D).

  The arguments are those of `encoded_images`.
  """
  module = _module(config)

  def pooled(variables, batch):
    x = module.apply(
      variables,
      *(batch[name] for name in ('images_BxIxHxW', 'mask_B', 'mask_BxI')),
      method=pooled_films,
    )
    return {'pooled': x}

  key = [digest_of(encoder), sum(feature_sizes_of(config))]
  return precomputed.of_images(
    config, data, split, 'pooled', key, encoder, pooled
  )['pooled']


def _module(config):
  c = config.model
  return ENCODERS[c.encoder](
    width=c.encoder_width, axis_name=None, dtype=DTYPES[c.dtype], remat=False
  )
