"""What a report generator is trained on: words, findings and alignment."""

import dataclasses

import flax.linen as nn
import jax

from cmn_jax.losses.contrastive import contrastive_loss
from cmn_jax.losses.words import findings_loss, language_model_loss
from cmn_jax.models.alignment import AlignmentConfig


@dataclasses.dataclass(frozen=True)
class ReportObjective:
  """A report generator and its losses, which is all that a step needs.

  Attributes:
    model: its outputs say which losses there are.
    alignment: of the contrastive loss.
    findings_weight: of the findings head's loss beside the words'.
  """

  model: nn.Module
  alignment: AlignmentConfig = dataclasses.field(
    default_factory=AlignmentConfig
  )
  findings_weight: float = 0.0

  def losses(self, outputs: dict, batch: dict, step: jax.Array) -> dict:
    """Of one device, {name: (weight, sum, count)}; 'loss' is the words'.

    Args:
      outputs: of the model.
      batch: that they are of.
      step: training step, from 0.
    """
    ids_BxT, mask_B = batch['ids_BxT'], batch['mask_B']
    pair = language_model_loss(outputs['log_probs'], ids_BxT, mask_B)
    terms = {'loss': (1.0, *pair)}
    if 'findings' in outputs:
      pair = findings_loss(outputs['findings'], batch['findings_BxL'], mask_B)
      terms['findings_loss'] = (self.findings_weight, *pair)
    if 'alignment' in outputs:
      pairs = contrastive_loss(
        self.alignment,
        outputs['alignment'],
        ids_BxT,
        mask_B,
        self.model.axis_name,
      )
      weight = self.alignment.weight_at(step)
      terms |= {name: (weight, *pair) for name, pair in pairs.items()}
    return terms
