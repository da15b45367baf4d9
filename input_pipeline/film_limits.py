"""What can be a film at all: a header may claim anything."""

import os

from input_pipeline.errors import UserError

# The largest detectors give about 20 million pixels.
MAX_PIXELS = 64_000_000
MAX_ASPECT = 16
MAX_BYTES = 512_000_000


class ImageError(UserError):
  """A file that is no readable film; the message names it and says why."""

  def __init__(self, path: str | os.PathLike, reason: str):
    super().__init__(f'{path}: {" ".join(reason.split())}')


def check_size(path: str | os.PathLike, width: int, height: int):
  """Raises ImageError, before anything is decoded, for the size of no film."""
  if width < 1 or height < 1 or width * height > MAX_PIXELS:
    raise ImageError(
      path,
      f'its header says {width} x {height} pixels; a film has between 1 and '
      f'{MAX_PIXELS:,}.',
    )
  if max(width, height) > MAX_ASPECT * min(width, height):
    raise ImageError(path, f'{width} x {height} pixels is no shape of a film.')
