"""What a compressed picture says of itself, before anything is decoded."""

import io
import itertools
import os
import struct

from input_pipeline.film_limits import MAX_PIXELS, ImageError

_MAX_FRAGMENTS = 100_000
_MAX_SCANS = 100  # a progressive JPEG has ten
_MAX_CHUNKS = 100_000
_JPEG, _JPEG_2000 = b'\xff\xd8', b'\xff\x4f\xff\x51'
_BOXED = b'\x00\x00\x00\x0cjP  '  # a JP2 file around the codestream
_TEXTS = (b'tEXt', b'zTXt', b'iTXt', b'iCCP')


def check_frame(dicom, path: str | os.PathLike) -> None:
  """What is compressed must say of itself what the header says of it.

  Args:
    dicom: of pydicom, which is not imported for other films.
    path: for the message.

  Raises:
    ImageError: another size, several frames, or more work than a film is.
  """
  from pydicom.encaps import generate_fragments, generate_frames
  from pydicom.uid import RLELossless

  run_lengths = dicom.file_meta.TransferSyntaxUID == RLELossless
  data = dicom.PixelData
  (table,) = struct.unpack('<L', data[4:8])  # bytes of the offsets of frames
  frames, heads = 0, (_JPEG, _JPEG_2000, _BOXED)
  for n, part in enumerate(generate_fragments(io.BytesIO(data[8 + table :]))):
    frames += run_lengths or part.startswith(heads)
    if n == _MAX_FRAGMENTS:
      raise ImageError(path, f'is in over {n:,} pieces.')
  frames = max(frames, table // 4)
  if frames > 1:
    raise ImageError(path, f'has {frames} frames; expected one.')
  frame = next(generate_frames(data, number_of_frames=1))
  if run_lengths:
    expected = dicom.Rows * dicom.Columns * dicom.SamplesPerPixel
    expected *= dicom.BitsAllocated // 8
    if _unpacked_rle_bytes(frame) > expected + 2 * dicom.SamplesPerPixel:
      raise ImageError(path, 'unpacks to more pixels than its header says.')
    return
  size = _codestream_size(frame)
  if size is None:
    raise ImageError(path, 'its compressed picture does not say its size.')
  if size != (dicom.Columns, dicom.Rows):
    raise ImageError(
      path,
      f'its header says {dicom.Columns} x {dicom.Rows} pixels, its compressed '
      f'picture {size[0]} x {size[1]}.',
    )
  check_scans(frame, size, path)


def check_scans(
  content: bytes, size: tuple[int, int], path: str | os.PathLike
) -> None:
  """Raises ImageError for a JPEG that passes over its pixels too often.

  Args:
    content: bytes of the file or frame; other kinds than JPEG are let pass.
    size: width and height, in pixels.
    path: for the message.
  """
  if not content.startswith(_JPEG):
    return
  scans = content.count(b'\xff\xda')
  if scans > _MAX_SCANS or scans * size[0] * size[1] > 16 * MAX_PIXELS:
    raise ImageError(path, f'has {scans} scans, more than a film needs.')


def without_texts(content: bytes, path: str | os.PathLike) -> bytes:
  """A PNG without texts and colour profiles, which may unpack to anything."""
  kept, place = [content[:8]], 8
  for _ in range(_MAX_CHUNKS):
    length, kind = struct.unpack('>L4s', content[place : place + 8])
    end = place + 12 + length
    if kind not in _TEXTS:
      kept.append(content[place:end])
    place = end
    if kind == b'IEND' or place + 8 > len(content):
      return b''.join(kept)
  raise ImageError(path, f'has over {_MAX_CHUNKS:,} parts.')


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
  if frame.startswith(_BOXED):
    frame = frame[max(frame.find(_JPEG_2000), 0) :]
  if frame.startswith(_JPEG_2000) and len(frame) >= 24:  # SOC, SIZ
    right, bottom, left, top = struct.unpack('>4L', frame[8:24])
    return right - left, bottom - top
  place = 2
  while frame.startswith(_JPEG) and place + 9 <= len(frame):  # JPEG-LS too
    fill, marker, length = struct.unpack('>2BH', frame[place : place + 4])
    if fill != 0xFF:
      return None
    if marker == 0xFF:  # a fill byte
      place += 1
      continue
    frame_head = 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)
    if frame_head or marker == 0xF7:
      height, width = struct.unpack('>2H', frame[place + 5 : place + 9])
      return width, height
    place += 2 + length
  return None
