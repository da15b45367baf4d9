"""Disease classification from a pretrained report model's features."""

import dataclasses
import re

import flax.linen as nn
import jax.numpy as jnp

from cmn_jax.models.layers import Dropout, Linear
from cmn_jax.models.report_generator import ReportGenerator
from input_pipeline.errors import UserError, check_choice, check_least

IMAGE, REFERENCE, GENERATED = 'image', 'image+reference', 'image+generated'
INPUTS = (IMAGE, REFERENCE, GENERATED)
# Of a report model: what `Classifier.features` gives, the last of them only
# where a report is read.
FEATURES = ('visual', 'encoded', 'textual')


MULTI_LABEL, SINGLE_LABEL = 'multi_label', 'single_label'
TASKS = (MULTI_LABEL, SINGLE_LABEL)


@dataclasses.dataclass(frozen=True)
class ClassifierConfig:
  """The `classifier` section of a config; configs/fields/ explains each.

  Attributes:
    checkpoint: workdir or step of the report model to start from.
    finetune: whether that model is trained too.
    inputs: one of INPUTS; with 'image' there is no textual branch.
    task: one of TASKS.
    labels: source of the labels.
    leave_out: classes to do without, separated by commas.
    fold: 'n/K': the n-th of K parts of the training studies is not learnt
      from; '' for none.
    thresholds: what they are best by, of `scores.decisions.THRESHOLDS`.
    ce_weight: of the cross-entropy.
    focal_weight: of the focal loss; 0 leaves it out.
    gamma: how much the focal loss cares less for what is already right.
    alpha: the focal loss's weight of positives, 1 - alpha that of negatives;
      with a softmax, which has no negatives, of the whole.
    class_weights: positives weigh (negatives / positives) to this power.
    balanced_sampling: draw studies so that all classes come up alike.
    hidden: width of the branches and of the layer that fuses them.
    dropout: rate after either.
  """

  checkpoint: str = ''
  finetune: bool = False
  inputs: str = IMAGE
  task: str = MULTI_LABEL
  labels: str = 'auto'
  leave_out: str = ''
  fold: str = ''
  thresholds: str = 'f1'
  ce_weight: float = 1.0
  focal_weight: float = 0.0
  gamma: float = 2.0
  alpha: float = 0.25
  class_weights: float = 0.0
  balanced_sampling: bool = False
  hidden: int = 256
  dropout: float = 0.3

  def __post_init__(self):
    for name, choices in (('inputs', INPUTS), ('task', TASKS)):
      check_choice(f'classifier.{name}', getattr(self, name), choices)
    for name, least in (('hidden', 1), ('gamma', 0), ('class_weights', 0)):
      check_least(f'classifier.{name}', getattr(self, name), least)
    if not 0 <= self.alpha <= 1:
      raise UserError(
        f'classifier.alpha is {self.alpha}; it must be between 0 and 1'
      )
    number, folds = self.which_fold
    if self.fold and not 1 <= number <= folds:
      raise UserError(
        f"classifier.fold is {self.fold!r}; expected '' or such as '2/5'"
      )
    weights = self.ce_weight, self.focal_weight
    if min(weights) < 0 or max(weights) == 0:
      raise UserError(
        f'classifier.ce_weight is {self.ce_weight} and classifier.focal_weight '
        f'{self.focal_weight}; expected none below 0 and one above'
      )

  @property
  def reads_report(self) -> bool:
    """Whether there is a textual branch."""
    return self.inputs != IMAGE

  @property
  def which_fold(self) -> tuple[int, int]:
    """n and K of `fold`; zeros where it names none."""
    match = re.fullmatch(r'(\d+)/(\d+)', self.fold)
    return tuple(map(int, match.groups())) if match else (0, 0)

  @property
  def left_out(self) -> tuple[str, ...]:
    """The classes that `leave_out` names."""
    names = (name.strip() for name in self.leave_out.split(','))
    return tuple(filter(None, names))


