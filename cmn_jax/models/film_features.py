"""A study's films as one vector, and the findings that a linear map gives.

The encoder whose maps are pooled is frozen; the rest is fitted in closed form,
see `cmn_jax.tasks.opinion`.
"""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from cmn_jax.models.efficientnet import EfficientNet
from cmn_jax.models.encoders import ENCODERS
from cmn_jax.models.images import as_pixels

# Stages of an encoder that has them, deep enough to tell findings.
_STAGES = slice(3, 7)
_CLIP = 6.0
_POOLINGS = (jnp.mean, jnp.max, jnp.std)


def standardise(pooled_BxD, centre_D, deviation_D, weight_D):
  """Features of mean 0 and deviation 1 in training, clipped, then weighed.

  Those of a film that is not there, NaN, are taken for the mean.
  """
  xp = pooled_BxD.__array_namespace__()
  x = (pooled_BxD - centre_D) / deviation_D
  return xp.where(xp.isnan(x), 0, x).clip(-_CLIP, _CLIP) * weight_D


def feature_sizes(
  encoder: str, encoder_width: int, views: int, image_size: int
) -> list[int]:
  """How many numbers each map and pooling gives, all views together.

  Args:
    encoder: a key of ENCODERS.
    encoder_width: as for a report generator.
    views: images of a study.
    image_size: their side in pixels.
  """
  module = ENCODERS[encoder](
    width=encoder_width, axis_name=None, dtype=jnp.float32, remat=False
  )

  def maps(key):
    pixels = jnp.zeros((1, 1, image_size, image_size, 3))
    mask_BxI = jnp.ones((1, 1), bool)
    return module.init_with_output(
      key, pixels, mask_BxI, method=lambda m, *inputs: _maps(m, *inputs)
    )[0]

  shapes = jax.eval_shape(maps, jax.random.key(0))
  return [views * x.shape[-1] for x in shapes for _ in _POOLINGS]


def _maps(encoder, pixels, mask_BxI):
  """Deep stages of an encoder that has them, else its last map alone."""
  if isinstance(encoder, EfficientNet):
    return encoder(pixels, mask_BxI, False, stages=True)[_STAGES]
  return [encoder(pixels, mask_BxI, False)]


def pooled_films(encoder: nn.Module, images, mask_B, mask_BxI) -> jax.Array:
  """Mean, maximum and deviation of each map and view, float32 (B, D).

  Args:
    encoder: of ENCODERS.
    images: as `as_pixels` takes them.
    mask_B: False for padding studies.
    mask_BxI: False for images that a study does not have; they give NaN.
  """
  there_BxI = mask_BxI & mask_B[:, None]
  rows = [
    reduce(x.astype(jnp.float32), axis=(2, 3))
    for x in _maps(encoder, as_pixels(images), there_BxI)
    for reduce in _POOLINGS
  ]
  return jnp.concatenate(
    [
      jnp.where(mask_BxI[..., None], row, jnp.nan).reshape(len(mask_B), -1)
      for row in rows
    ],
    axis=1,
  )


@dataclasses.dataclass(frozen=True)
class OpinionConfig:
  """What a classifier of pooled films states.

  Attributes:
    features: numbers D of a study, see `pooled_films`.
    classes: findings.
    stated_above: probability above which a finding is stated,
    study_above: if any of the study's is above this.
  """

  features: int
  classes: int
  stated_above: float
  study_above: float


def stated(probability_BxG: jax.Array, config) -> jax.Array:
  """Which findings are stated, bool (B, G).

  Args:
    probability_BxG: of each finding.
    config: with stated_above and study_above.
  """
  likeliest_Bx1 = jnp.max(probability_BxG, axis=1, keepdims=True)
  return (probability_BxG > config.stated_above) & (
    likeliest_Bx1 > config.study_above
  )


class Opinion(nn.Module):
  """Pooled films to the findings that are stated, bool (B, G).

  Attributes:
    config: sizes and thresholds.
  """

  config: OpinionConfig

  @nn.compact
  def __call__(self, pooled_BxD: jax.Array) -> jax.Array:
    fitted = {
      name: self.param(name, nn.initializers.zeros, size)
      for name, size in opinion_sizes(self.config).items()
    }
    return stated(
      jax.nn.sigmoid(finding_logits(pooled_BxD, fitted)), self.config
    )


def opinion_sizes(config: OpinionConfig) -> dict[str, tuple[int, ...]]:
  """Shape of each array of an opinion."""
  return {
    'centre': (config.features,),
    'deviation': (config.features,),
    'weight': (config.features,),
    'findings': (config.features, config.classes),
    'findings_bias': (config.classes,),
  }


def finding_logits(pooled_BxD, fitted: Mapping) -> jax.Array:
  """Logits of the findings, (B, G), by arrays of `opinion_sizes`."""
  x_BxD = standardise(
    pooled_BxD, fitted['centre'], fitted['deviation'], fitted['weight']
  )
  return x_BxD @ fitted['findings'] + fitted['findings_bias']
