"""Records to the films of a batch, in TensorFlow."""

from input_pipeline.augmentation import augment_film
from input_pipeline.datasets.shards import film_key
from input_pipeline.tensorflow_cpu import tf, without_warnings


def decode_record(data, record, draws_IxD, flip_I, present_I, augmentation):
  """One serialised study to uint8 (I, H, W).

  Args:
    data: a `pipeline.Data`.
    record: bytes, as a scalar tensor.
    draws_IxD: from [0, 1), for each film; see `augmentation.DRAWS`.
    flip_I: which films are mirrored.
    present_I: which films there are; the others stay zeros.
    augmentation: an `Augmentation`.
  """
  with without_warnings():  # TFDS calls a part of itself deprecated
    study = data.builder.info.features.deserialize_example(record)
  films = [
    augment_film(
      study[film_key(view)],
      data.image_size,
      draws_IxD[view],
      flip_I[view],
      augmentation,
    )
    for view in range(data.views)
  ]
  films_IxHxW = tf.stack(films)
  if augmentation.brightness:
    films_IxHxW *= tf.cast(present_I, tf.uint8)[:, None, None]
  return films_IxHxW
