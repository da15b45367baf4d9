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
  JPEGLSLossless,
  RLELossless,
)

from input_pipeline import dicom, images
from tests.made.dicom_file import RAMP_HxW, write_dicom

DEEP_HxW = np.linspace(0, 4095, 30 * 40).reshape(30, 40).astype(np.uint16)
DEEP_SHOWN_HxW = np.rint(DEEP_HxW / 4095 * 255)

needs_jpeg_2000 = pytest.mark.skipif(
  not features.check('jpg_2000'), reason='this Pillow is without JPEG 2000'
)
needs_jpeg_ls = pytest.mark.skipif(
  not importlib.util.find_spec('jpeg_ls'),
  reason='no encoder of JPEG-LS (pip install pyjpegls)',
)


def jpeg_2000(pixels_HxW):
  file = io.BytesIO()
  Image.fromarray(pixels_HxW).save(file, 'JPEG2000', no_jp2=True)
  return file.getvalue()


def jpeg(pixels_HxW):
  file = io.BytesIO()
  Image.fromarray(pixels_HxW).save(file, 'JPEG', quality=95)
  return file.getvalue()


@pytest.mark.parametrize('pixels_HxW', [RAMP_HxW, DEEP_HxW])
def test_run_lengths(tmp_path, pixels_HxW):
  path = write_dicom(tmp_path / 'film', pixels_HxW)
  expected = images.read_film(path)
  file = pydicom.dcmread(path)
  file.compress(RLELossless)
  file.save_as(path)
  np.testing.assert_array_equal(images.read_film(path), expected)


def test_run_lengths_in_colour(tmp_path):
  colours = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
  path = write_dicom(
    tmp_path / 'film', colours,
    PhotometricInterpretation='RGB', PlanarConfiguration=0,
  )  # fmt: skip
  expected = images.read_film(path)
  file = pydicom.dcmread(path)
  file.compress(RLELossless)
  file.save_as(path)
  np.testing.assert_array_equal(images.read_film(path), expected)


def test_run_lengths_that_never_end(tmp_path):
  """A megabyte that unpacks to 64: refused before a byte is unpacked."""
  runs = b'\x81\x00' * 500_000
  frame = struct.pack('<16L', 1, 64, *[0] * 14) + runs
  path = write_dicom(
    tmp_path / 'film', RAMP_HxW, syntax=RLELossless, data=encapsulate([frame])
  )
  tracemalloc.start()
  with pytest.raises(images.ImageError, match='unpacks to more pixels'):
    images.read_film(path)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert peak < 10e6


@needs_jpeg_2000
def test_jpeg_2000(tmp_path):
  path = write_dicom(
    tmp_path / 'film', RAMP_HxW,
    syntax=JPEG2000Lossless, data=encapsulate([jpeg_2000(RAMP_HxW)]),
  )  # fmt: skip
  np.testing.assert_array_equal(images.read_film(path), RAMP_HxW)


@needs_jpeg_2000
def test_jpeg_2000_of_sixteen_bits(tmp_path):
  path = write_dicom(
    tmp_path / 'film', DEEP_HxW,
    syntax=JPEG2000Lossless, data=encapsulate([jpeg_2000(DEEP_HxW)]),
  )  # fmt: skip
  np.testing.assert_array_equal(images.read_film(path), DEEP_SHOWN_HxW)


@needs_jpeg_ls
@pytest.mark.parametrize('pixels_HxW', [RAMP_HxW, DEEP_HxW])
def test_jpeg_ls(tmp_path, pixels_HxW):
  path = write_dicom(tmp_path / 'film', pixels_HxW)
  expected = images.read_film(path)
  file = pydicom.dcmread(path)
  file.compress(JPEGLSLossless)
  file.save_as(path)
  np.testing.assert_array_equal(images.read_film(path), expected)


