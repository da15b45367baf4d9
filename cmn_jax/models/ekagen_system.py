"""EKAGen as it trains: a student, its teacher, and the knowledge they share."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cmn_jax.models.ekagen import Captioner, CaptionerShape
from cmn_jax.models.ekagen_config import MASKED, EkagenConfig
from cmn_jax.models.ekagen_films import (
  cut_masks,
  dim_first,
  redrawn,
  unpacked,
)
from cmn_jax.models.ekagen_layers import Films
from cmn_jax.models.film_classifier import first_films
from cmn_jax.models.images import Encoded, as_pixels
from cmn_jax.models.knowledge import (
  CLASSES,
  mean_of_classes,
  nearest_combination,
)


class KnowledgeTable(nn.Module):
  """Knowledge of studies by their labels; see `knowledge.KnowledgeBase`.

  Attributes:
    form: 'classes' or 'combinations'.
    rows: Y.
    classes: G.
    no_finding: index of the class of a study without any.
    length: T.
    width: D.
  """

  form: str
  rows: int
  classes: int
  no_finding: int
  length: int
  width: int

  @nn.compact
  def __call__(self, labels_BxG):
    """(B, T, D), float32."""
    start = nn.initializers.zeros
    table = self.param('table', start, (self.rows, self.length, self.width))
    keys = self.param('keys', start, (self.rows, self.classes), jnp.int8)
    if self.form == CLASSES:
      return mean_of_classes(table, labels_BxG, self.no_finding)
    return table[nearest_combination(keys, labels_BxG)]


class EkagenSystem(nn.Module):
  """The captioner that is trained, and what is frozen beside it.

  A batch has images_BxIxHxW, or maps_BxIxhxwxF and masked_maps_BxIxhxwxF of a
  frozen encoder; bits_BxHxw, the packed masks of first films, if any; and
  labels_BxG where there is knowledge.

  Attributes:
    shape: of the captioner.
    rules: which films are seen, and how they are drawn.
    teacher_shape: of the teacher, or None.
    table: sizes of the knowledge, `KnowledgeTable`'s fields; None without.
    axis_name: mapped axis of batch statistics, or None.
    dtype: type of matrix products and convolutions.
    remat: recompute the visual encoder's blocks in the backward pass.
  """

  shape: CaptionerShape
  rules: EkagenConfig
  teacher_shape: CaptionerShape | None = None
  table: tuple | None = None
  axis_name: str | None = None
  dtype: Any = jnp.float32
  remat: bool = False

  def setup(self):
    self.captioner = Captioner(
      self.shape, self.axis_name, self.dtype, self.remat
    )
    if self.teacher_shape:
      self.teacher = Captioner(self.teacher_shape, dtype=self.dtype)
    if self.table:
      self.knowledge = KnowledgeTable(*self.table)

  def __call__(self, batch: dict, train: bool) -> dict:
    """'log_probs', and in training the 'teacher's, both (B, T, V).

    Args:
      batch: with ids_BxT and masks too.
      train: films are drawn and dropout is on; it needs the 'dropout' key.
    """
    ids_BxT, mask_B = batch['ids_BxT'], batch['mask_B']
    mask_BxI, knowledge = batch['mask_BxI'], self.know(batch.get('labels_BxG'))
    rules, keys = self.rules, (None, None)
    if train:
      keys = [self.make_rng('dropout')] * 2
      if not rules.same_draw:
        keys = [keys[0], self.make_rng('dropout')]
    seen = rules.student_films if train else MASKED
    outputs = {
      'log_probs': self.captioner(
        self._films(batch, seen, keys[0]),
        ids_BxT,
        mask_B,
        train,
        mask_BxI,
        knowledge,
      )
    }
    if self.teacher_shape and train:
      outputs['teacher'] = self.teacher(
        self._films(batch, rules.teacher_films, keys[1]),
        ids_BxT,
        mask_B,
        False,
        mask_BxI,
        knowledge if self.teacher_shape.knowledge else None,
      )
    return outputs

  def know(self, labels_BxG):
    """Knowledge of studies with these labels, (B, T, D); None without any."""
    return self.knowledge(labels_BxG) if self.table else None

  def encode(self, batch: dict) -> Films:
    """What the captioner's decoder sees of new films, which are never drawn."""
    mask_B, mask_BxI = batch['mask_B'], batch['mask_BxI']
    return self.captioner.encode(self.shown(batch), mask_B, mask_BxI=mask_BxI)

  def shown(self, batch: dict):
    """New films as the captioner takes them."""
    return self._films(batch, MASKED, None)

  def _films(self, batch, seen, key):
    """Films as the captioner takes them; masked ones where there are masks."""
    kind = 'masked_maps_BxIxhxwxF'
    if kind not in batch or seen != MASKED:
      kind = 'maps_BxIxhxwxF'
    if kind in batch:
      return Encoded(batch[kind])
    images = batch['images_BxIxHxW']
    if 'bits_BxHxw' in batch and seen == MASKED:
      mask_BxI = batch['mask_BxI']
      masks = unpacked(batch['bits_BxHxw'], images.shape[-1])
      if 'box_BxIx4' in batch:
        drawn = (batch[name] for name in ('box_BxIx4', 'flip_BxI'))
        masks = cut_masks(masks, *(first_films(x, mask_BxI) for x in drawn))
      images = dim_first(images, mask_BxI, masks, self.rules.mask_min_cover)
    if key is not None:
      r = self.rules
      images = redrawn(key, images, r.quarter_turns, r.flip, r.light)
    return as_pixels(images)
