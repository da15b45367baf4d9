"""Which tokenizer: as a config asks for it, or as a checkpoint has it."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from input_pipeline.config import DataConfig
from input_pipeline.ekagen_words import EkagenTokenizer
from input_pipeline.errors import UserError
from input_pipeline.tokenizers import (
  EKAGEN,
  SentencePieceTokenizer,
  Tokenizer,
  WordTokenizer,
)


def fit(config: DataConfig, reports: Sequence[str]) -> Tokenizer:
  """The tokenizer of `config`, of the training reports."""
  if config.tokenizer == 'words':
    return WordTokenizer.fit(reports, config.min_count, config.clean)
  if config.tokenizer == EKAGEN:
    return EkagenTokenizer.fit(reports, config.min_count, config.clean)
  return SentencePieceTokenizer.fit(
    reports, config.pieces, config.tokenizer, config.clean
  )


def from_json(fields: dict[str, Any]) -> Tokenizer:
  """The tokenizer, of whatever class, whose `to_json` gave `fields`.

  Raises:
    UserError: a damaged SentencePiece model.
  """
  if fields.get('numbering') == EKAGEN:
    return EkagenTokenizer(fields['words'], fields['clean'])
  if 'model' not in fields:
    return WordTokenizer(fields['words'], fields['clean'])
  try:
    model = base64.b64decode(fields['model'], validate=True)
    return SentencePieceTokenizer(model, fields['kind'], fields['clean'])
  except (binascii.Error, RuntimeError) as error:
    raise UserError(f'No SentencePiece model: {error}.') from error
