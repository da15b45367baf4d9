"""DICOM films to uint8, whatever their header claims.

Uncompressed, deflated, RLE, and, through Pillow, 8 bit JPEG and JPEG 2000 are
read by what this project needs anyway; JPEG of 12 bits, lossless JPEG and
JPEG-LS need a decoder more, which the message names.
"""

import io
import itertools
import logging
import os
import struct
import warnings
import zlib

import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.uid import (
  DeflatedExplicitVRLittleEndian,
  ExplicitVRLittleEndian,
  RLELossless,
)

from input_pipeline.film_limits import MAX_BYTES, ImageError, check_size

# What pydicom warns of is harmless, or refused here in a sentence.
logging.getLogger('pydicom').setLevel(logging.CRITICAL)
warnings.filterwarnings('ignore', module='pydicom')

_EXTRA_DECODERS = 'pip install python-gdcm'
_KINDS = ('MONOCHROME', 'RGB', 'YBR')


def decode_dicom(content: bytes, path: str | os.PathLike) -> np.ndarray:
  """DICOM bytes to uint8 (H, W), bright bone on dark lung."""
  dicom = _read_dataset(content, path)
  missing = [n for n in ('Rows', 'Columns', 'PixelData') if n not in dicom]
  if missing:
    raise ImageError(
      path, f'is a DICOM without {", ".join(missing)}: no film, or cut short.'
    )
  _check_header(dicom, path)
  if dicom.file_meta.TransferSyntaxUID.is_compressed:
    _check_frame(dicom, path)
  kind = dicom.PhotometricInterpretation
  try:
    pixels = pydicom.pixels.pixel_array(dicom)  # YBR comes out as RGB
  except (NotImplementedError, RuntimeError) as error:
    syntax = dicom.file_meta.TransferSyntaxUID.name
    raise ImageError(
      path,
      f'its pixels ({syntax}) cannot be decoded: {error}. '
      f'If a decoder is missing, {_EXTRA_DECODERS!r} brings the usual ones.',
    ) from error
  if not kind.startswith('MONOCHROME'):
    return np.asarray(Image.fromarray(pixels).convert('L'))
  film = _apply_window(dicom, _stored_bits(dicom, pixels))
  return 255 - film if kind == 'MONOCHROME1' else film


def _read_dataset(content, path):
  meta = pydicom.filereader.read_file_meta_info(path)
  if meta.get('TransferSyntaxUID') != DeflatedExplicitVRLittleEndian:
    return pydicom.dcmread(io.BytesIO(content))
  # The preamble, 'DICM', the element that gives this length, and so much more.
  start = 128 + 4 + 12 + int(meta.FileMetaInformationGroupLength)
  inflate = zlib.decompressobj(-zlib.MAX_WBITS)
  inflated = inflate.decompress(content[start:], MAX_BYTES)
  if inflate.unconsumed_tail:
    raise ImageError(path, f'inflates to over {MAX_BYTES:,} bytes.')
  dicom = pydicom.filereader.read_dataset(io.BytesIO(inflated), False, True)
  dicom.file_meta = meta
  dicom.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
  return dicom


def _check_header(dicom, path):
  check_size(path, dicom.Columns, dicom.Rows)
  frames = int(dicom.get('NumberOfFrames') or 1)
  if frames != 1:
    raise ImageError(path, f'has {frames} frames; expected one.')
  kind = str(dicom.get('PhotometricInterpretation', 'nothing'))
  if not kind.startswith(_KINDS):
    raise ImageError(path, f'is a DICOM of kind {kind}, not supported.')
  samples, bits = dicom.get('SamplesPerPixel'), dicom.get('BitsAllocated')
  if (samples, bits) not in ((1, 8), (1, 16), (3, 8)):
    raise ImageError(
      path,
      f'its header says {samples} values of {bits} bits for a pixel; a film '
      f'has one of 8 or 16, or three of 8.',
    )


def _check_frame(dicom, path):
  """What is compressed must say of itself what the header says of it."""
  frame = next(generate_frames(dicom.PixelData, number_of_frames=1))
  if dicom.file_meta.TransferSyntaxUID == RLELossless:
    expected = dicom.Rows * dicom.Columns * dicom.SamplesPerPixel
    expected *= dicom.BitsAllocated // 8
    if _unpacked_rle_bytes(frame) > expected + 2 * dicom.SamplesPerPixel:
      raise ImageError(path, 'unpacks to more pixels than its header says.')
    return
  size = _codestream_size(frame)
  if size is not None and size != (dicom.Columns, dicom.Rows):
    raise ImageError(
      path,
      f'its header says {dicom.Columns} x {dicom.Rows} pixels, its compressed '
      f'picture {size[0]} x {size[1]}.',
    )


def _unpacked_rle_bytes(frame):
  """Length after decoding (DICOM PS3.5 annex G), by its run lengths alone."""
  count, *offsets = struct.unpack('<16L', frame[:64])
  offsets = [*offsets[:count], len(frame)]
  total = 0
  for start, end in itertools.pairwise(offsets):
    while start < end:
      run = frame[start]
      copied = run < 128
      total += run + 1 if copied else (257 - run) % 129
      start += run + 2 if copied else 1 if run == 128 else 2
  return total


def _codestream_size(frame):
  """(width, height) by the picture's own head; None if it has none known."""
  if frame[:4] == b'\xff\x4f\xff\x51':  # JPEG 2000: SOC, SIZ
    right, bottom, left, top = struct.unpack('>4L', frame[8:24])
    return right - left, bottom - top
  place = 2
  while frame[:2] == b'\xff\xd8' and place + 9 <= len(frame):  # JPEG, JPEG-LS
    marker, length = struct.unpack('>xBH', frame[place : place + 4])
    if marker == 0xFF:  # a fill byte
      place += 1
      continue
    frame_head = 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)
    if frame_head or marker == 0xF7:
      height, width = struct.unpack('>2H', frame[place + 5 : place + 9])
      return width, height
    place += 2 + length
  return None


def _stored_bits(dicom, pixels):
  """Without what old scanners keep in the bits above the stored ones."""
  if pixels.dtype.kind != 'u':
    return pixels
  return pixels & pixels.dtype.type((1 << dicom.BitsStored) - 1)


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
  return stretch(values, inside)


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


def stretch(values: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
  """The range of `values` (where `inside`) to 0..255; a flat film gives 0."""
  measured = values if inside is None or not inside.any() else values[inside]
  low, high = float(measured.min()), float(measured.max())
  return _to_uint8((values - low) / max(high - low, 1e-9))


def _to_uint8(grey):
  return np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)
