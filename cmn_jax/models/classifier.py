"""Disease classification from a pretrained report model's features."""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp

from cmn_jax.models.layers import Dropout, Linear
from cmn_jax.models.report_generator import ReportGenerator
from input_pipeline.errors import UserError

IMAGE, REFERENCE, GENERATED = 'image', 'image+reference', 'image+generated'
INPUTS = (IMAGE, REFERENCE, GENERATED)
# Of a report model: what `Classifier.features` gives, the last of them only
# where a report is read.
FEATURES = ('visual', 'encoded', 'textual')


@dataclasses.dataclass(frozen=True)
class ClassifierShape:
  """Sizes of a classifier, all of them in the config.

  Attributes:
    inputs: one of INPUTS; without a report there is no textual branch.
    classes: logits.
    hidden: width of the branches and of the layer that fuses them.
    dropout: rate after either.
  """

  inputs: str
  classes: int
  hidden: int
  dropout: float

  def __post_init__(self):
    if self.inputs not in INPUTS:
      raise UserError(
        f'classifier.inputs is {self.inputs!r}; choose from {", ".join(INPUTS)}'
      )
    if self.hidden < 1:
      raise UserError(f'classifier.hidden is {self.hidden}; at least 1')

  @property
  def reads_report(self) -> bool:
    """Whether there is a textual branch."""
    return self.inputs != IMAGE


class Classifier(nn.Module):
  """A report model's features, fused by a perceptron, to logits of classes.

  What it sees. Visual features: the patches of all views, as the visual encoder
  gives them, (B, 2F), and as the Transformer's encoder makes them, (B, 2D),
  mean and maximum of each. Textual features: the decoder's last states while
  it reads the report over the same films, as it was trained to, mean and
  maximum over the words, (B, 2D). So the textual branch sees the films too,
  through the decoder's cross-attention and the memory; nothing sees a report
  where `inputs` is 'image'. With 'image+reference' the report is the
  radiologist's, which nobody has at the bedside, and which labels that were
  read in it make trivial; 'image+generated' is what can be deployed.

  Attributes:
    report: the report model; its parameters are in 'report', the rest in
      'head'.
    shape: sizes.
  """

  report: ReportGenerator
  shape: ClassifierShape

  def setup(self):
    self.head = FusionHead(
      self.shape.hidden, self.shape.dropout, self.shape.classes
    )

  def __call__(
    self, images_BxIxHxWxC, ids_BxT, mask_B, train: bool, mask_BxI=None
  ):
    """Logits, (B, classes).

    Args:
      images_BxIxHxWxC: normalised films, float32.
      ids_BxT: [0] + words, then zeros; not looked at with inputs 'image'.
      mask_B: False for padding studies, which batch statistics leave out.
      train: dropout and batch statistics on.
      mask_BxI: False for films that a study does not have; None where all
        are there.
    """
    features = self.features(images_BxIxHxWxC, ids_BxT, mask_B, train, mask_BxI)
    return self.classify(features, train)

  def features(
    self,
    images_BxIxHxWxC,
    ids_BxT,
    mask_B,
    train: bool = False,
    mask_BxI=None,
  ):
    """What is fused, {name: (B, ...)}, float32; see FEATURES."""
    patches_BxPxF, _ = self.report.visual_features(
      images_BxIxHxWxC, mask_B, train, mask_BxI
    )
    encoded_BxPxD, mask_Bx1x1xP = self.report.encode_features(
      patches_BxPxF, train, mask_BxI
    )
    real_BxP = mask_Bx1x1xP[:, 0, 0]
    features = {
      'visual': mean_and_maximum(patches_BxPxF, real_BxP),
      'encoded': mean_and_maximum(encoded_BxPxD, real_BxP),
    }
    if self.shape.reads_report:
      states_BxTxD = self.report.states(
        ids_BxT, encoded_BxPxD, mask_Bx1x1xP, train
      )
      features['textual'] = mean_and_maximum(states_BxTxD, ids_BxT > 0)
    return features

  def classify(self, features: dict, train: bool):
    """Logits, (B, classes), of what `features` gives."""
    return self.head(features, train)


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
  highest_BxD = jnp.max(jnp.where(kept_BxQx1, x_BxQxD, -1e30), axis=1)
  return jnp.concatenate(
    [
      total_BxD / jnp.maximum(count_Bx1, 1),
      jnp.where(count_Bx1 > 0, highest_BxD, 0.0),
    ],
    axis=-1,
  )
