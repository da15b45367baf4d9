"""Stored values of a film to the grey levels that are shown.

A film has at most 16 bits, so all is worked out once for each word that a
pixel can be (W of them, 256 or 65,536), and looked up for each pixel.
"""

import os

import numpy as np

from input_pipeline.film_limits import ImageError

_CHUNK = 1 << 20  # pixels at once: an index takes eight bytes
# Share of pixels at either end that may be no film: defects, burnt-in letters.
_OUTLYING = 0.02
# A window is not the film's if it makes so much of it black, or so much white,
# not counting pixels so few levels from either end of the film's own range.
_LOST, _ENDS = 0.9, 4
_MAX_SEQUENCE = 4_000_000  # bytes; a lookup table has 131,072


def show_own_range(words_HxW: np.ndarray) -> np.ndarray:
  """Unsigned pixels to uint8 (H, W), their range to 0..255."""
  counts_W = _count(words_HxW)
  return _look_up(words_HxW, _spread(np.arange(len(counts_W)), counts_W))


def show_dicom(
  words_HxW: np.ndarray,
  dicom,
  low: int,
  stored: int,
  path: str | os.PathLike,
) -> np.ndarray:
  """The pixels of a DICOM film as they are shown, uint8 (H, W).

  By its modality (rescale), then by VOI LUT or window; where it has none, or
  one that leaves a single grey of nearly all that the film holds, by the film's
  own range. Films of 8 bits without any are shown as they are.

  Args:
    words_HxW: unsigned, the bits as they are stored.
    dicom: its header, complete; of pydicom, which only DICOM films import.
    low: place of the lowest bit that is of the film.
    stored: how many bits are.
    path: of the file, for messages.

  Raises:
    ImageError: a lookup table that is cut short.
  """
  counts_W = _count(words_HxW)
  signed = dicom.PixelRepresentation == 1
  stored_W = _values(np.arange(len(counts_W)), low, stored, signed)
  inside_W = np.where(_is_padding(dicom, stored_W), 0, counts_W)
  counts_W = inside_W if inside_W.any() else counts_W
  values_W = _modality(dicom, stored_W, path)
  levels_W = _voi(dicom, values_W, path)
  if levels_W is None or _hides(levels_W, values_W, counts_W):
    if stored <= 8:  # their whole range, as of 8 bit PNG and JPEG
      whole = _values(np.arange(1 << stored), 0, stored, signed)
      ends = _modality(dicom, whole, path)
      levels_W = _between(values_W, ends.min(), ends.max())
    else:
      levels_W = _spread(values_W, counts_W)
  if dicom.PhotometricInterpretation == 'MONOCHROME1':
    levels_W = 255 - levels_W
  return _look_up(words_HxW, levels_W)


def _count(words_HxW):
  """How many pixels are each word, (W,)."""
  size = 1 << 8 * words_HxW.itemsize
  flat, counts_W = words_HxW.reshape(-1), np.zeros(size, np.int64)
  for start in range(0, len(flat), _CHUNK):
    counts_W += np.bincount(flat[start : start + _CHUNK], minlength=size)
  return counts_W


def _look_up(words_HxW, levels_W):
  shown, flat = np.empty(words_HxW.shape, np.uint8), words_HxW.reshape(-1)
  for start in range(0, len(flat), _CHUNK):
    part = slice(start, start + _CHUNK)
    shown.reshape(-1)[part] = levels_W[flat[part]]
  return shown


def _values(words_W, low, stored, signed):
  """The film's own bits of each word, as numbers."""
  values_W = words_W >> low & (1 << stored) - 1
  top = 1 << stored - 1
  return values_W - 2 * top * (values_W >= top) if signed else values_W


def _is_padding(dicom, stored_W):
  """Which words are no part of the film (DICOM PS3.3 C.7.5.1.1.2), (W,)."""
  bits = (len(stored_W) - 1).bit_length()
  signed = dicom.PixelRepresentation == 1
  value = _first(dicom.get('PixelPaddingValue'))
  if value is None:
    return np.zeros(len(stored_W), bool)
  limit = _first(dicom.get('PixelPaddingRangeLimit'))
  ends = [int(value), int(value if limit is None else limit)]
  ends = _values(np.array(ends), 0, bits, signed)  # US is written for SS
  whole_W = _values(np.arange(len(stored_W)), 0, bits, signed)
  return np.logical_or(
    *((ends.min() <= v_W) & (v_W <= ends.max()) for v_W in (whole_W, stored_W))
  )


