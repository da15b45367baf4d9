"""What a captioner of EKAGen is trained on: words, and a teacher's of them."""

import dataclasses

import jax

from cmn_jax.losses.distillation import distillation_loss, word_loss
from cmn_jax.models.ekagen_config import EkagenConfig
from cmn_jax.models.ekagen_system import EkagenSystem


@dataclasses.dataclass(frozen=True)
class EkagenObjective:
  """A captioner with what is beside it, and its losses.

  Attributes:
    model: its outputs say whether there is a teacher.
    rules: whether pads count, and of the distance from the teacher.
  """

  model: EkagenSystem
  rules: EkagenConfig

  def losses(self, outputs: dict, batch: dict, step: jax.Array) -> dict:
    """Of one device, {name: (weight, sum, count)}; 'loss' is the words'.

    Args:
      outputs: of the model.
      batch: that they are of.
      step: training step, from 0.
    """
    del step
    ids_BxT, mask_B = batch['ids_BxT'], batch['mask_B']
    log_probs, pads = outputs['log_probs'], self.rules.loss_on_pads
    terms = {'loss': (1.0, *word_loss(log_probs, ids_BxT, mask_B, pads))}
    if 'teacher' in outputs:
      pair = distillation_loss(
        log_probs,
        outputs['teacher'],
        ids_BxT,
        mask_B,
        pads,
        self.rules.temperature,
      )
      terms['distillation'] = (self.rules.kd_weight, *pair)
    return terms