def test_jpeg_ls_without_a_decoder_says_what_is_missing(tmp_path, monkeypatch):
  def no_decoder(_):
    raise RuntimeError('all plugins are missing dependencies')

  monkeypatch.setattr(pydicom.pixels, 'pixel_array', no_decoder)
  head = jpeg_ls_head(40, 30)
  path = write_dicom(
    tmp_path / 'film', RAMP_HxW,
    syntax=JPEGLSLossless, data=encapsulate([head]),
  )  # fmt: skip
  with pytest.raises(images.ImageError, match=r'JPEG-LS.*pip install'):
    images.read_film(path)


def jpeg_ls_head(width, height):
  """Start, a comment, a fill byte and the frame head of JPEG-LS."""
  frame = struct.pack('>HBHHB', 11, 8, height, width, 1) + b'\x01\x11\x00'
  return b'\xff\xd8\xff\xfe\x00\x04hi\xff\xff\xf7' + frame + b'\x00' * 9


def head_of(pixels, width, height):
  """A JPEG with another size in its frame head."""
  content = bytearray(jpeg(pixels))
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


def test_deflated(tmp_path):
  path = write_dicom(tmp_path / 'film', DEEP_HxW)
  file = pydicom.dcmread(path)
  file.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
  file.save_as(path)
  assert b'\x0f\x00\x10\x00' not in path.read_bytes()[400:]
  np.testing.assert_array_equal(images.read_film(path), DEEP_SHOWN_HxW)


def test_deflated_bombs_are_not_inflated(tmp_path, monkeypatch):
  path = write_dicom(tmp_path / 'film', RAMP_HxW)
  file = pydicom.dcmread(path)
  file.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
  file.save_as(path)
  meta = pydicom.filereader.read_file_meta_info(path)
  start = 144 + meta.FileMetaInformationGroupLength
  squeeze = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
  bomb = squeeze.compress(bytes(50_000_000)) + squeeze.flush()
  path.write_bytes(path.read_bytes()[:start] + bomb)
  monkeypatch.setattr(dicom, 'MAX_BYTES', 1_000_000)
  tracemalloc.start()
  with pytest.raises(images.ImageError, match='inflates to over 1,000,000'):
    images.read_film(path)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert peak < 10e6


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


def test_bits_above_the_stored_ones_are_not_of_the_film(tmp_path):
  overlaid = DEEP_HxW.copy()
  overlaid[5:9, 5:9] |= 0x8000
  path = write_dicom(tmp_path / 'film', overlaid, bits=12)
  np.testing.assert_array_equal(images.read_film(path), DEEP_SHOWN_HxW)


@pytest.mark.parametrize(
  'tags',
  [
    {'BitsAllocated': 32},
    {'BitsAllocated': 1},
    {'SamplesPerPixel': 200},
    {'SamplesPerPixel': 3, 'BitsAllocated': 16},
  ],
)
def test_pixels_of_strange_depth_are_refused(tmp_path, tags):
  path = write_dicom(tmp_path / 'film', RAMP_HxW, **tags)
  with pytest.raises(images.ImageError, match='its header says'):
    images.read_film(path)


@pytest.mark.parametrize('syntax', [RLELossless, JPEGBaseline8Bit])
def test_every_truncation_of_a_frame_is_an_image_error(tmp_path, syntax):
  path = write_dicom(
    tmp_path / 'whole', RAMP_HxW,
    syntax=JPEGBaseline8Bit, data=encapsulate([jpeg(RAMP_HxW)]),
  )  # fmt: skip
  if syntax == RLELossless:
    file = pydicom.dcmread(write_dicom(path, RAMP_HxW))
    file.compress(RLELossless)
    file.save_as(path)
  content = path.read_bytes()
  cut = tmp_path / 'film'
  for length in range(0, len(content) - 40, 61):
    cut.write_bytes(content[:length])
    with pytest.raises(images.ImageError):
      images.read_film(cut)


def test_a_film_that_is_cut_short_is_told_in_one_sentence(tmp_path):
  whole = write_dicom(
    tmp_path / 'whole', RAMP_HxW,
    syntax=JPEGBaseline8Bit, data=encapsulate([jpeg(RAMP_HxW)]),
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
