"""Training films changed at random, in TensorFlow; the draws come from outside.

Each step takes and gives a uint8 film of grey levels. All that `Augmentation`
has at zero is left out of the program, so the authors' recipe stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from input_pipeline.config import Augmentation
from input_pipeline.tensorflow_cpu import tf

# What is drawn from [0, 1) for each film, in this order. The films of a study
# are exposed one by one, so each is placed, turned and lit by itself.
TOP, LEFT, FLIP, BOTTOM, RIGHT, ANGLE, BRIGHTNESS, CONTRAST = range(8)
DRAWS = 8

WHOLE = Augmentation()


def augment_films(
  films: Sequence[tf.Tensor],
  size: int,
  draws_IxD: tf.Tensor,
  flip_I: tf.Tensor,
  present_I: tf.Tensor,
  augmentation: Augmentation,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Stored films of one study to uint8 (I, size, size), and their boxes (I, 4).

  `present_I` says which films there are; the others stay zeros. For the rest
  see `augment_film`.
  """
  augmented = [
    augment_film(film, size, draws_IxD[i], flip_I[i], augmentation)
    for i, film in enumerate(films)
  ]
  images, boxes = zip(*augmented, strict=True)
  images_IxHxW = tf.stack(images)
  if augmentation.brightness:
    images_IxHxW *= tf.cast(present_I, tf.uint8)[:, None, None]
  return images_IxHxW, tf.stack(boxes)


def augment_film(
  film_HxW: tf.Tensor,
  size: int,
  draws: tf.Tensor,
  flip: tf.Tensor,
  augmentation: Augmentation,
) -> tuple[tf.Tensor, tf.Tensor]:
  """One stored film to uint8 (size, size), and which part of it that is.

  Args:
    film_HxW: uint8.
    size: in pixels.
    draws: `DRAWS` numbers from [0, 1).
    flip: bool, whether to mirror it.
    augmentation: what is done to it.

  Returns:
    The image, and the box that was cut of the film (after a rotation, before a
    flip): y0, x0, y1, x1 as fractions of it, float32.
  """
  a = augmentation
  if a.rotate:
    film_HxW = rotate(film_HxW, _spread(draws[ANGLE], a.rotate))
  if a.crop_margin:
    edges = a.crop_margin * tf.gather(draws, (TOP, LEFT, BOTTOM, RIGHT))
    corners = inner_corners(film_HxW, edges)
  elif a.crop:
    corners = _square_corners(film_HxW, size, draws)
  else:
    corners = tf.concat([(0, 0), tf.shape(film_HxW)], 0)
  box = tf.cast(corners / tf.tile(tf.shape(film_HxW), [2]), tf.float32)
  top, left, bottom, right = tf.unstack(corners)
  film_HxW = resize_square(film_HxW[top:bottom, left:right], size)
  if a.brightness or a.contrast:
    film_HxW = light(
      film_HxW,
      _spread(draws[BRIGHTNESS], a.brightness),
      _spread(draws[CONTRAST], a.contrast),
    )
  if a.flip or a.flip_with_text:
    film_HxW = tf.cond(flip, lambda: film_HxW[:, ::-1], lambda: film_HxW)
  return tf.ensure_shape(film_HxW, [size, size]), box


def rotate(film_HxW: tf.Tensor, degrees: tf.Tensor | float) -> tf.Tensor:
  """Turns a film clockwise about its middle; what comes in is black."""
  angle = tf.cast(degrees * (math.pi / 180), tf.float32)
  cos, sin = tf.cos(angle), tf.sin(angle)
  middle = tf.cast(tf.shape(film_HxW) - 1, tf.float32) / 2
  y, x = middle[0], middle[1]
  # Where each pixel of the result is found in the film.
  places = [cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y]
  turned = tf.raw_ops.ImageProjectiveTransformV3(
    images=tf.cast(film_HxW[None, ..., None], tf.float32),
    transforms=tf.stack([*places, 0.0, 0.0])[None],
    output_shape=tf.shape(film_HxW),
    fill_value=0.0,
    interpolation='BILINEAR',
    fill_mode='CONSTANT',
  )
  return _grey(turned[0, ..., 0])


def inner_corners(film_HxW: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
  """Corners without these shares of a film at top, left, bottom and right."""
  shape = tf.shape(film_HxW)
  cut = tf.cast(shares * tf.cast(tf.tile(shape, [2]), tf.float64), tf.int32)
  return tf.concat([cut[:2], shape - cut[2:]], 0)


def light(
  film_HxW: tf.Tensor,
  brightness: tf.Tensor | float,
  contrast: tf.Tensor | float,
) -> tf.Tensor:
  """Differences from the mean times 1 + contrast, and brightness added."""
  film = tf.cast(film_HxW, tf.float32)
  mean = tf.reduce_mean(film)
  factor = 1 + tf.cast(contrast, tf.float32)
  added = 255 * tf.cast(brightness, tf.float32)
  return _grey(mean + factor * (film - mean) + added)


def resize_square(film_HxW: tf.Tensor, size: int) -> tf.Tensor:
  """Val and test films are stored at `size`: they pass through unchanged."""

  def resized():
    film = tf.image.resize(film_HxW[..., None], [size, size], antialias=True)
    return tf.cast(tf.round(film[..., 0]), tf.uint8)

  fits = tf.reduce_all(tf.shape(film_HxW) == size)
  return tf.cond(fits, lambda: film_HxW, resized)


def _square_corners(film_HxW, size, draws):
  """Corners of a square at a place drawn uniformly from all places."""
  places = tf.cast(tf.shape(film_HxW) - size + 1, tf.float64)
  corner = tf.cast(draws[: LEFT + 1] * places, tf.int32)
  return tf.concat([corner, corner + size], 0)


def _spread(draw, most):
  """From [0, 1) to [-most, most)."""
  return most * (2 * draw - 1)


def _grey(film):
  return tf.cast(tf.round(tf.clip_by_value(film, 0, 255)), tf.uint8)
