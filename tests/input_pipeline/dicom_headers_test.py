"""DICOM headers that say half of what they should, or too much."""

import io
import struct
import zlib

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
  DeflatedExplicitVRLittleEndian,
  JPEGBaseline8Bit,
  JPEGLSLossless,
  RLELossless,
)

from input_pipeline import images
from tests.made.dicom_file import (
  DEEP_HxW,
  DEEP_SHOWN_HxW,
  RAMP_HxW,
  write_dicom,
)

WINDOW = {'WindowCenter': 2048, 'WindowWidth': 4096}


def table(descriptor, data, vr='US'):
  """An item of a lookup table's sequence."""
  item = pydicom.Dataset()
  if descriptor is not None:
    item.LUTDescriptor = descriptor
    item.add_new('LUTData', vr, data)
  return [item]


def shown(tmp_path, pixels, **tags):
  return images.read_film(write_dicom(tmp_path / 'film', pixels, **tags))


LUT_12 = list(range(4096))


@pytest.mark.parametrize(
  'tags',
  [
    # The depth that the table declares is not that of its entries.
    {'VOILUTSequence': table([4096, 0, 16], LUT_12)},
    {'VOILUTSequence': table([4096, 0, 8], LUT_12)},
    # Empty ones are none: a window, or the film's own range, is there.
    {'VOILUTSequence': table(None, None), **WINDOW},
    {'VOILUTSequence': [], **WINDOW},
    {'VOILUTSequence': table([4096, 0, 12], b'', 'OW')},
    {'RescaleSlope': None, 'RescaleIntercept': None},
    {'RescaleSlope': None, 'RescaleIntercept': None, **WINDOW},
    {'RescaleSlope': 2, 'WindowCenter': 4096, 'WindowWidth': 8191},
    {'RescaleSlope': 0},
    {'ModalityLUTSequence': table(None, None)},
    {'ModalityLUTSequence': table([4096, 0, 16], [7 * n for n in LUT_12])},
    # Windows that no value is in, that have no width, that are half there.
    {'WindowCenter': -9000, 'WindowWidth': 400},
    {'WindowCenter': 9000, 'WindowWidth': 1},
    {'WindowCenter': 40, 'WindowWidth': 0},
    {'WindowCenter': 40, 'WindowWidth': -5},
    {'WindowCenter': 40},
    {'WindowCenter': '', 'WindowWidth': ''},
    {'VOILUTSequence': table([2, 9000, 8], [0, 255])},
    {'VOILUTFunction': '', **WINDOW},
    {'PixelRepresentation': None},
    {'HighBit': None},
    {'PixelPaddingValue': None},
  ],
)
def test_what_is_empty_or_missing_leaves_the_film(tmp_path, tags):
  film_HxW = shown(tmp_path, DEEP_HxW, bits=12, **tags)
  np.testing.assert_allclose(film_HxW, DEEP_SHOWN_HxW, atol=1)


@pytest.mark.parametrize(
  ('descriptor', 'data', 'vr'),
  [
    ([256, 0, 8], list(range(256)), 'US'),
    ([256, 0, 8], bytes(range(256)), 'OW'),  # two in a word
    ([256, 0, 8], np.arange(256, dtype='<u2').tobytes(), 'OW'),
    ([256, 0, 16], np.arange(256, dtype='<u2').tobytes(), 'OW'),
  ],
)
def test_ways_to_pack_a_table_of_8_bits(tmp_path, descriptor, data, vr):
  film_HxW = shown(
    tmp_path, RAMP_HxW, VOILUTSequence=table(descriptor, data, vr)
  )
  np.testing.assert_array_equal(film_HxW, RAMP_HxW)


def test_a_table_that_is_cut_short_is_refused(tmp_path):
  with pytest.raises(images.ImageError, match='100 bytes for 256 entries'):
    shown(
      tmp_path, RAMP_HxW, VOILUTSequence=table([256, 0, 8], bytes(100), 'OW')
    )


@pytest.mark.parametrize(
  ('slope', 'expected'), [(None, 1), (1, 1), (3, 1), (-1, -1)]
)
def test_8_bits_are_shown_as_they_are(tmp_path, slope, expected):
  """By the range that they can have: a rescaling of 1 changes nothing."""
  dark_HxW = 60 + RAMP_HxW // 2
  tags = {} if slope is None else {'RescaleSlope': slope, 'RescaleIntercept': 0}
  film_HxW = shown(tmp_path, dark_HxW, **tags)
  wanted = dark_HxW if expected == 1 else 255 - dark_HxW
  np.testing.assert_array_equal(film_HxW, wanted)
  wide = dark_HxW.astype(np.uint16)
  np.testing.assert_array_equal(shown(tmp_path, wide, bits=8, **tags), wanted)


