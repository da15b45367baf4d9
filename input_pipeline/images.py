"""Radiographs in files (PNG, JPEG, DICOM) to arrays of grey levels.

Films are resized through Pillow exactly as torchvision does it, so that
models trained by R2Gen's code see the same pixels here.
"""

import io
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from input_pipeline.codestreams import check_scans, without_texts
from input_pipeline.errors import reason
from input_pipeline.film_limits import MAX_BYTES, ImageError, check_size
from input_pipeline.grey_levels import show_own_range
from input_pipeline.tensorflow_cpu import tf

_PNG = b'\x89PNG\r\n\x1a\n'


def read_film(path: str | pathlib.Path) -> np.ndarray:
  """Reads one film as uint8 (H, W), bright bone on dark lung.

  The format is that of the content, not of the name. Colour becomes luminance
  and transparency is ignored. More than 8 bits are windowed as the DICOM
  header says; without a window, the darkest pixel becomes 0, the brightest
  255, but for a few defects. Raises ImageError for everything that cannot be
  shown as one film.
  """
  try:
    content = _content(pathlib.Path(path))
  except OSError as error:  # forbidden, or the disk is at fault
    raise ImageError(path, f'cannot be read ({reason(error)}).') from error
  decode = _decode_dicom if is_dicom(content) else _decode_picture
  try:
    return decode(content, path)
  except ImageError:
    raise
  except Exception as error:  # Decoders of broken files raise all there is.
    why = (str(error) or type(error).__name__)[:300]
    raise ImageError(path, f'damaged or cut short ({why}).') from error


def resize_short_side(film_HxW: np.ndarray, size: int) -> np.ndarray:
  """Bilinear with antialias, the short side to `size`: Resize(size)."""
  height, width = film_HxW.shape
  short, long = sorted((height, width))
  scaled = int(size * long / short)  # torchvision cuts off, it does not round
  if height <= width:
    return _resize(film_HxW, size, scaled)
  return _resize(film_HxW, scaled, size)


def resize_square(film_HxW: np.ndarray, size: int) -> np.ndarray:
  """Bilinear with antialias to (size, size), the aspect ratio not kept."""
  return _resize(film_HxW, size, size)


def prepare_films(paths: Sequence[str | pathlib.Path], size: int) -> np.ndarray:
  """The films of one study as uint8 (I, size, size), as in evaluation."""
  return np.stack([resize_square(read_film(path), size) for path in paths])


def _content(file):
  if file.is_dir():
    raise ImageError(file, 'is a folder; a film is one file.')
  if not file.is_file():
    raise ImageError(file, 'there is no such file.')
  size = file.stat().st_size
  if not 0 < size <= MAX_BYTES:
    raise ImageError(
      file, f'has {size:,} bytes; a film has between 1 and {MAX_BYTES:,}.'
    )
  return file.read_bytes()


def _resize(film_HxW, height, width):
  if film_HxW.shape == (height, width):
    return film_HxW
  film = Image.fromarray(film_HxW)
  return np.asarray(film.resize((width, height), Image.Resampling.BILINEAR))


def is_dicom(content):
  """Whether bytes begin as a DICOM file, or as one that lost its preamble."""
  # Then group 2 or 8 comes first, and its elements are small numbers.
  bare = content[:2] in (b'\2\0', b'\x08\0') and content[3:4] == b'\0'
  return content[128:132] == b'DICM' or bare


def _decode_dicom(content, path):
  """As `decode_dicom`; what reads them is not imported for other films."""
  from input_pipeline.dicom import decode_dicom

  return decode_dicom(content, path)


def _decode_picture(content, path):
  """PNG or JPEG bytes to uint8 (H, W)."""
  if content.startswith(_PNG):
    content = without_texts(content, path)
  too_large = (Image.DecompressionBombError, Image.DecompressionBombWarning)
  try:
    picture = Image.open(io.BytesIO(content), formats=('PNG', 'JPEG'))
  except Image.UnidentifiedImageError:
    raise ImageError(path, 'is neither PNG nor JPEG nor DICOM.') from None
  except too_large as error:
    raise ImageError(path, f'is too large ({error}).') from None
  with picture:
    check_size(path, *picture.size)
    check_scans(content, picture.size, path)
    # Behind a JPEG's picture others may follow, such as a thumbnail.
    if picture.format == 'PNG' and getattr(picture, 'n_frames', 1) > 1:
      raise ImageError(path, f'has {picture.n_frames} frames; expected one.')
    if _is_deep_colour(content):
      picture = _deep_grey(content, picture)
    # Copies hold Python's lock, for which other threads would wait.
    ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode.startswith('I'):  # 16 bit
      return show_own_range(np.asarray(picture).astype(np.uint16, copy=False))
    if picture.mode == 'P':  # transparency of a palette warns on the way to L
      picture = picture.convert('RGBA')
    return np.asarray(picture if picture.mode == 'L' else picture.convert('L'))


def _is_deep_colour(content):
  """Whether it is a PNG of 16 bits in colour, or with alpha."""
  # Of its header, which stands first: bits, and the kind, which is 0 for grey.
  return content.startswith(_PNG) and content[24] == 16 and content[25] > 0


def _deep_grey(content, picture):
  """Such a PNG in 16 bits of grey; of its pixels Pillow reads half the bits."""
  picture.load()  # it says better what is damaged
  pixels_HxWxC = tf.io.decode_png(content, dtype=tf.uint16).numpy()
  grey_HxW = pixels_HxWxC[..., 0]
  if pixels_HxWxC.shape[2] > 2:
    # Pillow's luminance, which just fits into 32 bits.
    shares = np.array([19595, 38470, 7471], np.uint32)
    grey_HxW = (pixels_HxWxC[..., :3] @ shares + 0x8000) >> 16
  grey = Image.fromarray(grey_HxW.astype(np.uint16))
  grey.info = picture.info  # how it is turned
  return grey