def _modality(dicom, stored_W, path):
  """DICOM PS3.3 C.11.1: by lookup table, or slope and intercept."""
  table = _table(dicom, 'ModalityLUTSequence', path)
  if table:
    first, entries = table
    return entries[np.clip(stored_W - first, 0, len(entries) - 1)]
  slope, intercept = (
    _first(dicom.get(f'Rescale{name}')) for name in ('Slope', 'Intercept')
  )
  return stored_W * (slope or 1.0) + (intercept or 0.0)


def _voi(dicom, values_W, path):
  """Levels by VOI LUT or window (DICOM PS3.3 C.11.2); None without either."""
  table = _table(dicom, 'VOILUTSequence', path)
  if table:
    first, entries = table
    # Some say 16 bits where their entries have 12.
    top = (1 << int(entries.max()).bit_length()) - 1
    places_W = np.clip(np.rint(values_W) - first, 0, len(entries) - 1)
    return _between(entries[places_W.astype(int)], 0, top)
  center, width = (_first(dicom.get(f'Window{n}')) for n in ('Center', 'Width'))
  if center is None or width is None or width <= 0:
    return None
  function = dicom.get('VOILUTFunction')
  if function == 'SIGMOID':
    # As its tanh, which does not overflow.
    shares_W = 0.5 + 0.5 * np.tanh(2 * (values_W - center) / width)
    return _between(shares_W, 0, 1)
  if function == 'LINEAR_EXACT':
    return _between(values_W, center - width / 2, center + width / 2)
  if width < 1:
    return None
  low, high = center - width / 2, center + width / 2 - 1
  if width == 1:
    return np.where(values_W > low, 255, 0).astype(np.uint8)
  return _between(values_W, low, high)


def _hides(levels_W, values_W, counts_W):
  """Whether one level is left of several values, or nearly so.

  What is black or white by the film's own range, such as the border that a
  collimator leaves, does not count.
  """
  there_W = counts_W > 0
  levels, values, counts = (x[there_W] for x in (levels_W, values_W, counts_W))
  if np.ptp(levels) == 0:
    return np.ptp(values) > 0
  own = _spread(values, counts)
  inner = np.where(np.minimum(own, 255 - own) > _ENDS, counts, 0)
  lost = max(inner[levels == end].sum() for end in (0, 255))
  return lost > _LOST * inner.sum()


def _spread(values_W, counts_W):
  """Levels over the range of the values that there are, but for strange ones.

  Strange are few pixels, defects or letters burnt in, that are further from all
  others than these are from each other.
  """
  order = np.argsort(values_W, kind='stable')
  order = order[counts_W[order] > 0]
  values, shares = values_W[order], np.cumsum(counts_W[order]) / counts_W.sum()
  low = values[np.searchsorted(shares, _OUTLYING, 'right')]
  high = values[np.searchsorted(shares, 1 - _OUTLYING)]
  if high > low:
    reach = high - low
    values = values[(low - reach <= values) & (values <= high + reach)]
  return _between(values_W, values[0], values[-1])


def _between(values_W, low, high):
  """Linear from `low` (0) to `high` (255), clipped; equal ends give 0."""
  shares_W = (values_W - low) / max(float(high) - float(low), 1e-9)
  return np.rint(np.clip(shares_W, 0, 1) * 255).astype(np.uint8)


def _table(dicom, name, path):
  """(first value that is mapped, entries) of a lookup table; None of none."""
  if name not in dicom:
    return None
  if (getattr(dicom.get_item(name), 'length', 0) or 0) > _MAX_SEQUENCE:
    raise ImageError(path, f'its {name} is longer than any lookup table.')
  for item in dicom[name].value or ():
    descriptor, data = item.get('LUTDescriptor'), item.get('LUTData')
    if descriptor and len(descriptor) == 3 and data not in (None, b'', []):
      break
  else:
    return None
  if not isinstance(data, bytes):
    data = np.array(data, np.int64).astype('<u2').tobytes()
  size = (int(descriptor[0]) & 0xFFFF) or 0x10000
  if len(data) < size:
    raise ImageError(
      path, f'its {name} has {len(data)} bytes for {size} entries.'
    )
  # Of 8 bits, some pack two in a word, and some do not.
  entries = np.frombuffer(data, '<u2' if len(data) >= 2 * size else 'u1')
  first = int(descriptor[1])
  if dicom.PixelRepresentation == 1 and first > 0x7FFF:
    first -= 0x10000
  return first, entries[:size].astype(float)


def _first(value):
  """The first of several: what a viewer opens with. None where none is."""
  from pydicom.multival import MultiValue

  if isinstance(value, MultiValue):
    value = value[0] if value else None
  number = None if value in (None, '') else float(value)
  return number if number is None or np.isfinite(number) else None
