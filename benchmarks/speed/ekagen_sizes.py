"""EKAGen's workloads: their sizes and what both sides are shown."""

import dataclasses
import functools

import numpy as np

from benchmarks.speed.workloads import SEED, Plan
from cmn_jax.models.ekagen import END, SPECIAL, START, CaptionerShape
from cmn_jax.models.ekagen_config import COMPAT, EkagenConfig
from cmn_jax.models.encoders import ENCODERS
from cmn_jax.models.resnet import RESNETS, Bottleneck, ResNet
from cmn_jax.training.optimizer import OptimConfig
from input_pipeline.findings import NO_FINDING
from input_pipeline.findings.vocabulary import CHEXPERT_14

CLASSES, NO_FINDING_CLASS = len(CHEXPERT_14), CHEXPERT_14.index(NO_FINDING)
# Of the classifier: the side of its films, and where all classes begin.
BOT_SIDE, THRESHOLD = 224, 0.5
# The authors' recipe (train_iu.sh), and all switches as they have them.
OPTIM = OptimConfig(
  visual_rate=1e-5,
  rate=1e-4,
  schedule='step',
  step_epochs=20,
  gamma=0.1,
  warmup_steps=0,
  b1=0.9,
  b2=0.999,
  epsilon=1e-8,
  weight_decay=1e-4,
  decoupled=True,
  amsgrad=False,
  clip_norm=0.1,
)
RULES = EkagenConfig(
  **COMPAT,
  compat=True,
  teacher='',
  knowledge='',
  locator='',
  masks='',
  frozen='stem',
  dilated=True,
  word_hidden=512,
  kd_weight=0.01,
  temperature=4.0,
  mask_threshold=0.25,
)


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


# A ResNet for `small` alone, quick to compile: five blocks of ResNet-101's.
_FEW = 'five_bottlenecks'
RESNETS[_FEW] = (Bottleneck, (1, 1, 1, 2))
ENCODERS[_FEW] = functools.partial(ResNet, *RESNETS[_FEW])
SIZES = {
  # Of train_iu.sh and test_iu.sh.
  'published': Sizes(CaptionerShape(vocabulary=760), 300, 8, 16, 3),
  'small': Sizes(
    CaptionerShape(
      vocabulary=40,
      encoder=_FEW,
      encoder_width=4,
      width=32,
      heads=4,
      hidden=48,
      layers=2,
      max_length=16,
    ),
    image=64,
    train=2,
    write=2,
    passes=2,
  ),
}


def sizes_of(plan: Plan) -> Sizes:
  """Those that a plan names."""
  return SIZES[plan.ekagen_size]


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