@pytest.mark.parametrize(
  ('function', 'width', 'expected'),
  [
    # PS3.3 C.11.2.1.2.1: of width 1, a threshold at center - 0.5.
    ('LINEAR', 1, [0, 0, 255, 255]),
    ('LINEAR_EXACT', 1, [0, 0, 128, 255]),
    ('LINEAR_EXACT', 0.5, [0, 0, 128, 255]),
    ('LINEAR_EXACT', 4, [0, 64, 128, 191]),
    ('SIGMOID', 1, [0, 5, 128, 250]),
    ('SIGMOID', 0.5, [0, 0, 128, 255]),
  ],
)
def test_narrow_windows(tmp_path, function, width, expected):
  film_HxW = shown(
    tmp_path, np.array([[0, 1, 2, 3]], np.uint16), bits=12,
    VOILUTFunction=function, WindowCenter=2, WindowWidth=width,
  )  # fmt: skip
  np.testing.assert_allclose(film_HxW[0], expected, atol=1)


def bordered(share):
  """A film of 12 bits, and a collimator's border that is so much of it."""
  rng = np.random.default_rng(0)
  film_HxW = rng.normal(2000, 500, (200, 200)).clip(300, 4000)
  film_HxW[: int(200 * share)] = rng.integers(0, 60, 200)
  film_HxW[0, :2] = 0, 4095
  return film_HxW.astype(np.uint16)


@pytest.mark.parametrize('share', [0, 0.05, 0.3])
@pytest.mark.parametrize(
  ('center', 'width'), [(127, 255), (128, 256), (60000, 400)]
)
def test_a_window_of_another_film_gives_way(tmp_path, share, center, width):
  """One of 8 bits, say, would leave a white film in a black border."""
  film_HxW = bordered(share)
  shown_HxW = shown(
    tmp_path, film_HxW, bits=12, WindowCenter=center, WindowWidth=width
  )
  np.testing.assert_allclose(shown_HxW, film_HxW / 4095 * 255, atol=1)


@pytest.mark.parametrize('share', [0, 0.3, 0.95])
@pytest.mark.parametrize(
  # All of it, its brighter half, and its darker one.
  ('center', 'width'), [(2000, 3400), (3000, 2000), (1000, 2000)]
)  # fmt: skip
def test_a_window_of_the_film_stays(tmp_path, share, center, width):
  """Even of a child on a large plate, which is nearly all border."""
  film_HxW = bordered(share)
  shown_HxW = shown(
    tmp_path, film_HxW, bits=12, WindowCenter=center, WindowWidth=width
  )
  low = center - width / 2
  expected = np.clip((film_HxW - low) / (width - 1) * 255, 0, 255)
  np.testing.assert_allclose(shown_HxW, expected, atol=0.51)


@pytest.mark.parametrize('signed', [False, True])
@pytest.mark.parametrize('low', [0, 2, 4])
@pytest.mark.parametrize('rle', [False, True])
def test_bits_that_do_not_begin_at_bit_0(tmp_path, low, signed, rle):
  """DICOM before 2014 let them lie anywhere; the others are of overlays."""
  values_HxW = DEEP_HxW.astype(np.int32) - 2048 * signed
  words_HxW = (values_HxW & 0xFFF) << low
  words_HxW |= 0xFFFF & ~(0xFFF << low) & 0x5A5A  # what else lies in the word
  path = write_dicom(
    tmp_path / 'film', words_HxW.astype(np.uint16), bits=12, HighBit=11 + low,
    PixelRepresentation=int(signed), WindowCenter=2048 - 2048 * signed,
    WindowWidth=4096,
  )  # fmt: skip
  if rle:
    file = pydicom.dcmread(path)
    file.compress(RLELossless)
    file.save_as(path)
  np.testing.assert_allclose(images.read_film(path), DEEP_SHOWN_HxW, atol=1)


@pytest.mark.parametrize(
  ('kind', 'tags', 'padding'),
  [
    (np.uint16, {'PixelPaddingValue': 5000, 'PixelPaddingRangeLimit': 6000},
     [5000, 5500, 6000]),
    (np.uint16, {'PixelPaddingValue': 6000, 'PixelPaddingRangeLimit': 5000},
     [5000, 5500, 6000]),
    (np.int16, {'PixelPaddingValue': -2000}, [-2000] * 3),
    (np.int16, {'PixelPaddingValue': -2000, 'PixelPaddingRangeLimit': -1000},
     [-2000, -1500, -1000]),
  ],
)  # fmt: skip
def test_padding_is_no_part_of_the_range(tmp_path, kind, tags, padding):
  film = np.array([[*padding, 100, 250, 400]], kind)
  expected = [0 if p < 0 else 255 for p in padding]
  assert shown(tmp_path, film, **tags)[0].tolist() == [*expected, 0, 128, 255]


