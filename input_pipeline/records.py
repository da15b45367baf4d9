"""Records to the films of a batch, in TensorFlow: cropped, flipped, resized."""

from input_pipeline.datasets.shards import film_key
from input_pipeline.tensorflow_cpu import tf, without_warnings


def decode_record(data, record, draws_Ix3, augment):
  """One serialised study to uint8 (I, H, W).

  Args:
    data: a `pipeline.Data`.
    record: bytes, as a scalar tensor.
    draws_Ix3: from [0, 1), for each film: top, left, flip.
    augment: {'crop': bool, 'flip': bool}.
  """
  with without_warnings():  # TFDS calls a part of itself deprecated
    study = data.builder.info.features.deserialize_example(record)
  films = []
  for view in range(data.views):
    film_HxW = study[film_key(view)]
    if augment['crop']:
      film_HxW = _crop(film_HxW, data.image_size, draws_Ix3[view])
    else:
      film_HxW = _resize_square(film_HxW, data.image_size)
    if augment['flip']:
      film_HxW = _flip(film_HxW, draws_Ix3[view, 2])
    films.append(tf.ensure_shape(film_HxW, [data.image_size] * 2))
  return tf.stack(films)


def _crop(film_HxW, size, draws):
  """A square at a place drawn uniformly from all places."""
  places = tf.cast(tf.shape(film_HxW) - size + 1, tf.float64)
  top, left = tf.unstack(tf.cast(draws[:2] * places, tf.int32))
  return film_HxW[top : top + size, left : left + size]


def _flip(film_HxW, draw):
  return tf.cond(draw < 0.5, lambda: film_HxW[:, ::-1], lambda: film_HxW)


def _resize_square(film_HxW, size):
  """Val and test films are stored at `size`: they pass through unchanged."""

  def resized():
    film = tf.image.resize(film_HxW[..., None], [size, size], antialias=True)
    return tf.cast(tf.round(film[..., 0]), tf.uint8)

  fits = tf.reduce_all(tf.shape(film_HxW) == size)
  return tf.cond(fits, lambda: film_HxW, resized)
