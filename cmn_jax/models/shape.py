"""What a report generator is made of: its sizes and rates."""

import dataclasses

from cmn_jax.models.alignment import AlignmentShape
from cmn_jax.models.encoders import ENCODERS
from input_pipeline.errors import UserError

MEMORIES = ('none', 'separate', 'shared')


@dataclasses.dataclass(frozen=True)
class Shape:
  """Sizes and rates of a report generator, all of them in the config.

  Attributes:
    encoder: a key of ENCODERS.
    encoder_width: channels of a ResNet's first stage, or of one head of a
      ViT; as published 64 in both.
    memory: 'none' (base), 'separate' (mem) or 'shared' (cmn).
    memory_slots: rows M of a memory matrix.
    memory_top_k: slots that answer a query.
    width: Transformer width D.
    heads: attention heads N.
    hidden: width inside the feed-forward layers.
    layers: layers of the encoder and of the decoder.
    dropout: rate of the Transformer.
    patch_dropout: rate on the embedded patches.
    memory_dropout: rate on the memory's weights.
    vocabulary: words V, the 0 of begin/end/padding included.
    max_length: tokens T of a report, the first and last 0 included.
    findings: logits of the findings head; 0 for none, as the authors have it.
    alignment: of films and reports; None for none.
  """

  encoder: str
  encoder_width: int
  memory: str
  memory_slots: int
  memory_top_k: int
  width: int
  heads: int
  hidden: int
  layers: int
  dropout: float
  patch_dropout: float
  memory_dropout: float
  vocabulary: int
  max_length: int
  findings: int = 0
  alignment: AlignmentShape | None = None

  def __post_init__(self):
    _require(self.encoder in ENCODERS, 'model.encoder', self.encoder, ENCODERS)
    _require(self.memory in MEMORIES, 'model.memory', self.memory, MEMORIES)
    if self.width % self.heads:
      raise UserError(
        f'model.width {self.width} is not divisible by {self.heads} heads'
      )
    if not 1 <= self.memory_top_k <= self.memory_slots:
      raise UserError(
        f'model.memory_top_k is {self.memory_top_k}; it must be between 1 and '
        f'model.memory_slots, {self.memory_slots}'
      )


def _require(ok, field, value, choices):
  if not ok:
    raise UserError(f'{field} is {value!r}; choose from {", ".join(choices)}')
