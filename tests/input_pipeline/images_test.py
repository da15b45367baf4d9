import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from input_pipeline import images
from tests.made.dicom_file import (
  DEEP_HxW,
  DEEP_SHOWN_HxW,
  RAMP_HxW,
  write_dicom,
)
from tests.made.forbidden import forbid


def save(picture, path, **options):
  picture.save(path, **options)
  return path


@pytest.mark.parametrize('mode', ['L', 'RGB', 'RGBA', 'LA', 'P', '1'])
def test_grey_pngs_of_all_modes_read_alike(tmp_path, mode):
  grey_HxW = RAMP_HxW // 128 * 255 if mode == '1' else RAMP_HxW
  picture, options = Image.fromarray(grey_HxW).convert(mode), {}
  if mode == 'P':
    picture.putpalette(np.repeat(np.arange(256), 3).astype(np.uint8).tobytes())
    options = {'transparency': b'\x00\x80'}
  film_HxW = images.read_film(save(picture, tmp_path / 'film.png', **options))
  assert film_HxW.dtype == np.uint8
  np.testing.assert_array_equal(film_HxW, grey_HxW)


def test_deep_png_is_stretched_to_its_own_range(tmp_path):
  deep = np.linspace(100, 4095, 30 * 40).reshape(30, 40)
  path = save(Image.fromarray(deep.astype(np.uint16)), tmp_path / 'film.png')
  expected = (deep.astype(int) - 100) / 3995 * 255
  np.testing.assert_allclose(images.read_film(path), expected, atol=0.51)


def deep_png(path, kind, pixels_HxWxC, *chunks):
  """A PNG of 16 bits of that kind of colour, which Pillow does not write."""
  height, width = pixels_HxWxC.shape[:2]
  rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in pixels_HxWxC)
  header = struct.pack('>LLBBBBB', width, height, 16, kind, 0, 0, 0)
  path.write_bytes(
    b'\x89PNG\r\n\x1a\n'
    + b''.join(
      len(data).to_bytes(4, 'big')
      + name
      + data
      + zlib.crc32(name + data).to_bytes(4, 'big')
      for name, data in (
        *((b'IHDR', header), *chunks),
        *((b'IDAT', zlib.compress(rows)), (b'IEND', b'')),
      )
    )
  )
  return path


@pytest.mark.parametrize(('kind', 'channels'), [(2, 3), (4, 2), (6, 4)])
def test_deep_png_in_colour_or_with_alpha_has_all_its_bits(
  tmp_path, kind, channels
):
  """Of values below 4096, the high bytes alone would be sixteen."""
  pixels = np.repeat(DEEP_HxW[..., None], channels, axis=2)
  if kind > 2:
    pixels[..., -1] = 65535
  path = deep_png(tmp_path / 'film.png', kind, pixels)
  np.testing.assert_array_equal(images.read_film(path), DEEP_SHOWN_HxW)
  exif = Image.Exif()
  exif[0x0112] = 6  # turn right to view
  deep_png(path, kind, pixels, (b'eXIf', exif.tobytes()[6:]))
  turned = np.rot90(DEEP_SHOWN_HxW, -1)
  np.testing.assert_array_equal(images.read_film(path), turned)
  path.write_bytes(path.read_bytes()[:-40])
  with pytest.raises(
    images.ImageError, match=r'cut short \(image file is trunc'
  ):
    images.read_film(path)


def test_deep_colours_are_their_luminance(tmp_path):
  colours = np.random.default_rng(0).integers(0, 65536, (30, 40, 3))
  colours[0, 0], colours[0, 1] = 0, 65535
  film_HxW = images.read_film(deep_png(tmp_path / 'film.png', 2, colours))
  expected = colours @ [0.299, 0.587, 0.114] / 65535 * 255
  np.testing.assert_allclose(film_HxW, expected, atol=0.51)


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


