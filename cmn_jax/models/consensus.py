"""Films to a report that training has: findings first, then the best words.

A frozen encoder's maps are pooled to one vector of a study. Linear maps of it
give the findings, and the utility that each candidate report would have: its
expected score over the reports of similar training studies. The candidate that
states what is found, and of those the one with the highest utility, is written.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cmn_jax.models.efficientnet import EfficientNet
from cmn_jax.models.encoders import ENCODERS
from cmn_jax.models.images import as_pixels
from input_pipeline.errors import UserError

# Stages of an encoder that has them, deep enough to tell findings.
_STAGES = slice(3, 7)
# A candidate that states one finding too many loses to all that do not.
_WORSE = 1e4
_CLIP = 6.0
_POOLINGS = (jnp.mean, jnp.max, jnp.std)


@dataclasses.dataclass(frozen=True)
class ConsensusConfig:
  """The `consensus` section of a config.

  Attributes:
    l2: penalty on the weights of the findings' logistic regression.
    ridge: penalty of the regression from a study to utilities.
    cider_weight: of CIDEr beside BLEU-4 in the utility.
    stated_above: probability from which on a finding is stated,
    study_above: if any of the study's reaches this.
  """

  l2: float
  ridge: float
  cider_weight: float
  stated_above: float
  study_above: float

  def __post_init__(self):
    for name in ('l2', 'ridge'):
      if not getattr(self, name) > 0:
        raise UserError(
          f'consensus.{name} is {getattr(self, name)}; it must be above 0'
        )
    for name in ('stated_above', 'study_above'):
      if not 0 <= getattr(self, name) <= 1:
        raise UserError(
          f'consensus.{name} is {getattr(self, name)}; a probability lies from '
          '0 to 1'
        )


def standardise(pooled_BxD, centre_D, deviation_D, weight_D):
  """Features of mean 0 and deviation 1 in training, clipped, then weighed."""
  x = (pooled_BxD - centre_D) / deviation_D
  return x.clip(-_CLIP, _CLIP) * weight_D


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


class Consensus(nn.Module):
  """The network; all but the encoder is fitted in closed form.

  Attributes:
    encoder: a key of ENCODERS.
    encoder_width: as for a report generator.
    views: images of a study.
    features: numbers D of a study, see `pooled`.
    classes: findings C.
    reports: candidates R.
    config: penalties and thresholds.
    dtype: of the encoder's convolutions.
  """

  encoder: str
  encoder_width: int
  views: int
  features: int
  classes: int
  reports: int
  config: ConsensusConfig
  dtype: Any = jnp.float32

  def setup(self):
    self.visual_encoder = ENCODERS[self.encoder](
      width=self.encoder_width, axis_name=None, dtype=self.dtype, remat=False
    )
    self.fitted = {
      name: self.param(name, nn.initializers.zeros, size)
      for name, size in self.sizes.items()
    }

  @property
  def sizes(self) -> dict[str, tuple[int, ...]]:
    """Shape of each array that is fitted."""
    return {
      'centre': (self.features,),
      'deviation': (self.features,),
      'weight': (self.features,),
      'findings': (self.features, self.classes),
      'findings_bias': (self.classes,),
      'utility': (self.features, self.reports),
      'total': (self.features,),
      'prior': (self.reports,),
      'stated': (self.reports, self.classes),
    }

  def pooled(self, batch: dict) -> jax.Array:
    """Mean, maximum and deviation of each map and view, float32 (B, D).

    Images that a study does not have give zeros.
    """
    pixels = as_pixels(batch['images_BxIxHxW'])
    mask_BxI = batch['mask_BxI'] & batch['mask_B'][:, None]
    rows = [
      reduce(x.astype(jnp.float32), axis=(2, 3))
      for x in _maps(self.visual_encoder, pixels, mask_BxI)
      for reduce in _POOLINGS
    ]
    return jnp.concatenate(
      [
        jnp.where(batch['mask_BxI'][..., None], row, 0.0).reshape(
          len(mask_BxI), -1
        )
        for row in rows
      ],
      axis=1,
    )

  def standardised(self, pooled_BxD: jax.Array) -> jax.Array:
    """See `standardise`; (B, D)."""
    fitted = self.fitted
    return standardise(
      pooled_BxD, fitted['centre'], fitted['deviation'], fitted['weight']
    )

  def __call__(self, batch: dict, train: bool = False) -> dict:
    """'logits' of the findings (B, C) and 'utility' of the reports (B, R).

    Args:
      batch: of it are read images_BxIxHxW, mask_B and mask_BxI.
      train: nothing here is trained by steps.
    """
    del train
    x_BxD, fitted = self.standardised(self.pooled(batch)), self.fitted
    # The weights of training studies are to sum to 1: all share what is over.
    surplus_Bx1 = (x_BxD @ fitted['total'] - 1.0)[:, None]
    return {
      'logits': x_BxD @ fitted['findings'] + fitted['findings_bias'],
      'utility': x_BxD @ fitted['utility'] - surplus_Bx1 * fitted['prior'],
    }

  def choose(self, batch: dict) -> dict:
    """'probability' of findings (B, C), those 'stated', and 'choice' (B,)."""
    outputs = self(batch)
    probability_BxC = jax.nn.sigmoid(outputs['logits'])
    c = self.config
    stated_BxC = (probability_BxC > c.stated_above) & (
      jnp.max(probability_BxC, axis=1, keepdims=True) > c.study_above
    )
    wanted = stated_BxC.astype(jnp.float32)
    has = self.fitted['stated']
    differing_BxR = wanted @ (1.0 - has).T + (1.0 - wanted) @ has.T
    choice_B = jnp.argmax(outputs['utility'] - _WORSE * differing_BxR, axis=1)
    return {
      'probability': probability_BxC,
      'stated': stated_BxC,
      'choice': choice_B,
    }
