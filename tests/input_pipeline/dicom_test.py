"""DICOM films: every way to store them, and headers that claim anything."""

import importlib.util
import io
import struct
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pydicom
import pytest
from PIL import Image, features
from pydicom.encaps import encapsulate
from pydicom.uid import (
  DeflatedExplicitVRLittleEndian,
  JPEG2000Lossless,
  JPEGBaseline8Bit,
  JPEGLosslessSV1,
  JPEGLSLossless,
  RLELossless,
)

from input_pipeline import dicom, images
from tests.made.dicom_file import (
  DEEP_HxW,
  DEEP_SHOWN_HxW,
  RAMP_HxW,
  write_dicom,
)

FOUR_2x2 = np.array([[0, 1000], [2000, 3000]], np.uint16)
COLOURS = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
GREEN = np.zeros((2, 3, 3), np.uint8) + np.array((0, 200, 0), np.uint8)
RGB = {'PhotometricInterpretation': 'RGB', 'PlanarConfiguration': 0}
OVERLAID_HxW = DEEP_HxW.copy()
OVERLAID_HxW[5:9, 5:9] |= 0x8000

needs_jpeg_2000 = pytest.mark.skipif(
  not features.check('jpg_2000'), reason='this Pillow is without JPEG 2000'
)
needs_jpeg_ls = pytest.mark.skipif(
  not importlib.util.find_spec('jpeg_ls'),
  reason='no encoder of JPEG-LS (pip install pyjpegls)',
)


def picture(pixels_HxW, kind, **options):
  """A compressed picture."""
  file = io.BytesIO()
  Image.fromarray(pixels_HxW).save(file, kind, **options)
  return file.getvalue()


def stored_as(path, syntax):
  """The DICOM file in another transfer syntax."""
  file = pydicom.dcmread(path)
  if syntax == DeflatedExplicitVRLittleEndian:
    file.file_meta.TransferSyntaxUID = syntax
  else:
    file.compress(syntax)
  file.save_as(path)
  return path


@pytest.mark.parametrize(
  ('pixels', 'options', 'expected'),
  [
    (RAMP_HxW, {}, RAMP_HxW),
    (RAMP_HxW, {'PhotometricInterpretation': 'MONOCHROME1'}, 255 - RAMP_HxW),
    # Without a window, the film's own range, but for its padding.
    (FOUR_2x2, {'bits': 12}, [[0, 85], [170, 255]]),
    (FOUR_2x2, {'PixelPaddingValue': 0}, [[0, 0], [128, 255]]),
    (np.array([[-5, 5]], np.int16), {}, [[0, 255]]),
    # Rescaling comes before the window.
    (
      FOUR_2x2 // 2,
      {
        'RescaleSlope': 2,
        'RescaleIntercept': -1000,
        'WindowCenter': 500.5,
        'WindowWidth': 1001,
      },
      [[0, 0], [255, 255]],
    ),
    (GREEN, RGB, np.full((2, 3), 117)),  # 0.587 * 200
    # Bits above the stored ones are not of the film.
    (OVERLAID_HxW, {'bits': 12}, DEEP_SHOWN_HxW),
  ],
)
def test_what_is_shown(tmp_path, pixels, options, expected):
  path = write_dicom(tmp_path / 'film.png', pixels, **options)
  np.testing.assert_array_equal(images.read_film(path), expected)


@pytest.mark.parametrize(
  ('function', 'expected'),
  [('LINEAR', 0.375), ('LINEAR_EXACT', 0.3), ('SIGMOID', 0.31003)],
)
def test_window_functions(tmp_path, function, expected):
  path = write_dicom(
    tmp_path / 'film',
    np.array([[2, 9]], np.uint16),
    WindowCenter=[3, 900],
    WindowWidth=[5, 900],
    VOILUTFunction=function,
  )
  assert images.read_film(path)[0, 0] == pytest.approx(255 * expected, abs=0.6)


def test_lookup_table(tmp_path):
  table = pydicom.Dataset()
  table.LUTDescriptor = [4, 0, 8]
  table.add_new('LUTData', 'US', [10, 20, 200, 250])
  path = write_dicom(
    tmp_path / 'lut', np.array([[0, 1, 2, 3]], np.uint16),
    VOILUTSequence=[table],
  )  # fmt: skip
  assert images.read_film(path).tolist() == [[10, 20, 200, 250]]


