"""Image-text alignment: a unit vector of a study's films, one of its report.

The report's is read off the decoder's output over the vocabulary: a linear
projection to the width of the visual features, attention pooling over the real
tokens, L2 normalisation. The films' is the mean of all views' pooled features,
normalised. They are F numbers both, and training pulls those of a study
together (`cmn_jax/losses/contrastive.py`).
"""

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from cmn_jax.models.layers import torch_uniform
from input_pipeline.errors import UserError, check_choice, check_least

FORMS = ('cosine', 'infonce')
TEXTS = ('report', 'report+films')
# CLIP's bound on how sharp a learned temperature may become.
_LEAST_TEMPERATURE = 0.01
_LEAST_SQUARE = 1e-12


@dataclasses.dataclass(frozen=True)
class AlignmentConfig:
  """How images and reports are aligned: the `alignment` section of a config.

  Attributes:
    weight: of the loss beside the report's; 0 for no alignment.
    warmup_steps: training steps over which the weight rises from 0 evenly.
    form: 'cosine' or 'infonce'.
    margin: cosine below which a pair that does not match costs nothing; of
      'cosine' alone.
    temperature: that the learned one of 'infonce' starts from.
    text: what the decoder has seen when its output becomes the report's
      features: 'report', or 'report+films' as it is trained to write.
    mask_identical: a study with word for word the same report is no negative.
  """

  weight: float = 1.0
  warmup_steps: int = 0
  form: str = 'cosine'
  margin: float = 0.0
  temperature: float = 0.07
  text: str = 'report'
  mask_identical: bool = True

  def __post_init__(self):
    for name, choices in (('form', FORMS), ('text', TEXTS)):
      check_choice(f'alignment.{name}', getattr(self, name), choices)
    for name in ('weight', 'warmup_steps'):
      check_least(f'alignment.{name}', getattr(self, name), 0)
    if not -1 <= self.margin <= 1:
      raise UserError(
        f'alignment.margin is {self.margin}; a cosine lies from -1 to 1'
      )
    if self.learns_temperature and self.temperature <= 0:
      raise UserError(
        f'alignment.temperature is {self.temperature}; it must be above 0'
      )

  @property
  def learns_temperature(self) -> bool:
    """Whether the loss divides cosines by a learned temperature."""
    return self.form == 'infonce'

  def weight_at(self, step: jax.Array | int) -> jax.Array | float:
    """The loss's weight in a training step, counted from 0."""
    if not self.warmup_steps:
      return self.weight
    return self.weight * jnp.minimum((step + 1) / self.warmup_steps, 1.0)


def unit(x_BxF):
  """Rows of length 1; a row of zeros stays, with a finite gradient."""
  square = jnp.sum(jnp.square(x_BxF), axis=-1, keepdims=True)
  return x_BxF * jax.lax.rsqrt(jnp.maximum(square, _LEAST_SQUARE))


def project_and_pool(text_BxTxV, real_BxT, kernel_VxF, bias_F, query_F):
  """Attention pooling of T' = T W + b, (B, F), without ever making T'.

  The scores e_i = query . T'_i are T_i . (W query) but for a constant, which
  the softmax ignores; the sum of a_i T'_i is (sum of a_i T_i) W + b. At the
  4,253 words of MIMIC-CXR, F = 2048 and 59 tokens, a study costs 0.5 million
  multiplications for scores and sum and 8.7 million for the projection, where
  projecting each token would cost 514 million and hold (B, T, F); W query adds
  8.7 million a step. What it does cost is W itself: 8.7 million parameters, 35
  MB, three or four times that with the optimizer's moments.

  Args:
    text_BxTxV: the decoder's output over the vocabulary.
    real_BxT: False for padding, which gets no weight; a row without any real
      token pools its padding, and is finite.
    kernel_VxF: W.
    bias_F: b.
    query_F: the learned vector that scores tokens.
  """
  score_BxT = text_BxTxV @ (kernel_VxF @ query_F)
  score_BxT = jnp.where(real_BxT, score_BxT, jnp.finfo(score_BxT.dtype).min)
  weight_BxT = jax.nn.softmax(score_BxT, axis=-1)
  pooled_BxV = jnp.einsum('bt,btv->bv', weight_BxT, text_BxTxV)
  return pooled_BxV @ kernel_VxF + bias_F


class Alignment(nn.Module):
  """The learned part: projection, scoring vector, and maybe a temperature.

  Attributes:
    config: see `AlignmentConfig`.
  """

  config: AlignmentConfig

  @nn.compact
  def __call__(self, text_BxTxV, real_BxT, means_BxIxF):
    """Unit vectors of films and reports, and the temperature.

    Args:
      text_BxTxV: logits of the decoder, float32: its output over the
        vocabulary before the softmax, whose probabilities are nearly the same
        for most words of any two reports.
      real_BxT: which positions are no padding.
      means_BxIxF: pooled features of each view.

    Returns:
      {'films_BxF', 'text_BxF'} and, where one is learned, 'temperature'.
    """
    words, features = text_BxTxV.shape[-1], means_BxIxF.shape[-1]
    start = torch_uniform(words)
    kernel_VxF = self.param('kernel', start, (words, features))
    bias_F = self.param('bias', start, (features,))
    query_F = self.param('query', torch_uniform(features), (features,))
    text_BxF = project_and_pool(
      text_BxTxV, real_BxT, kernel_VxF, bias_F, query_F
    )
    aligned = {
      'films_BxF': unit(jnp.mean(means_BxIxF, axis=1)),
      'text_BxF': unit(text_BxF),
    }
    if self.config.learns_temperature:
      log_temperature = self.param(
        'log_temperature',
        nn.initializers.constant(math.log(self.config.temperature)),
        (),
      )
      aligned['temperature'] = jnp.maximum(
        jnp.exp(log_temperature), _LEAST_TEMPERATURE
      )
    return aligned
