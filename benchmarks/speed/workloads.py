"""What is measured: the workloads, their sizes and data, for both sides."""

import dataclasses
import json
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from configs import iu_xray

# Each workload, and what one run of it is. The order is that of the table.
WORKLOADS = {
  'memory': 'querying the memory, forward + backward, one batch, training',
  'encoder': 'visual encoder, forward, one batch',
  'train_step': 'one training step: loss, gradients, optimizer',
  'write_reports': 'writing one batch of reports, visual encoder excluded',
  'test_split': 'the whole test split, from films on disk to words',
  'input': 'one batch of training films, decoded and augmented',
}
# What the ratios are to reach at the published sizes, on a CPU.
GOALS = {
  'memory': 20,
  'encoder': 1,
  'train_step': 1.5,
  'write_reports': 50,
  'input': 3,
}
# Words are held off from ending a report: all are written to the last word.
END_BIAS = -30.0


@dataclasses.dataclass(frozen=True)
class Plan:
  """What both sides are asked to do.

  Attributes:
    batch: studies of a batch.
    beam: beams of a study.
    studies: of the test split.
    split_batches: batches of the test split that theirs runs; its time of the
      whole is scaled from them. 0 runs all, as ours always does.
    image_size: pixels.
    encoder: a key of RESNETS.
    vocabulary: words, the 0 included.
    data: folder in the R2Gen layout, for 'input' and 'test_split'.
    cache_dir: where our prepared films are kept.
    checkout: of the authors' code, or None.
    threads: cores of each side.
    dtype: of our arithmetic.
    folder: for what the sides share.
  """

  batch: int
  beam: int
  studies: int
  split_batches: int
  image_size: int
  encoder: str
  vocabulary: int
  data: str
  cache_dir: str
  checkout: str | None
  threads: int
  dtype: str
  folder: str

  def save(self) -> Path:
    """Writes itself into its folder, for the workers."""
    path = Path(self.folder) / 'plan.json'
    path.write_text(json.dumps(dataclasses.asdict(self)))
    return path

  @classmethod
  def load(cls, path: Path | str) -> 'Plan':
    """From what `save` wrote."""
    return cls(**json.loads(Path(path).read_text()))

  @property
  def weights(self) -> Path:
    """The weights of both sides: arrays by the authors' names."""
    return Path(self.folder) / 'weights.npz'

  def config(self) -> ConfigDict:
    """The published recipe at these sizes."""
    config = iu_xray.get_config('cmn')
    config.data.dir = self.data
    config.data.cache_dir = self.cache_dir
    config.data.image_size = self.image_size
    config.data.flip = True  # As the authors do.
    config.model.encoder = self.encoder
    config.model.dtype = self.dtype
    config.train.batch_size = config.eval.batch_size = self.batch
    config.decode.beam_size = self.beam
    return config

  def split_share(self, side: str) -> tuple[int, float]:
    """Batches of the test split to run, and what to multiply the time by."""
    batches = -(-self.studies // self.batch)
    if side == 'ours' or not self.split_batches:
      return batches, 1.0
    run = min(self.split_batches, batches)
    return run, batches / run


def training_batch(plan: Plan) -> dict[str, np.ndarray]:
  """Random films, and reports of all lengths."""
  rng = np.random.default_rng(1)
  config = plan.config()
  length, size = config.data.max_length, plan.image_size
  ids_BxT = rng.integers(1, plan.vocabulary, (plan.batch, length))
  words_B = rng.integers(length // 4, length, plan.batch)
  ids_BxT[:, 0] = 0
  ids_BxT[np.arange(length) >= words_B[:, None]] = 0
  return {
    'images_BxIxHxW': rng.integers(
      0, 256, (plan.batch, config.data.views, size, size), np.uint8
    ),
    'ids_BxT': ids_BxT.astype(np.int32),
    'mask_B': np.ones(plan.batch, bool),
    'mask_BxI': np.ones((plan.batch, config.data.views), bool),
  }


def features(plan: Plan, width: int) -> np.ndarray:
  """Random patches of all views, (B, P, width), none negative."""
  views, side = plan.config().data.views, plan.image_size // 32
  size = (plan.batch, views * side * side, width)
  return np.abs(np.random.default_rng(2).normal(size=size)).astype(np.float32)
