"""What a report generator is made of: the `model` section of a config."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from cmn_jax.models.alignment import AlignmentConfig
from cmn_jax.models.encoders import ENCODERS
from cmn_jax.models.film_features import OpinionConfig, feature_sizes
from input_pipeline.errors import (
  UserError,
  check_choice,
  check_least,
  check_rate,
)

MEMORIES = ('none', 'separate', 'shared')
PROMPTS = ('', 'findings')
DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Sizes and rates of a report generator, and what its data give.

  The first fields are those of `config.model`; configs/fields/ says what each
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
    prompts: '', or 'findings': those that `opinion` states are shown to the
      decoder.
    opinion: of a classifier of the images; None without prompts.
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
  prompts: str = ''
  opinion: OpinionConfig | None = None

  def __post_init__(self):
    check_choice('model.encoder', self.encoder, ENCODERS)
    check_choice('model.memory', self.memory, MEMORIES)
    check_choice('model.dtype', self.dtype, DTYPES)
    if self.prompts not in PROMPTS:
      raise UserError(
        f"model.prompts is {self.prompts!r}; choose from '' and 'findings'"
      )
    for field in ('dropout', 'patch_dropout', 'memory_dropout'):
      check_rate(f'model.{field}', getattr(self, field))
    for field in ('width', 'heads', 'hidden', 'layers'):
      check_least(f'model.{field}', getattr(self, field), 1)
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
    prompted: Sequence[str] = (),
  ) -> 'ModelConfig':
    """Of a whole config.

    Args:
      config: with the sections model, alignment, data and consensus.
      vocabulary: ids, the 0 counted.
      finding_targets: of the findings head; none for no such head.
      prompted: findings that may be prompts; not read without these.
    """
    alignment = AlignmentConfig(**config['alignment'])
    model, data = config['model'], config['data']
    opinion = None
    if model['prompts']:
      stating = config['consensus']
      sizes = feature_sizes(
        *(model['encoder'], model['encoder_width']),
        *(data['views'], data['image_size']),
      )
      opinion = OpinionConfig(
        sum(sizes),
        len(prompted),
        stating['stated_above'],
        stating['study_above'],
      )
    return cls(
      **model,
      vocabulary=vocabulary,
      max_length=data['max_length'],
      findings=len(finding_targets),
      alignment=alignment if alignment.weight else None,
      opinion=opinion,
    )

  @property
  def precision(self) -> Any:
    """The JAX type of `dtype`."""
    return DTYPES[self.dtype]