@pytest.mark.parametrize('method', ['stat', 'read_bytes'])
def test_a_film_that_may_not_be_read(tmp_path, monkeypatch, method):
  path = save(Image.fromarray(RAMP_HxW), tmp_path / 'film.png')
  forbid(monkeypatch, path, method)
  with pytest.raises(images.ImageError) as caught:
    images.read_film(path)
  assert str(caught.value) == f'{path}: cannot be read (Permission denied).'


def test_animation_is_refused(tmp_path):
  frames = [Image.fromarray(RAMP_HxW), Image.fromarray(RAMP_HxW // 2)]
  path = tmp_path / 'film.png'
  frames[0].save(path, save_all=True, append_images=frames[1:])
  with pytest.raises(images.ImageError, match='2 frames'):
    images.read_film(path)


def png_with(pixels_HxW, *chunks):
  """A PNG with more chunks behind its header."""
  file = io.BytesIO()
  Image.fromarray(pixels_HxW).save(file, 'PNG')
  content = file.getvalue()
  more = b''.join(
    len(data).to_bytes(4, 'big')
    + kind
    + data
    + zlib.crc32(kind + data).to_bytes(4, 'big')
    for kind, data in chunks
  )
  return content[:33] + more + content[33:]


def test_texts_of_a_png_are_not_unpacked(tmp_path):
  packed = b'note\0\0' + zlib.compress(bytes(3_000_000))
  path = tmp_path / 'film.png'
  path.write_bytes(
    png_with(RAMP_HxW, (b'zTXt', packed), (b'iCCP', packed), (b'tEXt', b'a'))
  )
  np.testing.assert_array_equal(images.read_film(path), RAMP_HxW)
  path.write_bytes(png_with(RAMP_HxW, *[(b'IDAT', b'')] * 200_000))
  with pytest.raises(images.ImageError, match='over 100,000 parts'):
    images.read_film(path)


def test_the_first_picture_of_a_phone(tmp_path):
  """A JPEG may have a thumbnail behind it (the format MPO)."""
  pictures = [Image.fromarray(RAMP_HxW), Image.new('L', (20, 10), 0)]
  path = tmp_path / 'film.jpg'
  pictures[0].save(path, 'MPO', save_all=True, append_images=pictures[1:])
  np.testing.assert_allclose(images.read_film(path), RAMP_HxW, atol=12)


def test_scans_without_end_are_refused(tmp_path):
  file = io.BytesIO()
  Image.fromarray(RAMP_HxW).save(file, 'JPEG', progressive=True)
  whole, path = file.getvalue(), tmp_path / 'film.jpg'
  path.write_bytes(whole)
  assert images.read_film(path).shape == RAMP_HxW.shape
  path.write_bytes(whole[:-2] + b'\xff\xda\x00\x08\x01\x01\0\0\0\0' * 2500)
  with pytest.raises(images.ImageError, match='scans, more than a film needs'):
    images.read_film(path)


@pytest.mark.parametrize('kind', ['png', 'dcm'])
@pytest.mark.parametrize(
  'defects',
  # The last are a letter that was burnt in, and its blurred edge.
  [[65535], [65535, 65534, 60000], [0], [65535] * 50 + [40000] * 10],
)
def test_a_few_defects_do_not_hide_the_film(tmp_path, kind, defects):
  deep = np.rint(np.linspace(20000, 24095, 60 * 80)).astype(np.uint16)
  expected = np.rint((deep - 20000.0) / 4095 * 255).reshape(60, 80)
  deep[5 : 5 + len(defects)] = defects
  deep = deep.reshape(60, 80)
  path = tmp_path / 'film'
  if kind == 'png':
    Image.fromarray(deep).save(path, 'PNG')
  else:
    write_dicom(path, deep)
  film_HxW = images.read_film(path)
  expected[0, 5 : 5 + len(defects)] = 255 if defects[0] else 0
  np.testing.assert_allclose(film_HxW, expected, atol=1)


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
