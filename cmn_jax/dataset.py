"""The data that a config names."""

import os
from pathlib import Path

from ml_collections import ConfigDict

from cmn_jax.training.distributed import first_alone
from input_pipeline import data
from input_pipeline.augmentation import Augmentation
from input_pipeline.phantom.write import write_phantom


def open_dataset(config: ConfigDict) -> data.Data:
  """The data of config.data; draws the phantom first if that is asked for.

  Of several processes the first prepares what is not there yet.
  """
  return first_alone(lambda: _open(config.data))


def _open(c: ConfigDict) -> data.Data:
  if c.phantom_studies and not Path(c.dir).exists():
    write_phantom(
      c.dir,
      studies=c.phantom_studies,
      seed=c.phantom_seed,
      size=c.phantom_size,
      workers=os.cpu_count(),
    )
  return data.open_data(
    c.dir,
    views=c.views,
    image_size=c.image_size,
    stored_size=c.stored_size,
    max_length=c.max_length,
    min_count=c.min_count,
    clean=c.clean,
    cache_dir=str(Path(c.cache_dir).expanduser()),
    stream=c.stream,
    skip_bad=c.skip_bad,
    sections=c.sections,
    view_rule=c.view_rule,
    min_films=c.min_films,
    split_from=c.split_from or None,
    tokenizer=c.tokenizer,
    pieces=c.pieces,
    reference_length=c.reference_length,
  )


def augmentation_of(config: ConfigDict) -> Augmentation:
  """What config.data does to training films."""
  c = config.data
  return Augmentation(
    crop=c.crop,
    crop_margin=c.crop_margin,
    flip=c.flip,
    flip_with_text=c.flip_with_text,
    rotate=c.rotate,
    brightness=c.brightness,
    contrast=c.contrast,
  )