@pytest.mark.parametrize('bits', [10, 12, 14, 15, 16])
def test_depths_of_real_detectors(tmp_path, bits):
  top = 2**bits - 1
  values = np.array([[0, top // 4, top // 2, top]], np.uint16)
  window = {'WindowCenter': (top + 1) / 2, 'WindowWidth': top + 1}
  for tags in ({}, window):
    path = write_dicom(tmp_path / 'film', values, bits=bits, **tags)
    np.testing.assert_allclose(
      images.read_film(path)[0], [0, 64, 127, 255], atol=1
    )


@pytest.mark.parametrize(
  ('syntax', 'pixels', 'tags'),
  [
    (RLELossless, RAMP_HxW, {}),
    (RLELossless, DEEP_HxW, {}),
    (RLELossless, COLOURS, RGB),
    (DeflatedExplicitVRLittleEndian, DEEP_HxW, {}),
    pytest.param(JPEGLSLossless, RAMP_HxW, {}, marks=needs_jpeg_ls),
    pytest.param(JPEGLSLossless, DEEP_HxW, {}, marks=needs_jpeg_ls),
  ],
)
def test_without_loss(tmp_path, syntax, pixels, tags):
  path = write_dicom(tmp_path / 'film', pixels, **tags)
  expected, plain = images.read_film(path), path.read_bytes()
  stored = stored_as(path, syntax).read_bytes()
  assert stored[400:] != plain[400:]
  np.testing.assert_array_equal(images.read_film(path), expected)


@pytest.mark.parametrize(
  ('syntax', 'kind', 'options', 'pixels', 'expected', 'atol'),
  [
    (JPEGBaseline8Bit, 'JPEG', {'quality': 95}, RAMP_HxW, RAMP_HxW, 6),
    pytest.param(
      JPEG2000Lossless, 'JPEG2000', {'no_jp2': True}, RAMP_HxW, RAMP_HxW, 0,
      marks=needs_jpeg_2000,
    ),
    pytest.param(
      JPEG2000Lossless, 'JPEG2000', {'no_jp2': True}, DEEP_HxW, DEEP_SHOWN_HxW,
      0, marks=needs_jpeg_2000,
    ),
  ],
)  # fmt: skip
def test_pictures(tmp_path, syntax, kind, options, pixels, expected, atol):
  frame = picture(pixels, kind, **options)
  path = write_dicom(
    tmp_path / 'film', pixels, syntax=syntax, data=encapsulate([frame])
  )
  np.testing.assert_allclose(images.read_film(path), expected, atol=atol)


@needs_jpeg_2000
def test_values_beyond_what_the_header_of_a_picture_says(tmp_path):
  """Of the two, the picture is right (PS3.5 8.2)."""
  values = np.rint(np.linspace(0, 16383, 1200)).reshape(30, 40)
  frame = picture(values.astype(np.uint16), 'JPEG2000', no_jp2=True)
  path = write_dicom(
    tmp_path / 'film', DEEP_HxW, bits=12, syntax=JPEG2000Lossless,
    data=encapsulate([frame]),
  )  # fmt: skip
  np.testing.assert_array_equal(
    images.read_film(path), np.rint(values / 16383 * 255)
  )


@pytest.mark.parametrize(
  ('tags', 'message'),
  [
    ({'NumberOfFrames': 2}, 'has 2 frames'),
    ({'Rows': 65000, 'Columns': 65000}, '65000 x 65000 pixels'),
    ({'Rows': 31}, 'damaged or cut short'),
    ({'Rows': 0}, '40 x 0 pixels'),
    ({'PhotometricInterpretation': 'PALETTE COLOR'}, 'PALETTE COLOR'),
    ({'BitsAllocated': 32}, 'its header says'),
    ({'BitsAllocated': 1}, 'its header says'),
    ({'SamplesPerPixel': 200}, 'its header says'),
    ({'SamplesPerPixel': 3, 'BitsAllocated': 16}, 'its header says'),
    ({'PixelData': None}, 'without PixelData'),
  ],
)
def test_dicoms_that_are_no_film(tmp_path, tags, message):
  path = write_dicom(tmp_path / 'film.dcm', RAMP_HxW, **tags)
  if 'PixelData' in tags:
    file = pydicom.dcmread(path)
    del file.PixelData
    file.save_as(path)
  with pytest.raises(images.ImageError, match=message) as caught:
    images.read_film(path)
  assert str(path) in str(caught.value)


def jpeg_ls_head(width, height, marker=b'\xf7'):
  """Start, a comment, a fill byte and the frame head of JPEG-LS, or another."""
  frame = struct.pack('>HBHHB', 11, 8, height, width, 1) + b'\x01\x11\x00'
  start = b'\xff\xd8\xff\xfe\x00\x04hi\xff\xff'
  return start + marker + frame + b'\x00' * 9


@pytest.mark.parametrize(
  ('syntax', 'name', 'frame'),
  [
    (JPEGLosslessSV1, 'JPEG Lossless', jpeg_ls_head(40, 30, b'\xc3')),
    (JPEGLSLossless, 'JPEG-LS', jpeg_ls_head(40, 30)),
  ],
)
def test_a_decoder_that_is_missing_is_named(
  tmp_path, monkeypatch, syntax, name, frame
):
  def no_decoder(_):
    raise RuntimeError('all plugins are missing dependencies')

  monkeypatch.setattr(pydicom.pixels, 'pixel_array', no_decoder)
  path = write_dicom(
    tmp_path / 'film', RAMP_HxW, syntax=syntax, data=encapsulate([frame])
  )
  with pytest.raises(images.ImageError, match=rf'{name}.*pip install'):
    images.read_film(path)


def head_of(pixels, width, height):
  """A JPEG with another size in its frame head."""
  content = bytearray(picture(pixels, 'JPEG'))
  place = content.index(b'\xff\xc0') + 5
  content[place : place + 4] = struct.pack('>HH', height, width)
  return bytes(content)


def siz_of(width, height):
  """A JPEG 2000 codestream up to its size."""
  return b'\xff\x4f\xff\x51' + struct.pack(
    '>HH6L', 47, 0, width, height, *[0] * 4
  )


@pytest.mark.parametrize(
  ('syntax', 'frame'),
  [
    (JPEGBaseline8Bit, head_of(RAMP_HxW, 60000, 60000)),
    (JPEGLSLossless, jpeg_ls_head(60000, 60000)),
    (JPEG2000Lossless, siz_of(60000, 60000)),
  ],
)
def test_pictures_larger_than_their_header_says(tmp_path, syntax, frame):
  path = write_dicom(
    tmp_path / 'film', RAMP_HxW, syntax=syntax, data=encapsulate([frame])
  )
  with pytest.raises(images.ImageError, match=r'40 x 30 .* 60000 x 60000'):
    images.read_film(path)


def refused_unread(path, message):
  """The film is refused, and next to nothing of it was unpacked."""
  tracemalloc.start()
  with pytest.raises(images.ImageError, match=message):
    images.read_film(path)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert peak < 10e6


def test_run_lengths_that_never_end(tmp_path):
  """A megabyte that unpacks to 64."""
  runs = b'\x81\x00' * 500_000
  frame = struct.pack('<16L', 1, 64, *[0] * 14) + runs
  path = write_dicom(
    tmp_path / 'film', RAMP_HxW, syntax=RLELossless, data=encapsulate([frame])
  )
  refused_unread(path, 'unpacks to more pixels')


def test_deflated_bombs_are_not_inflated(tmp_path, monkeypatch):
  path = write_dicom(tmp_path / 'film', RAMP_HxW)
  stored_as(path, DeflatedExplicitVRLittleEndian)
  meta = pydicom.filereader.read_file_meta_info(path)
  start = 144 + meta.FileMetaInformationGroupLength
  squeeze = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
  bomb = squeeze.compress(bytes(50_000_000)) + squeeze.flush()
  path.write_bytes(path.read_bytes()[:start] + bomb)
  monkeypatch.setattr(dicom, 'MAX_BYTES', 1_000_000)
  refused_unread(path, 'inflates to over 1,000,000')


@pytest.mark.parametrize('syntax', [RLELossless, JPEGBaseline8Bit])
def test_every_truncation_of_a_frame_is_an_image_error(tmp_path, syntax):
  path = write_dicom(
    tmp_path / 'whole', RAMP_HxW, syntax=JPEGBaseline8Bit,
    data=encapsulate([picture(RAMP_HxW, 'JPEG', quality=95)]),
  )  # fmt: skip
  if syntax == RLELossless:
    stored_as(write_dicom(path, RAMP_HxW), RLELossless)
  content = path.read_bytes()
  cut = tmp_path / 'film'
  for length in range(0, len(content) - 40, 61):
    cut.write_bytes(content[:length])
    with pytest.raises(images.ImageError):
      images.read_film(cut)


def test_a_film_that_is_cut_short_says_so_in_one_sentence(tmp_path):
  whole = write_dicom(
    tmp_path / 'whole', RAMP_HxW, syntax=JPEGBaseline8Bit,
    data=encapsulate([picture(RAMP_HxW, 'JPEG', quality=95)]),
  )  # fmt: skip
  path = tmp_path / 'film.dcm'
  path.write_bytes(whole.read_bytes()[:-20])
  code = (
    'import sys; from input_pipeline import images\n'
    'try: images.read_film(sys.argv[1])\n'
    'except images.ImageError as error: print(error)'
  )
  done = subprocess.run(
    [sys.executable, '-c', code, path],
    check=True,
    capture_output=True,
    text=True,
  )
  assert 'cut short' in done.stdout and done.stdout.count('\n') == 1
  assert done.stderr == ''
