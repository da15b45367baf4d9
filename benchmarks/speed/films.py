"""Films on disk, as our side reads them; TensorFlow comes with this."""

from collections.abc import Iterator

from benchmarks.speed.workloads import LENGTH, SEED, VIEWS, Plan
from input_pipeline import batches
from input_pipeline.config import DataConfig
from input_pipeline.data import Data, open_data


def _config(plan: Plan) -> DataConfig:
  return DataConfig(
    dir=plan.data,
    cache_dir=plan.cache_dir,
    views=VIEWS,
    image_size=plan.image_size,
    max_length=LENGTH,
    flip=True,  # As the authors do.
  )


def open_films(plan: Plan) -> Data:
  """The data of a plan, prepared if they were not."""
  return open_data(_config(plan))


def train_batches(data: Data, plan: Plan) -> Iterator[dict]:
  """Training batches without end, cropped and flipped as the authors do."""
  return batches.train_batches(
    data,
    batch_size=plan.batch,
    seed=SEED,
    augmentation=_config(plan).augmentation,
  )
