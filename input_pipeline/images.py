"""Radiographs in files (PNG, JPEG, DICOM) to arrays of grey levels.

Films are resized through Pillow exactly as torchvision does it, so that
models trained by R2Gen's code see the same pixels here.
"""

import io
import pathlib

import numpy as np
import pydicom
from PIL import Image, ImageOps

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)

# The largest detectors give about 20 million; a header may claim anything.
MAX_PIXELS = 64_000_000
MAX_ASPECT = 16
MAX_BYTES = 512_000_000

_DEFLATED = '1.2.840.10008.1.2.1.99'
_EXTRA_DECODERS = 'pip install pylibjpeg pylibjpeg-libjpeg'


class ImageError(ValueError):
  """A file that is no readable film; the message names it and says why."""

  def __init__(self, path, reason):
    super().__init__(f'{path}: {" ".join(reason.split())}')


def read_film(path):
  """Reads one film as uint8 (H, W), bright bone on dark lung.

  The format is told by the content, not by the name. Colour becomes luminance
  and transparency is ignored. More than 8 bits are windowed as the DICOM
  header says; without a window, the darkest pixel becomes 0, the brightest
  255. Raises ImageError for everything that cannot be shown as one film.
  """
  file = pathlib.Path(path)
  if not file.is_file():
    raise ImageError(path, 'there is no such file.')
  if not 0 < file.stat().st_size <= MAX_BYTES:
    raise ImageError(
      path,
      f'has {file.stat().st_size:,} bytes; a film has between 1 and '
      f'{MAX_BYTES:,}.',
    )
  content = file.read_bytes()
  decode = _decode_dicom if content[128:132] == b'DICM' else _decode_picture
  try:
    return decode(content, path)
  except ImageError:
    raise
  except Exception as error:  # Decoders of broken files raise all there is.
    reason = str(error) or type(error).__name__
    raise ImageError(path, f'damaged or cut short ({reason}).') from error


def resize_short_side(film_HxW, size):
  """Bilinear with antialias, the short side to `size`: Resize(size)."""
  height, width = film_HxW.shape
  short, long = sorted((height, width))
  scaled = int(size * long / short)  # torchvision cuts off, it does not round
  if height <= width:
    return _resize(film_HxW, size, scaled)
  return _resize(film_HxW, scaled, size)


def resize_square(film_HxW, size):
  """Bilinear with antialias to (size, size), the aspect ratio not kept."""
  return _resize(film_HxW, size, size)


def normalise(films):
  """uint8 (..., H, W) to float32 (..., H, W, 3) as ImageNet models expect."""
  grey = np.asarray(films, np.float32)[..., None] / np.float32(255)
  return (grey - IMAGENET_MEAN) / IMAGENET_STD


def prepare_films(paths, size):
  """The films of one study as uint8 (I, size, size), as in evaluation."""
  return np.stack([resize_square(read_film(path), size) for path in paths])


def _resize(film_HxW, height, width):
  if film_HxW.shape == (height, width):
    return film_HxW
  film = Image.fromarray(film_HxW)
  return np.asarray(film.resize((width, height), Image.Resampling.BILINEAR))


def _check_size(path, width, height):
  if width < 1 or height < 1 or width * height > MAX_PIXELS:
    raise ImageError(
      path,
      f'its header says {width} x {height} pixels; a film has between 1 and '
      f'{MAX_PIXELS:,}.',
    )
  if max(width, height) > MAX_ASPECT * min(width, height):
    raise ImageError(path, f'{width} x {height} pixels is no shape of a film.')


