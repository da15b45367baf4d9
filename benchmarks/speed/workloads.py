"""What is measured: the workloads, their sizes and data, for both sides."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from cmn_jax.models.config import ModelConfig
from cmn_jax.training.optimizer import OptimConfig

# Each workload, and what one run of it is. The order is that of the table.
WORKLOADS = {
  'memory': 'querying the memory, forward + backward, one batch, training',
  'encoder': 'visual encoder, forward, one batch',
  'train_step': 'one training step: loss, gradients, optimizer',
  'write_reports': 'writing one batch of reports, visual encoder excluded',
  'test_split': 'the whole test split, from films on disk to words',
  'input': 'one batch of training films, decoded and augmented',
  'ekagen_train_step': 'EKAGen: one training step of a student and its teacher',
  'ekagen_write': 'EKAGen: writing one batch of reports, films to words',
}
EKAGEN = ('ekagen_train_step', 'ekagen_write')
# What the ratios are to reach at the published sizes, on a CPU.
GOALS = {
  'memory': 20,
  'encoder': 1,
  'train_step': 1.5,
  'write_reports': 50,
  'input': 3,
  'ekagen_train_step': 1.5,
  'ekagen_write': 100,
}
# Of configs/iu_xray.py, which takes a package that a machine may not have.
VIEWS, LENGTH, SEED = 2, 60, 7580
OPTIM = OptimConfig(
  visual_rate=1e-4,
  rate=5e-4,
  schedule='step',
  step_epochs=10,
  gamma=0.8,
  warmup_steps=0,
  b1=0.9,
  b2=0.98,
  epsilon=1e-9,
  weight_decay=5e-5,
  decoupled=False,
  amsgrad=True,
  clip_norm=0.0,
)
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
    parallel: how our training step is mapped over its one device.
    search: how our memory finds its best slots, a key of `ours.SEARCHES`.
    ekagen: checkout of EKAGen's authors, or None.
    ekagen_size: of EKAGen's workloads, a key of `ekagen_sizes.SIZES`.
    remat: whether our training step computes its encoder's blocks again.
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
  parallel: str = 'pmap'
  search: str = 'threshold'
  ekagen: str | None = None
  ekagen_size: str = 'published'
  remat: bool = False

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

  def ekagen_weights(self, part: str) -> Path:
    """The same of EKAGen's 'captioner' or 'bot'."""
    return Path(self.folder) / f'ekagen_{part}.npz'

  def model(self, vocabulary: int | None = None) -> ModelConfig:
    """The published `cmn` at these sizes, of other words if they are given."""
    return ModelConfig(
      encoder=self.encoder,
      encoder_width=64,
      memory='shared',
      memory_slots=2048,
      memory_top_k=32,
      width=512,
      heads=8,
      hidden=512,
      layers=3,
      dropout=0.1,
      patch_dropout=0.5,
      memory_dropout=0.1,
      vocabulary=vocabulary or self.vocabulary,
      max_length=LENGTH,
      dtype=self.dtype,
      remat=self.remat,
    )

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
  size = (plan.batch, VIEWS, plan.image_size, plan.image_size)
  ids_BxT = rng.integers(1, plan.vocabulary, (plan.batch, LENGTH))
  words_B = rng.integers(LENGTH // 4, LENGTH, plan.batch)
  ids_BxT[:, 0] = 0
  ids_BxT[np.arange(LENGTH) >= words_B[:, None]] = 0
  return {
    'images_BxIxHxW': rng.integers(0, 256, size, np.uint8),
    'ids_BxT': ids_BxT.astype(np.int32),
    'mask_B': np.ones(plan.batch, bool),
    'mask_BxI': np.ones((plan.batch, VIEWS), bool),
  }


def features(plan: Plan, width: int) -> np.ndarray:
  """Random patches of all views, (B, P, width), none negative."""
  side = plan.image_size // 32
  size = (plan.batch, VIEWS * side * side, width)
  return np.abs(np.random.default_rng(2).normal(size=size)).astype(np.float32)
