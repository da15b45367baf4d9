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
from input_pipeline.errors import UserError

TEXTS = ('report', 'report+films')
# CLIP's bound on how sharp a learned temperature may become.
_LEAST_TEMPERATURE = 0.01
_LEAST_SQUARE = 1e-12


@dataclasses.dataclass(frozen=True)
class AlignmentShape:
  """What the alignment is made of.

  Attributes:
    text: what the decoder has seen when its output becomes the report's
      features: 'report', or 'report+films' as it is trained to write.
    temperature: that a learned temperature starts from; 0 for none.
  """

  text: str
  temperature: float

  def __post_init__(self):
    if self.text not in TEXTS:
      raise UserError(
        f'alignment.text is {self.text!r}; choose from {", ".join(TEXTS)}'
      )


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
    shape: see `AlignmentShape`.
  """

  shape: AlignmentShape

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
    if self.shape.temperature:
      log_temperature = self.param(
        'log_temperature',
        nn.initializers.constant(math.log(self.shape.temperature)),
        (),
      )
      aligned['temperature'] = jnp.maximum(
        jnp.exp(log_temperature), _LEAST_TEMPERATURE
      )
    return aligned
