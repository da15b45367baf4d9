"""What a visual encoder's weights are before the first step."""

from ml_collections import ConfigDict

from cmn_jax.interop.encoders import (
  IMAGENET,
  UnreachableError,
  load_encoder,
  load_imagenet,
)
from cmn_jax.training.distributed import log

RANDOM = 'random weights'


def pretrained_encoder(c: ConfigDict) -> tuple[dict | None, str]:
  """The encoder of config.model to start from, None for random weights.

  Also says in words which it is, and logs that: with a warning where it is not
  ImageNet's as asked.

  Raises:
    ConversionError: what model.pretrained names is not there or unfit.
  """
  if c.pretrained == '':
    log(f"the visual encoder starts from {RANDOM} (model.pretrained is '')")
    return None, RANDOM
  start = c.pretrained
  if start != 'imagenet':
    encoder = load_encoder(start, c.encoder, c.encoder_width)
  else:
    start = IMAGENET[c.encoder]
    try:
      encoder = load_imagenet(c.encoder, c.encoder_width)
    except UnreachableError as error:
      log(
        'WARNING: the visual encoder starts from RANDOM weights, where the '
        f"papers start from ImageNet's: {error}"
      )
      return None, RANDOM
  log(f'the visual encoder starts from {start}')
  return encoder, start
