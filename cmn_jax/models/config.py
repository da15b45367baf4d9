"""What a report generator is made of: the `model` section of a config."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from cmn_jax.models.alignment import AlignmentConfig
from cmn_jax.models.encoders import ENCODERS
from input_pipeline.errors import UserError

MEMORIES = ('none', 'separate', 'shared')
DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Sizes and rates of a report generator, and what its data give.

  The first fields are those of `config.model`; configs/base.py says what each
  is for.

  Attributes:
    encoder: a key of ENCODERS.
    encoder_width: channels of a ResNet's first stage, or of one head of a
      ViT; as published 64 in both.
    pretrained: what the encoder starts from; the network does not read it.
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
    dtype: of matrix products and convolutions, a key of DTYPES.
    remat: recompute the encoder's blocks in the backward pass.
    vocabulary: words V, the 0 of begin/end/padding included.
    max_length: tokens T of a report, the first and last 0 included.
    findings: logits of the findings head; 0 for none, as the authors have it.
    alignment: of images and reports; None for none.
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
  pretrained: str = ''
  dtype: str = 'float32'
  remat: bool = False
  findings: int = 0
  alignment: AlignmentConfig | None = None

  def __post_init__(self):
    _require('encoder', self.encoder, ENCODERS)
    _require('memory', self.memory, MEMORIES)
    _require('dtype', self.dtype, DTYPES)
    if self.width % self.heads:
      raise UserError(
        f'model.width {self.width} is not divisible by {self.heads} heads'
      )
    if not 1 <= self.memory_top_k <= self.memory_slots:
      raise UserError(
        f'model.memory_top_k is {self.memory_top_k}; it must be between 1 and '
        f'model.memory_slots, {self.memory_slots}'
      )

  @classmethod
  def of(
    cls,
    config: Mapping[str, Any],
    vocabulary: int,
    finding_targets: Sequence[str] = (),
  ) -> 'ModelConfig':
    """Of a whole config.

    Args:
      config: with the sections model, alignment and data.
      vocabulary: ids, the 0 counted.
      finding_targets: of the findings head; none for no such head.
    """
    alignment = AlignmentConfig(**config['alignment'])
    return cls(
      **config['model'],
      vocabulary=vocabulary,
      max_length=config['data']['max_length'],
      findings=len(finding_targets),
      alignment=alignment if alignment.weight else None,
    )

  def with_alignment(self, alignment: AlignmentConfig) -> 'ModelConfig':
    """The same with another alignment."""
    return dataclasses.replace(self, alignment=alignment)

  @property
  def precision(self) -> Any:
    """The JAX type of `dtype`."""
    return DTYPES[self.dtype]


def _require(field, value, choices):
  if value not in choices:
    raise UserError(
      f'model.{field} is {value!r}; choose from {", ".join(choices)}'
    )
