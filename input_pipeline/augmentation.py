"""Training films changed at random, in TensorFlow; the draws come from outside.

Each step takes and gives a uint8 film of grey levels. All that `Augmentation`
has at zero is left out of the program, so the authors' recipe stays as it is.
"""

import dataclasses
import math

from input_pipeline.errors import UserError
from input_pipeline.tensorflow_cpu import tf

# What is drawn from [0, 1) for each film, in this order. The films of a study
# are exposed one by one, so each is placed, turned and lit by itself.
TOP, LEFT, FLIP, BOTTOM, RIGHT, ANGLE, BRIGHTNESS, CONTRAST = range(8)
DRAWS = 8

_MAX_DEGREES = 45


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """What is done to training films.

  Attributes:
    crop: a random part of each film; else the whole film, resized.
    crop_margin: 0 crops a square of the model's size at any place, as R2Gen
      does. Above, each edge loses at most this share of the film, so that the
      lungs stay, and the rest is resized.
    flip: mirrors each film with even chance, and leaves the words alone.
    flip_with_text: mirrors all films of a study with even chance, and swaps
      the sides in its report.
    rotate: degrees, at most, either way.
    brightness: share of the grey scale that is added, at most, either way.
    contrast: share by which differences grow or shrink, at most.
  """

  crop: bool
  crop_margin: float
  flip: bool
  flip_with_text: bool
  rotate: float
  brightness: float
  contrast: float

  def __post_init__(self):
    for name, bound in (
      ('crop_margin', 0.5),
      ('rotate', _MAX_DEGREES),
      ('brightness', 1),
      ('contrast', 1),
    ):
      if not 0 <= getattr(self, name) < bound:
        raise UserError(
          f'{name} is {getattr(self, name)}; expected 0 or more, and less '
          f'than {bound}.'
        )
    if self.crop_margin and not self.crop:
      raise UserError(
        f'crop_margin is {self.crop_margin}, but crop is off: set crop=True '
        f'or crop_margin=0.'
      )
    if self.flip and self.flip_with_text:
      raise UserError(
        'flip and flip_with_text are both on: the first leaves the words of a '
        'mirrored film alone, the second swaps them; choose one.'
      )


WHOLE = Augmentation(
  crop=False,
  crop_margin=0.0,
  flip=False,
  flip_with_text=False,
  rotate=0.0,
  brightness=0.0,
  contrast=0.0,
)


def augment_films(films, size, draws_IxD, flip_I, present_I, augmentation):
  """Stored films of one study to uint8 (I, size, size).

  `present_I` says which films there are; the others stay zeros. For the rest
  see `augment_film`.
  """
  films_IxHxW = tf.stack(
    [
      augment_film(film, size, draws_IxD[i], flip_I[i], augmentation)
      for i, film in enumerate(films)
    ]
  )
  if augmentation.brightness:
    films_IxHxW *= tf.cast(present_I, tf.uint8)[:, None, None]
  return films_IxHxW


def augment_film(film_HxW, size, draws, flip, augmentation):
  """One stored film to uint8 (size, size).

  Args:
    film_HxW: uint8.
    size: in pixels.
    draws: `DRAWS` numbers from [0, 1).
    flip: bool, whether to mirror it.
    augmentation: an `Augmentation`.
  """
  a = augmentation
  if a.rotate:
    film_HxW = rotate(film_HxW, _spread(draws[ANGLE], a.rotate))
  if a.crop_margin:
    edges = tf.gather(draws, (TOP, BOTTOM, LEFT, RIGHT))
    film_HxW = resize_square(crop_edges(film_HxW, a.crop_margin * edges), size)
  elif a.crop:
    film_HxW = _crop(film_HxW, size, draws)
  else:
    film_HxW = resize_square(film_HxW, size)
  if a.brightness or a.contrast:
    film_HxW = light(
      film_HxW,
      _spread(draws[BRIGHTNESS], a.brightness),
      _spread(draws[CONTRAST], a.contrast),
    )
  if a.flip or a.flip_with_text:
    film_HxW = tf.cond(flip, lambda: film_HxW[:, ::-1], lambda: film_HxW)
  return tf.ensure_shape(film_HxW, [size, size])


def rotate(film_HxW, degrees):
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


def crop_edges(film_HxW, shares):
  """A film without these shares of it at the top, bottom, left and right."""
  height, width = tf.unstack(tf.shape(film_HxW))
  sides = tf.cast(tf.stack([height, height, width, width]), tf.float64)
  top, bottom, left, right = tf.unstack(tf.cast(shares * sides, tf.int32))
  return film_HxW[top : height - bottom, left : width - right]


def light(film_HxW, brightness, contrast):
  """Differences from the mean times 1 + contrast, and brightness added."""
  film = tf.cast(film_HxW, tf.float32)
  mean = tf.reduce_mean(film)
  factor = 1 + tf.cast(contrast, tf.float32)
  added = 255 * tf.cast(brightness, tf.float32)
  return _grey(mean + factor * (film - mean) + added)


def resize_square(film_HxW, size):
  """Val and test films are stored at `size`: they pass through unchanged."""

  def resized():
    film = tf.image.resize(film_HxW[..., None], [size, size], antialias=True)
    return tf.cast(tf.round(film[..., 0]), tf.uint8)

  fits = tf.reduce_all(tf.shape(film_HxW) == size)
  return tf.cond(fits, lambda: film_HxW, resized)


def _crop(film_HxW, size, draws):
  """A square at a place drawn uniformly from all places."""
  places = tf.cast(tf.shape(film_HxW) - size + 1, tf.float64)
  top, left = tf.unstack(tf.cast(draws[: LEFT + 1] * places, tf.int32))
  return film_HxW[top : top + size, left : left + size]


def _spread(draw, most):
  """From [0, 1) to [-most, most)."""
  return most * (2 * draw - 1)


def _grey(film):
  return tf.cast(tf.round(tf.clip_by_value(film, 0, 255)), tf.uint8)
