"""EKAGen's workloads: their sizes and what both sides are shown."""

import dataclasses
import functools

import numpy as np

from benchmarks.speed import workloads
from benchmarks.speed.workloads import SEED
from cmn_jax.models.ekagen import END, SPECIAL, START, CaptionerShape
from cmn_jax.models.ekagen_config import COMPAT, EkagenConfig
from cmn_jax.models.encoders import ENCODERS
from cmn_jax.models.resnet import RESNETS, Bottleneck, ResNet
from configs.ekagen import RECIPE, section
from input_pipeline.findings import NO_FINDING
from input_pipeline.findings.vocabulary import CHEXPERT_14

CLASSES, NO_FINDING_CLASS = len(CHEXPERT_14), CHEXPERT_14.index(NO_FINDING)
# The encoder of `small_shape`.
SMALL_RESNET = 'tiny_bottlenecks'
# Of the classifier: the side of its films, and where all classes begin.
BOT_SIDE, THRESHOLD = 224, 0.5
# The authors' recipe (train_iu.sh), and all switches as they have them.
OPTIM = dataclasses.replace(
  workloads.OPTIM,
  **{
    field.removeprefix('optim.'): value
    for field, value in RECIPE.items()
    if field.startswith('optim.')
  },
)
RULES = EkagenConfig(**{**section(), **COMPAT, 'compat': True})


@dataclasses.dataclass(frozen=True)
class Sizes:
  """What EKAGen is measured at.

  Attributes:
    shape: of captioner and teacher.
    image: side of the films, pixels.
    train: studies of a training batch.
    write: reports that are written at once.
    passes: of theirs through the whole network that are timed, one for each
      word of all reports.
  """

  shape: CaptionerShape
  image: int
  train: int
  write: int
  passes: int

  @property
  def all_passes(self) -> int:
    """What their loop does for one batch of reports; all cost the same."""
    return self.shape.max_length - 1

  @property
  def words(self) -> int:
    """Ids that this gives to each report: the last pass's are not used."""
    return self.all_passes - 1

  def __str__(self) -> str:
    return f'{self.shape.encoder}, {self.image} pixels'


def small_shape() -> CaptionerShape:
  """A captioner that is quick to compile; makes its encoder known."""
  RESNETS[SMALL_RESNET] = (Bottleneck, (1, 1, 1, 3))
  ENCODERS[SMALL_RESNET] = functools.partial(ResNet, *RESNETS[SMALL_RESNET])
  return CaptionerShape(
    vocabulary=40,
    encoder=SMALL_RESNET,
    encoder_width=4,
    width=32,
    heads=4,
    hidden=48,
    layers=2,
    max_length=16,
  )


def sizes_of(name: str) -> Sizes:
  """Those of a plan's `ekagen_size`: 'published' or 'small'."""
  if name == 'small':
    return Sizes(small_shape(), image=64, train=2, write=2, passes=2)
  # Of train_iu.sh and test_iu.sh.
  return Sizes(CaptionerShape(vocabulary=760), 300, 8, 16, 3)


def films(sizes: Sizes, studies: int) -> np.ndarray:
  """Random films, uint8 (B, 1, H, W)."""
  size = (studies, 1, sizes.image, sizes.image)
  return np.random.default_rng(SEED).integers(0, 256, size, np.uint8)


def reports(sizes: Sizes) -> np.ndarray:
  """[1] + words + [2] and zeros, int32 (B, T + 1), of all lengths."""
  rng = np.random.default_rng(SEED)
  shape, length = sizes.shape, sizes.shape.max_length + 1
  ids_BxT = rng.integers(SPECIAL, shape.vocabulary, (sizes.train, length))
  words_B = rng.integers(length // 4, length - 1, sizes.train)
  ids_BxT[:, 0] = START
  ids_BxT[np.arange(sizes.train), words_B] = END
  ids_BxT[np.arange(length) > words_B[:, None]] = 0
  return ids_BxT.astype(np.int32)


def table(sizes: Sizes) -> np.ndarray:
  """Knowledge of each class as a layer norm leaves it, (G, T, D) float32."""
  size = (CLASSES, sizes.shape.max_length, sizes.shape.width)
  drawn = np.random.default_rng(SEED).standard_normal(size)
  return drawn.astype(np.float32)
