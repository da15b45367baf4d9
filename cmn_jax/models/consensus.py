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

from cmn_jax.models.encoders import ENCODERS
from cmn_jax.models.film_features import pooled_films, standardise, stated
from input_pipeline.errors import UserError

# A candidate that states one finding too many loses to all that do not.
_WORSE = 1e4


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
    """See `pooled_films`; (B, D)."""
    return pooled_films(
      self.visual_encoder,
      batch['images_BxIxHxW'],
      batch['mask_B'],
      batch['mask_BxI'],
    )

  def standardised(self, pooled_BxD: jax.Array) -> jax.Array:
    """See `standardise`; (B, D)."""
    fitted = self.fitted
    return standardise(
      pooled_BxD, fitted['centre'], fitted['deviation'], fitted['weight']
    )

  def __call__(self, batch: dict, train: bool = False) -> dict:
    """'logits' of findings (B, C), 'utility' of reports (B, R), and 'features'.

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
      'features': x_BxD,
    }

  def choose(self, batch: dict) -> dict:
    """'probability' of findings (B, C), those 'stated', and 'choice' (B,).

    Also 'features', the standardised ones, (B, D).
    """
    outputs = self(batch)
    probability_BxC = jax.nn.sigmoid(outputs['logits'])
    stated_BxC = stated(probability_BxC, self.config)
    wanted = stated_BxC.astype(jnp.float32)
    has = self.fitted['stated']
    differing_BxR = wanted @ (1.0 - has).T + (1.0 - wanted) @ has.T
    choice_B = jnp.argmax(outputs['utility'] - _WORSE * differing_BxR, axis=1)
    return {
      'probability': probability_BxC,
      'stated': stated_BxC,
      'choice': choice_B,
      'features': outputs['features'],
    }
