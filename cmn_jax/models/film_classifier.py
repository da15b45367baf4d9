"""A classifier of films alone: a visual encoder, a mean and a linear layer.

EKAGen's DiagnosisBot (Swin-T) and locator (ResNet-34) are of this form.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cmn_jax.models.encoders import ENCODERS
from cmn_jax.models.images import Encoded, as_pixels, images_of
from cmn_jax.models.layers import Linear


def build_encoder(name: str, options: dict, **sizes) -> nn.Module:
  """ENCODERS[name] with those of `options` that this encoder has.

  Args:
    name: a key of ENCODERS.
    options: values of fields that not all encoders have.
    sizes: width, axis_name, dtype, remat.
  """
  encoder = ENCODERS[name]
  fields = getattr(encoder, 'func', encoder).__dataclass_fields__
  known = {k: v for k, v in options.items() if k in fields}
  return encoder(**sizes, **known)


def first_films(films, mask_BxI):
  """Of each study the first film that it has, (B, ...).

  Args:
    films: (B, I, ...), or what belongs to each.
    mask_BxI: False for films that a study does not have.
  """
  if mask_BxI.shape[1] == 1:
    return films[:, 0]
  first_B = jnp.argmax(mask_BxI, axis=1)
  index = jnp.expand_dims(first_B, tuple(range(1, films.ndim)))
  return jnp.take_along_axis(films, index, axis=1)[:, 0]


class FilmClassifier(nn.Module):
  """Films to logits of classes; a study's features are its films' mean.

  Attributes:
    encoder: a key of ENCODERS.
    encoder_width: see Shape.
    classes: logits G.
    shift_last_stage: of a Swin; see there.
    axis_name: mapped axis of batch statistics, or None.
    dtype: type of the encoder's arithmetic.
    remat: recompute the encoder's blocks in the backward pass.
  """

  encoder: str
  encoder_width: int
  classes: int
  shift_last_stage: bool = False
  axis_name: str | None = None
  dtype: Any = jnp.float32
  remat: bool = False

  def setup(self):
    self.visual_encoder = build_encoder(
      self.encoder,
      {'shift_last_stage': self.shift_last_stage},
      width=self.encoder_width,
      axis_name=self.axis_name,
      dtype=self.dtype,
      remat=self.remat,
    )
    self.head = Linear(self.classes, 'torch')

  def __call__(self, images_BxIxHxWxC, mask_B, train: bool, mask_BxI=None):
    """Logits, (B, G) float32.

    Args:
      images_BxIxHxWxC: normalised films, float32.
      mask_B: False for padding studies, which batch statistics leave out.
      train: batch statistics and stochastic depth on (the 'dropout' key).
      mask_BxI: False for films that a study does not have.
    """
    return self.maps_and_logits(images_BxIxHxWxC, mask_B, train, mask_BxI)[1]

  def maps_and_logits(
    self, images_BxIxHxWxC, mask_B, train: bool = False, mask_BxI=None
  ):
    """The encoder's maps (B, I, h, w, F), and logits (B, G)."""
    if mask_BxI is None:
      mask_BxI = jnp.ones(images_BxIxHxWxC.shape[:2], bool)
    maps = self.visual_encoder(
      images_BxIxHxWxC, mask_B[:, None] & mask_BxI, train
    )
    return maps, self.logits_of(maps, mask_BxI)

  def logits_of(self, maps_BxIxhxwxF, mask_BxI):
    """Logits (B, G) of what the encoder has seen."""
    mean_BxIxF = jnp.mean(maps_BxIxhxwxF, axis=(2, 3), dtype=jnp.float32)
    mean_BxIxF = jnp.where(mask_BxI[..., None], mean_BxIxF, 0)
    films_Bx1 = jnp.maximum(jnp.sum(mask_BxI, axis=1, keepdims=True), 1)
    return self.head(jnp.sum(mean_BxIxF, axis=1) / films_Bx1)


class SingleFilmClassifier(FilmClassifier):
  """The same of a batch, each film by itself.

  In training every film of a study is seen, with the study's labels; else the
  first one that is there alone.
  """

  def __call__(self, batch: dict, train: bool = False) -> dict:
    """{'logits': (B, G)}, or (B * I, G) in training, a study's rows in turn.

    Args:
      batch: images_BxIxHxW, or maps_BxIxhxwxF of a frozen encoder, and masks.
      train: as for a `FilmClassifier`.
    """
    mask_BxI = batch['mask_BxI']

    def seen(x):
      """Each film that is seen, as a study of its own."""
      if train:
        return x.reshape(-1, 1, *x.shape[2:])
      return first_films(x, mask_BxI)[:, None]

    mask_N = seen(mask_BxI & batch['mask_B'][:, None])[:, 0]
    images = images_of(batch)
    if isinstance(images, Encoded):
      return {'logits': self.logits_of(seen(images.maps), mask_N[:, None])}
    pixels = as_pixels(seen(images))
    return {'logits': super().__call__(pixels, mask_N, train)}