class Classifier(nn.Module):
  """A report model's features, fused by a perceptron, to logits of classes.

  What it sees. Visual features: the patches of all views, as the visual encoder
  gives them, (B, 2F), and as the Transformer's encoder makes them, (B, 2D),
  mean and maximum of each. Textual features: the decoder's last states while
  it reads the report over the same images, as it was trained to, mean and
  maximum over the words, (B, 2D). So the textual branch sees the images too,
  through the decoder's cross-attention and the memory; nothing sees a report
  where `inputs` is 'image'. With 'image+reference' the report is the
  radiologist's, which nobody has at the bedside, and which labels that were
  read in it make trivial; 'image+generated' is what can be deployed.

  Attributes:
    report: the report model; its parameters are in 'report', the rest in
      'head'.
    config: sizes, and what is read.
    classes: logits.
  """

  report: ReportGenerator
  config: ClassifierConfig
  classes: int

  def setup(self):
    self.head = FusionHead(
      self.config.hidden, self.config.dropout, self.classes
    )

  def __call__(self, batch: dict, train: bool = False) -> dict:
    """{'logits': (B, classes)}.

    Args:
      batch: as a report model takes it ('ids_BxT' is not looked at with
        inputs 'image'), or what `features` gave for it, by FEATURES.
      train: dropout and batch statistics on.
    """
    features = {name: batch[name] for name in FEATURES if name in batch}
    if not features:
      features = self.features(batch, train)
    return {'logits': self.head(features, train)}

  def features(self, batch: dict, train: bool = False) -> dict:
    """What is fused, {name: (B, ...)}, float32; see FEATURES."""
    ids_BxT, mask_BxI = batch['ids_BxT'], batch['mask_BxI']
    patches_BxPxF, _ = self.report.visual_features(
      batch['images_BxIxHxW'], batch['mask_B'], train, mask_BxI
    )
    encoded_BxPxD, mask_Bx1x1xP = self.report.encode_features(
      patches_BxPxF, train, mask_BxI
    )
    real_BxP = mask_Bx1x1xP[:, 0, 0]
    features = {
      'visual': mean_and_maximum(patches_BxPxF, real_BxP),
      'encoded': mean_and_maximum(encoded_BxPxD, real_BxP),
    }
    if self.config.reads_report:
      states_BxTxD = self.report.states(
        ids_BxT, encoded_BxPxD, mask_Bx1x1xP, train
      )
      features['textual'] = mean_and_maximum(states_BxTxD, ids_BxT > 0)
    return features


class FusionHead(nn.Module):
  """A layer for each branch, side by side into a perceptron."""

  hidden: int
  dropout: float
  classes: int

  @nn.compact
  def __call__(self, features: dict, train: bool):
    branches = []
    for name in sorted(features):
      x = nn.LayerNorm(name=f'{name}_norm')(features[name])
      x = nn.relu(Linear(self.hidden, 'torch', name=name)(x))
      branches.append(Dropout(self.dropout)(x, train))
    x = jnp.concatenate(branches, axis=-1)
    x = nn.relu(Linear(self.hidden, 'torch', name='fusion')(x))
    x = Dropout(self.dropout)(x, train)
    return Linear(self.classes, 'torch', name='logits')(x)


def mean_and_maximum(x_BxQxD, real_BxQ):
  """Mean and maximum over what is real, (B, 2D); zeros where nothing is."""
  x_BxQxD = x_BxQxD.astype(jnp.float32)
  count_Bx1 = jnp.sum(real_BxQ, axis=1, keepdims=True)
  kept_BxQx1 = real_BxQ[..., None]
  total_BxD = jnp.sum(jnp.where(kept_BxQx1, x_BxQxD, 0.0), axis=1)
  # By its place, as a gradient by value is 0 / 0 where a compiler works the
  # values out twice and rounds them otherwise.
  place_Bx1xD = jnp.argmax(
    jnp.where(kept_BxQx1, x_BxQxD, -1e30), axis=1, keepdims=True
  )
  highest_BxD = jnp.take_along_axis(x_BxQxD, place_Bx1xD, axis=1)[:, 0]
  return jnp.concatenate(
    [
      total_BxD / jnp.maximum(count_Bx1, 1),
      jnp.where(count_Bx1 > 0, highest_BxD, 0.0),
    ],
    axis=-1,
  )
