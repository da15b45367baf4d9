import io
import subprocess
import sys
import zlib

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, JPEGLosslessSV1

from input_pipeline import images
from tests.made.dicom_file import RAMP_HxW, write_dicom


def save(picture, path, **options):
  picture.save(path, **options)
  return path


@pytest.mark.parametrize('mode', ['L', 'RGB', 'RGBA', 'LA'])
def test_grey_pngs_of_all_modes_read_alike(tmp_path, mode):
  path = save(Image.fromarray(RAMP_HxW).convert(mode), tmp_path / 'film.png')
  film_HxW = images.read_film(path)
  assert film_HxW.dtype == np.uint8
  np.testing.assert_array_equal(film_HxW, RAMP_HxW)


def test_palette_png_with_transparency(tmp_path):
  picture = Image.fromarray(RAMP_HxW // 8)
  picture = picture.convert('P')
  picture.putpalette(np.repeat(np.arange(256), 3).astype(np.uint8).tobytes())
  path = save(picture, tmp_path / 'film.png', transparency=b'\x00\x80')
  np.testing.assert_array_equal(images.read_film(path), RAMP_HxW // 8)


def test_deep_png_is_stretched_to_its_own_range(tmp_path):
  deep = np.linspace(100, 4095, 30 * 40).reshape(30, 40)
  path = save(Image.fromarray(deep.astype(np.uint16)), tmp_path / 'film.png')
  expected = (deep.astype(int) - 100) / 3995 * 255
  np.testing.assert_allclose(images.read_film(path), expected, atol=0.51)


def test_one_bit_png(tmp_path):
  path = save(Image.fromarray(RAMP_HxW > 127), tmp_path / 'film.png')
  np.testing.assert_array_equal(
    images.read_film(path), np.where(RAMP_HxW > 127, 255, 0)
  )


def test_jpeg_under_a_wrong_name(tmp_path):
  path = tmp_path / 'film.dcm'
  save(Image.fromarray(RAMP_HxW), path, format='JPEG', quality=95)
  np.testing.assert_allclose(images.read_film(path), RAMP_HxW, atol=6)


def test_jpeg_turned_by_its_camera(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 6  # turn right to view
  path = save(Image.fromarray(RAMP_HxW), tmp_path / 'film.jpg', exif=exif)
  turned = np.rot90(RAMP_HxW, -1)
  np.testing.assert_allclose(images.read_film(path), turned, atol=12)


def test_dicom_of_eight_bits_under_a_wrong_name(tmp_path):
  path = write_dicom(tmp_path / 'film.png', RAMP_HxW)
  np.testing.assert_array_equal(images.read_film(path), RAMP_HxW)


def test_dicom_monochrome1_is_inverted(tmp_path):
  path = write_dicom(
    tmp_path / 'film', RAMP_HxW, PhotometricInterpretation='MONOCHROME1'
  )
  np.testing.assert_array_equal(images.read_film(path), 255 - RAMP_HxW)


def test_dicom_without_window_uses_the_whole_range_but_padding(tmp_path):
  values = np.array([[0, 1000], [2000, 3000]], np.uint16)
  plain = write_dicom(tmp_path / 'plain', values, bits=12)
  padded = write_dicom(tmp_path / 'padded', values, PixelPaddingValue=0)
  assert images.read_film(plain).tolist() == [[0, 85], [170, 255]]
  assert images.read_film(padded).tolist() == [[0, 0], [128, 255]]


def test_dicom_rescale_comes_before_the_window(tmp_path):
  stored = np.array([[0, 500], [1000, 1500]], np.uint16)
  path = write_dicom(
    tmp_path / 'film',
    stored,
    RescaleSlope=2,
    RescaleIntercept=-1000,
    WindowCenter=500.5,
    WindowWidth=1001,
  )
  assert images.read_film(path).tolist() == [[0, 0], [255, 255]]


@pytest.mark.parametrize(
  ('function', 'expected'),
  [('LINEAR', 0.375), ('LINEAR_EXACT', 0.3), ('SIGMOID', 0.31003)],
)
def test_dicom_window_functions(tmp_path, function, expected):
  values = np.array([[2, 9]], np.uint16)
  path = write_dicom(
    tmp_path / 'film',
    values,
    WindowCenter=[3, 900],
    WindowWidth=[5, 900],
    VOILUTFunction=function,
  )
  assert images.read_film(path)[0, 0] == pytest.approx(255 * expected, abs=0.6)


def test_dicom_lookup_table_and_signed_values(tmp_path):
  table = pydicom.Dataset()
  table.LUTDescriptor = [4, 0, 8]
  table.add_new('LUTData', 'US', [10, 20, 200, 250])
  path = write_dicom(
    tmp_path / 'lut', np.array([[0, 1, 2, 3]], np.uint16),
    VOILUTSequence=[table],
  )  # fmt: skip
  assert images.read_film(path).tolist() == [[10, 20, 200, 250]]
  path = write_dicom(tmp_path / 'signed', np.array([[-5, 5]], np.int16))
  assert images.read_film(path).tolist() == [[0, 255]]


def test_dicom_in_colour(tmp_path):
  colours = np.zeros((2, 3, 3), np.uint8)
  colours[..., 1] = 200
  path = write_dicom(
    tmp_path / 'film', colours,
    PhotometricInterpretation='RGB', PlanarConfiguration=0,
  )  # fmt: skip
  assert np.unique(images.read_film(path)).tolist() == [117]  # 0.587 * 200


def test_dicom_compressed_as_jpeg(tmp_path):
  file = io.BytesIO()
  Image.fromarray(RAMP_HxW).save(file, 'JPEG', quality=95)
  path = write_dicom(
    tmp_path / 'film', RAMP_HxW,
    syntax=JPEGBaseline8Bit, data=encapsulate([file.getvalue()]),
  )  # fmt: skip
  np.testing.assert_allclose(images.read_film(path), RAMP_HxW, atol=6)


def test_dicom_that_needs_another_decoder_says_which(tmp_path):
  path = write_dicom(
    tmp_path / 'film', RAMP_HxW,
    syntax=JPEGLosslessSV1, data=encapsulate([b'\xff\xd8\xff\xd9']),
  )  # fmt: skip
  with pytest.raises(images.ImageError, match=r'JPEG Lossless.*pip install'):
    images.read_film(path)


@pytest.mark.parametrize(
  ('tags', 'message'),
  [
    ({'NumberOfFrames': 2}, 'has 2 frames'),
    ({'Rows': 65000, 'Columns': 65000}, '65000 x 65000 pixels'),
    ({'Rows': 31}, 'damaged or cut short'),
    ({'Rows': 0}, '40 x 0 pixels'),
    ({'PhotometricInterpretation': 'PALETTE COLOR'}, 'PALETTE COLOR'),
  ],
)
def test_dicoms_that_are_no_film(tmp_path, tags, message):
  path = write_dicom(tmp_path / 'film.dcm', RAMP_HxW, **tags)
  with pytest.raises(images.ImageError, match=message) as caught:
    images.read_film(path)
  assert str(path) in str(caught.value)


def test_dicom_without_pixels(tmp_path):
  path = write_dicom(tmp_path / 'film.dcm', RAMP_HxW)
  dicom = pydicom.dcmread(path)
  del dicom.PixelData
  dicom.save_as(path)
  with pytest.raises(images.ImageError, match='without PixelData'):
    images.read_film(path)


def png_that_claims(width, height):
  """A PNG of one pixel whose header gives another size."""
  file = io.BytesIO()
  Image.new('L', (1, 1)).save(file, 'PNG')
  content = bytearray(file.getvalue())
  content[16:24] = width.to_bytes(4, 'big') + height.to_bytes(4, 'big')
  content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, 'big')
  return bytes(content)


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'', 'has 0 bytes'),
    (b'not a film at all', 'neither PNG nor JPEG nor DICOM'),
    (b'\x00' * 128 + b'DICM', 'film.png: '),
    (b'\x00' * 128 + b'DICM\x02\x00\x10\x00UI\xff\xff', 'film.png: '),
    (b'\x89PNG\r\n\x1a\n', 'film.png: '),
    (png_that_claims(9000, 9000), '9000 x 9000 pixels'),
    (png_that_claims(10000, 10000), '10000'),
    (png_that_claims(60000, 60000), 'too large'),
    (png_that_claims(500, 20), 'no shape of a film'),
    (png_that_claims(400, 400), 'damaged or cut short'),
  ],
)
def test_files_that_are_no_film(tmp_path, content, message):
  path = tmp_path / 'film.png'
  path.write_bytes(content)
  with pytest.raises(images.ImageError, match=message) as caught:
    images.read_film(path)
  assert str(path) in str(caught.value)


