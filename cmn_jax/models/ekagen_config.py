"""What EKAGen's training and writing follow: the `ekagen` section of a config.

Where the authors' code, their figure and sense disagree, there is a switch.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from cmn_jax.models.attention_masks import COMPAT_MIN_COVER
from cmn_jax.models.ekagen import FROZEN, CaptionerShape
from cmn_jax.models.ekagen_names import RULES
from input_pipeline.errors import UserError, check_choice, check_least

PLAIN, MASKED = 'plain', 'masked'
# The authors' side of each switch.
COMPAT = {
  'student_films': PLAIN,
  'teacher_films': MASKED,
  'same_draw': False,
  'loss_on_pads': True,
  'quarter_turns': True,
  'flip': True,
  'light': True,
  'stop_at_end': False,
  'max_words': 126,
  'mask_rule': 'jet',
  'mask_min_cover': COMPAT_MIN_COVER,
  'mask_no_finding': True,
  'attend_knowledge': False,
  'placed_tokens': False,
}
_CHOICES = {
  'frozen': FROZEN,
  'student_films': (PLAIN, MASKED),
  'teacher_films': (PLAIN, MASKED),
  'mask_rule': RULES,
}
_AT_LEAST = {'word_hidden': 1, 'kd_weight': 0, 'max_words': 1}


@dataclasses.dataclass(frozen=True)
class EkagenConfig:
  """The fields of `config.ekagen`; configs/ekagen.py says what each is for."""

  compat: bool
  teacher: str
  knowledge: str
  locator: str
  masks: str
  frozen: str
  dilated: bool
  word_hidden: int
  kd_weight: float
  temperature: float
  student_films: str
  teacher_films: str
  same_draw: bool
  loss_on_pads: bool
  quarter_turns: bool
  flip: bool
  light: bool
  stop_at_end: bool
  max_words: int
  mask_rule: str
  mask_threshold: float
  mask_min_cover: float
  mask_no_finding: bool
  attend_knowledge: bool
  placed_tokens: bool

  def __post_init__(self):
    for name, choices in _CHOICES.items():
      check_choice(f'ekagen.{name}', getattr(self, name), choices)
    for name, least in _AT_LEAST.items():
      check_least(f'ekagen.{name}', getattr(self, name), least)
    if self.temperature <= 0:
      raise UserError(
        f'ekagen.temperature is {self.temperature}; it must be above 0'
      )
    for name in ('mask_threshold', 'mask_min_cover'):
      if not 0 <= getattr(self, name) < 1:
        raise UserError(
          f'ekagen.{name} is {getattr(self, name)}; it must be at least 0 and '
          'less than 1'
        )

  @classmethod
  def of(cls, fields: Mapping[str, Any]) -> 'EkagenConfig':
    """Of the section; with `compat` all switches are the authors'."""
    own = cls(**fields)
    return dataclasses.replace(own, **COMPAT) if own.compat else own

  @property
  def mask_options(self) -> tuple[str, float, bool]:
    """Rule, its threshold, and whether No Finding has a mask."""
    return self.mask_rule, self.mask_threshold, self.mask_no_finding


def shape_of(config: Any, vocabulary: int, knowledge: bool) -> CaptionerShape:
  """The captioner of a whole config.

  Args:
    config: a ConfigDict with the sections model, data, train and ekagen.
    vocabulary: ids, those that are no words counted.
    knowledge: whether it is fused in.

  Raises:
    UserError: a value that cannot be.
  """
  model, own = config.model, EkagenConfig.of(config.ekagen)
  return CaptionerShape(
    vocabulary=vocabulary,
    encoder=model.encoder,
    encoder_width=model.encoder_width,
    dilated=own.dilated,
    frozen='all' if config.train.freeze else own.frozen,
    width=model.width,
    heads=model.heads,
    hidden=model.hidden,
    word_hidden=own.word_hidden,
    layers=model.layers,
    dropout=model.dropout,
    patch_dropout=model.patch_dropout,
    max_length=config.data.max_length - 1,
    knowledge=knowledge,
    attend_knowledge=own.attend_knowledge,
    placed_tokens=own.placed_tokens,
  )