def _decode_picture(content, path):
  """PNG or JPEG bytes to uint8 (H, W)."""
  too_large = (Image.DecompressionBombError, Image.DecompressionBombWarning)
  try:
    picture = Image.open(io.BytesIO(content), formats=('PNG', 'JPEG'))
  except Image.UnidentifiedImageError:
    raise ImageError(path, 'is neither PNG nor JPEG nor DICOM.') from None
  except too_large as error:
    raise ImageError(path, f'is too large ({error}).') from None
  with picture:
    _check_size(path, *picture.size)
    if getattr(picture, 'n_frames', 1) > 1:
      raise ImageError(path, f'has {picture.n_frames} frames; expected one.')
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith('I'):  # 16 bit
      return _stretch(np.asarray(picture))
    if picture.mode == 'P':  # transparency of a palette warns on the way to L
      picture = picture.convert('RGBA')
    return np.asarray(picture.convert('L'))


def _decode_dicom(content, path):
  """DICOM bytes to uint8 (H, W)."""
  meta = pydicom.filereader.read_file_meta_info(path)
  if meta.get('TransferSyntaxUID') == _DEFLATED:
    raise ImageError(path, 'is a deflated DICOM, which is not supported.')
  dicom = pydicom.dcmread(io.BytesIO(content))
  missing = [n for n in ('Rows', 'Columns', 'PixelData') if n not in dicom]
  if missing:
    raise ImageError(path, f'is a DICOM without {", ".join(missing)}.')
  _check_size(path, dicom.Columns, dicom.Rows)
  frames = int(dicom.get('NumberOfFrames') or 1)
  if frames != 1:
    raise ImageError(path, f'has {frames} frames; expected one.')
  kind = dicom.PhotometricInterpretation
  if not kind.startswith(('MONOCHROME', 'RGB', 'YBR')):
    raise ImageError(path, f'is a DICOM of kind {kind}, not supported.')
  try:
    pixels = pydicom.pixels.pixel_array(dicom)  # YBR comes out as RGB
  except (NotImplementedError, RuntimeError) as error:
    raise ImageError(
      path,
      f'its pixels ({meta.TransferSyntaxUID.name}) cannot be decoded: {error}. '
      f'If a decoder is missing, {_EXTRA_DECODERS!r} brings the usual ones.',
    ) from error
  if not kind.startswith('MONOCHROME'):
    return np.asarray(Image.fromarray(pixels).convert('L'))
  film = _apply_window(dicom, pixels)
  return 255 - film if kind == 'MONOCHROME1' else film


def _apply_window(dicom, pixels):
  """Stored values to uint8 by VOI LUT, window, or the values' own range."""
  values = pydicom.pixels.apply_modality_lut(pixels, dicom)
  if dicom.get('VOILUTSequence'):
    bits = dicom.VOILUTSequence[0].LUTDescriptor[2]
    shown = pydicom.pixels.apply_voi(values.astype(int), dicom, index=0)
    return _to_uint8(shown / (2**bits - 1))
  center, width = (_first(dicom.get(f'Window{n}')) for n in ('Center', 'Width'))
  if center is not None and width is not None and width > 1:
    return _to_uint8(_window(dicom, values, center, width))
  if values.dtype == np.uint8:
    return values
  padding = dicom.get('PixelPaddingValue')
  inside = None if padding is None else pixels != padding
  return _stretch(values, inside)


def _first(value):
  """The first of several windows: the one a viewer opens with."""
  if isinstance(value, pydicom.multival.MultiValue):
    value = value[0] if value else None
  return None if value in (None, '') else float(value)


def _window(dicom, values, center, width):
  """DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3, to 0..1 and beyond."""
  function = dicom.get('VOILUTFunction', 'LINEAR')
  if function == 'SIGMOID':
    return 0.5 + 0.5 * np.tanh(2 * (values - center) / width)  # no overflow
  if function == 'LINEAR_EXACT':
    return (values - center) / width + 0.5
  return (values - (center - 0.5)) / (width - 1) + 0.5


def _stretch(values, inside=None):
  """The range of `values` (where `inside`) to 0..255; a flat film gives 0."""
  measured = values if inside is None or not inside.any() else values[inside]
  low, high = float(measured.min()), float(measured.max())
  return _to_uint8((values - low) / max(high - low, 1e-9))


def _to_uint8(grey):
  return np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)
