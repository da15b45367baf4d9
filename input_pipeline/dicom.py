"""DICOM films to uint8, whatever their header claims.

Uncompressed, deflated, RLE, and, through Pillow, 8 bit JPEG and JPEG 2000 are
read by what this project needs anyway; JPEG of 12 bits, lossless JPEG and
JPEG-LS need a decoder more, which the message names.
"""

import io
import logging
import os
import warnings
import zlib

import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import (
  DeflatedExplicitVRLittleEndian,
  ExplicitVRBigEndian,
  ExplicitVRLittleEndian,
  ImplicitVRLittleEndian,
  RLELossless,
)

from input_pipeline.codestreams import check_frame
from input_pipeline.film_limits import (
  MAX_BYTES,
  MAX_PIXELS,
  ImageError,
  check_size,
)
from input_pipeline.grey_levels import show_dicom

# What pydicom warns of is harmless, or refused here in a sentence.
logging.getLogger('pydicom').setLevel(logging.CRITICAL)
warnings.filterwarnings('ignore', module='pydicom')

_EXTRA_DECODERS = 'pip install python-gdcm'
_KINDS = ('MONOCHROME', 'RGB', 'YBR')
_MAX_READS = 100_000  # of a header: a film has some hundred elements
_INFLATED = 3 * MAX_PIXELS + 16_000_000  # bytes: colours, and a header


def decode_dicom(content: bytes, path: str | os.PathLike) -> np.ndarray:
  """DICOM bytes to uint8 (H, W), bright bone on dark lung."""
  dicom = _read_dataset(content, path)
  missing = [
    name
    for name in ('Rows', 'Columns', 'PixelData')
    if dicom.get(name) in (None, b'')
  ]
  if missing:
    raise ImageError(
      path, f'is a DICOM without {", ".join(missing)}: no film, or cut short.'
    )
  _complete(dicom, path)
  _check_header(dicom, path)
  low, stored = dicom.HighBit + 1 - dicom.BitsStored, dicom.BitsStored
  syntax, grey = dicom.file_meta.TransferSyntaxUID, dicom.SamplesPerPixel == 1
  if syntax.is_compressed:
    check_frame(dicom, path)
  else:
    _cut_to_one_frame(dicom, path)
  native = syntax == RLELossless or not syntax.is_compressed
  if grey and native:
    dicom.BitsStored = dicom.BitsAllocated  # pydicom would shift by itself
    dicom.HighBit = dicom.BitsAllocated - 1
  else:
    low = 0
  try:
    pixels = pydicom.pixels.pixel_array(dicom)  # YBR comes out as RGB
  except (NotImplementedError, RuntimeError) as error:
    raise ImageError(
      path,
      f'its pixels ({syntax.name}) cannot be decoded: {str(error)[:300]}. '
      f'If a decoder is missing, {_EXTRA_DECODERS!r} brings the usual ones.',
    ) from error
  if pixels.shape != (dicom.Rows, dicom.Columns) + (() if grey else (3,)):
    raise ImageError(path, f'its pixels come out as {pixels.shape}.')
  if not grey:
    return np.asarray(Image.fromarray(pixels).convert('L'))
  pixels = pixels.astype(pixels.dtype.newbyteorder('='), copy=False)
  words_HxW = np.ascontiguousarray(pixels).view(f'u{pixels.itemsize}')
  if not native and dicom.PixelRepresentation == 0:
    # A picture knows better than its header (PS3.5 8.2), and has no overlays.
    stored = max(stored, int(words_HxW.max()).bit_length())
  return show_dicom(words_HxW, dicom, low, stored, path)


class _Counted(io.BytesIO):
  """Bytes that are read in a bounded number of pieces."""

  def __init__(self, content, path):
    super().__init__(content)
    self._path, self._left = path, _MAX_READS

  def read(self, *size):
    self._left -= 1
    if self._left < 0:
      raise ImageError(self._path, 'has more elements than a film can have.')
    return super().read(*size)


def _read_dataset(content, path):
  file = _Counted(content, path)
  start = 132 if content[128:132] == b'DICM' else 0
  file.seek(start)
  meta = pydicom.filereader.read_dataset(
    file, False, True, stop_when=lambda tag, *_: tag >> 16 != 2
  )
  syntax = meta.get('TransferSyntaxUID')
  if syntax == DeflatedExplicitVRLittleEndian:
    # The element that gives this length, and so much more.
    start += 12 + int(meta.FileMetaInformationGroupLength)
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    limit = min(MAX_BYTES, _INFLATED)
    inflated = inflate.decompress(content[start:], limit)
    if inflate.unconsumed_tail:
      raise ImageError(path, f'inflates to over {limit:,} bytes.')
    file = _Counted(inflated, path)
    dicom = pydicom.filereader.read_dataset(file, False, True)
    syntax = ExplicitVRLittleEndian
  else:
    file.seek(0)
    dicom = pydicom.dcmread(file, force=True)
    if not syntax and 'PixelData' in dicom:
      if dicom['PixelData'].is_undefined_length:
        raise ImageError(
          path, 'lacks the file header that says how it is compressed.'
        )
      implicit, little = dicom.original_encoding
      explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
      syntax = ImplicitVRLittleEndian if implicit else explicit
  dicom.file_meta = pydicom.dataset.FileMetaDataset()
  dicom.file_meta.TransferSyntaxUID = syntax
  return dicom


def _complete(dicom, path):
  """Sets what a header leaves out, where it can mean one thing alone."""
  frames = int(dicom.get('NumberOfFrames') or 1)
  if frames != 1:
    raise ImageError(path, f'has {frames} frames; expected one.')
  dicom.NumberOfFrames = 1
  stored = dicom.get('BitsStored') or dicom.get('BitsAllocated')
  for name, usual in (
    ('PixelRepresentation', 0),
    ('PlanarConfiguration', 0),
    ('BitsStored', stored),
    ('HighBit', stored and stored - 1),
  ):
    if dicom.get(name) is None:
      setattr(dicom, name, usual)


def _check_header(dicom, path):
  check_size(path, dicom.Columns, dicom.Rows)
  kind = str(dicom.get('PhotometricInterpretation') or 'nothing')
  if not kind.startswith(_KINDS):
    raise ImageError(path, f'is a DICOM of kind {kind[:40]}, not supported.')
  samples, bits = dicom.get('SamplesPerPixel'), dicom.get('BitsAllocated')
  if (samples, bits) not in ((1, 8), (1, 16), (3, 8)):
    raise ImageError(
      path,
      f'its header says {samples} values of {bits} bits for a pixel; a film '
      f'has one of 8 or 16, or three of 8.',
    )
  if not 0 < dicom.BitsStored <= dicom.HighBit + 1 <= bits:
    raise ImageError(
      path,
      f'its header says that {dicom.BitsStored} bits up to the place '
      f'{dicom.HighBit} are used, of {bits}.',
    )


def _cut_to_one_frame(dicom, path):
  """Leaves off what fills up; further films are no filling."""
  samples = (
    2 if '422' in dicom.PhotometricInterpretation else (dicom.SamplesPerPixel)
  )
  size = dicom.Rows * dicom.Columns * samples * (dicom.BitsAllocated // 8)
  frames = len(dicom.PixelData) // size
  if frames > 1:
    raise ImageError(path, f'holds the pixels of {frames} films; expected one.')
  dicom.PixelData = dicom.PixelData[: size + size % 2]