@pytest.mark.parametrize('kind', ['PNG', 'JPEG'])
def test_every_truncation_is_an_image_error(tmp_path, kind):
  whole = tmp_path / 'whole'
  Image.fromarray(RAMP_HxW).save(whole, kind)
  content = whole.read_bytes()
  path = tmp_path / 'film'
  for length in range(0, len(content) - 20, 7):
    path.write_bytes(content[:length])
    with pytest.raises(images.ImageError):
      images.read_film(path)


def test_missing_file_and_folder(tmp_path):
  for path, what in (
    (tmp_path / 'none.png', 'no such file'),
    (tmp_path, 'folder'),
  ):
    with pytest.raises(images.ImageError, match=what):
      images.read_film(path)


def test_animation_is_refused(tmp_path):
  frames = [Image.fromarray(RAMP_HxW), Image.fromarray(RAMP_HxW // 2)]
  path = tmp_path / 'film.png'
  frames[0].save(path, save_all=True, append_images=frames[1:])
  with pytest.raises(images.ImageError, match='2 frames'):
    images.read_film(path)


def triangle_resize(film_HxW, height, width):
  """Antialiased bilinear resizing by its definition, in float64."""

  def weights(old, new):
    scale = max(old / new, 1)
    centers = (np.arange(new) + 0.5) * old / new
    distance = np.abs(np.arange(old) + 0.5 - centers[:, None]) / scale
    weight = np.maximum(1 - distance, 0)
    return weight / weight.sum(1, keepdims=True)

  old_height, old_width = film_HxW.shape
  return weights(old_height, height) @ film_HxW @ weights(old_width, width).T


@pytest.mark.parametrize('shape', [(300, 350), (350, 300), (97, 64), (20, 31)])
def test_resizing_is_antialiased_bilinear(shape):
  film_HxW = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  short = images.resize_short_side(film_HxW, 64)
  for resized in (short, images.resize_square(film_HxW, 56)):
    expected = triangle_resize(film_HxW, *resized.shape)
    np.testing.assert_allclose(resized, expected, atol=1.01)


@pytest.mark.parametrize(
  ('shape', 'resized'),
  [
    ((300, 350), (256, 298)),  # 298.67 is cut off, as torchvision does
    ((350, 300), (298, 256)),
    ((256, 999), (256, 999)),
    ((64, 64), (256, 256)),
  ],
)
def test_short_side(shape, resized):
  film_HxW = np.zeros(shape, np.uint8)
  assert images.resize_short_side(film_HxW, 256).shape == resized


def test_normalise_by_hand():
  films = np.array([[[0, 255]], [[51, 102]]], np.uint8)
  normal = images.normalise(films)
  assert normal.shape == (2, 1, 2, 3)
  assert normal.dtype == np.float32
  np.testing.assert_allclose(
    normal[0, 0, 0], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-6
  )
  assert normal[1, 0, 1, 2] == pytest.approx((0.4 - 0.406) / 0.225, rel=1e-4)


def test_prepare_films_stacks_views_of_one_study(tmp_path):
  first = save(Image.fromarray(RAMP_HxW), tmp_path / 'frontal.png')
  second = write_dicom(tmp_path / 'lateral.dcm', RAMP_HxW.T.copy())
  films_IxHxW = images.prepare_films([first, second], 16)
  assert films_IxHxW.shape == (2, 16, 16)
  assert films_IxHxW.dtype == np.uint8
  np.testing.assert_array_equal(
    films_IxHxW[0], images.resize_square(RAMP_HxW, 16)
  )


def test_imports_without_tensorflow():
  code = (
    'import sys; import input_pipeline.images, input_pipeline.tokenizers, '
    'input_pipeline.layouts.r2gen; assert "tensorflow" not in sys.modules'
  )
  subprocess.run([sys.executable, '-c', code], check=True)