def test_colours_without_a_word_of_their_order(tmp_path):
  colours = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
  film_HxW = shown(tmp_path, colours, PhotometricInterpretation='RGB')
  expected = np.asarray(Image.fromarray(colours).convert('L'))
  np.testing.assert_array_equal(film_HxW, expected)


@pytest.mark.parametrize('implicit', [True, False])
@pytest.mark.parametrize('meta', [True, False])
def test_a_film_without_its_preamble(tmp_path, implicit, meta):
  path = write_dicom(tmp_path / 'film', DEEP_HxW, bits=12)
  file = pydicom.dcmread(path)
  out = io.BytesIO()
  if meta:
    path.write_bytes(path.read_bytes()[132:])
  else:
    del file.file_meta, file.preamble
    pydicom.dcmwrite(
      out, file, implicit_vr=implicit, little_endian=True,
      enforce_file_format=False,
    )  # fmt: skip
    path.write_bytes(out.getvalue())
  np.testing.assert_array_equal(images.read_film(path), DEEP_SHOWN_HxW)


def test_compressed_without_its_header(tmp_path):
  path = write_dicom(tmp_path / 'film', RAMP_HxW)
  file = pydicom.dcmread(path)
  file.compress(RLELossless)
  del file.file_meta, file.preamble
  out = io.BytesIO()
  pydicom.dcmwrite(
    out, file, implicit_vr=False, little_endian=True, enforce_file_format=False
  )
  path.write_bytes(out.getvalue())
  with pytest.raises(images.ImageError, match='lacks the file header'):
    images.read_film(path)


def jpeg(pixels):
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, 'JPEG')
  return file.getvalue()


@pytest.mark.parametrize(
  ('syntax', 'data', 'message'),
  [
    (None, RAMP_HxW.tobytes() * 3, 'pixels of 3 films'),
    (JPEGBaseline8Bit, encapsulate([jpeg(RAMP_HxW)] * 2), '2 frames'),
    (
      JPEGBaseline8Bit,
      encapsulate([jpeg(RAMP_HxW)] * 3, has_bot=False),
      '3 frames',
    ),
    (JPEGBaseline8Bit, encapsulate([b'\0' + jpeg(RAMP_HxW)]), 'say its size'),
    (JPEGLSLossless, encapsulate([b'\xff\xd8\0\xff\xf7' + bytes(20)]), 'size'),
    (
      JPEGBaseline8Bit,
      encapsulate([jpeg(RAMP_HxW) + b'\xff\xda\0\x02' * 2500]),
      '2501 scans',
    ),
  ],
)
def test_frames_and_scans_unsaid(tmp_path, syntax, data, message):
  path = write_dicom(tmp_path / 'film', RAMP_HxW, syntax=syntax, data=data)
  with pytest.raises(images.ImageError, match=message):
    images.read_film(path)


def test_what_fills_up_behind_the_pixels_is_left_off(tmp_path):
  data = RAMP_HxW.tobytes() + bytes(900)
  path = write_dicom(tmp_path / 'film', RAMP_HxW, data=data)
  np.testing.assert_array_equal(images.read_film(path), RAMP_HxW)


@pytest.mark.parametrize('deflated', [False, True])
def test_millions_of_empty_items_are_not_read(tmp_path, deflated):
  path = write_dicom(tmp_path / 'film', RAMP_HxW)
  file = pydicom.dcmread(path)
  body = path.read_bytes()[144 + file.file_meta[0x20000].value :]
  if deflated:
    file.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
  file.save_as(path)
  meta = pydicom.filereader.read_file_meta_info(path)
  start = 144 + meta.FileMetaInformationGroupLength
  items = struct.pack('<2HL', 0xFFFE, 0xE000, 0) * 1_000_000
  end = struct.pack('<2HL', 0xFFFE, 0xE0DD, 0)
  head = struct.pack('<2H2sHL', 0x08, 0x0001, b'SQ', 0, 0xFFFFFFFF)
  body = head + items + end + body
  if deflated:
    squeeze = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    body = squeeze.compress(body) + squeeze.flush()
  path.write_bytes(path.read_bytes()[:start] + body)
  with pytest.raises(images.ImageError, match=r'No tag|more elements'):
    images.read_film(path)
