"""Archives: half downloaded ones, and members that point out of them."""

import concurrent.futures
import gzip
import tarfile
import threading
import time
import zipfile
from collections import Counter

import pytest

from input_pipeline.layouts import archives
from input_pipeline.study import DataError
from tests.made import small_layouts
from tests.made.selecting import dropped, kept, select
from tests.made.small_layouts import many


@pytest.mark.parametrize('name', ['NLMCXR_reports.tgz', 'NLMCXR_png.tgz'])
@pytest.mark.parametrize('part', [0, 0.5])
def test_half_downloaded_archives_are_refused(tmp_path, name, part):
  folder = tmp_path / 'openi'
  small_layouts.write_openi(folder, many(5))
  content = (folder / name).read_bytes()
  (folder / name).write_bytes(content[: int(part * len(content))])
  with pytest.raises(DataError, match='half downloaded') as caught:
    select(folder)
  assert name in str(caught.value)
  assert not list((tmp_path / 'scratch').glob('.*.partial'))
  (folder / name).write_bytes(content)
  assert len(kept(select(folder))) == 5


def test_half_a_zip_is_refused(tmp_path):
  folder = tmp_path / 'kaggle'
  small_layouts.write_kaggle(folder, many(5), archive=True)
  path = folder / 'archive.zip'
  path.write_bytes(path.read_bytes()[:2000])
  with pytest.raises(DataError, match=r'archive\.zip.*half downloaded'):
    select(folder)


def test_members_that_point_out_of_a_tar_are_not_written(tmp_path):
  folder = tmp_path / 'openi'
  small_layouts.write_openi(folder, many(5))
  (folder / 'NLMCXR_png.tgz').unlink()
  names = [name for s in many(5) for name in small_layouts.film_names(s)]
  films = {f'NLMCXR/CXR{name}.png': small_layouts.png(name) for name in names}
  outside = str(tmp_path / 'absolute.png')
  small_layouts.write_tar(
    folder / 'NLMCXR_png.tgz',
    {'../../up.png': b'x', 'a/../../b.png': b'x', outside: b'x'} | films,
  )
  with tarfile.open(tmp_path / 'more.tgz', 'w:gz') as tar:
    link = tarfile.TarInfo('link.png')
    link.type, link.linkname = tarfile.SYMTYPE, '/etc/hostname'
    tar.addfile(link)
  before = sorted(tmp_path.rglob('*'))
  for _ in range(2):  # unpacking, and finding it unpacked
    dataset = select(folder)
    assert dropped(dataset) == {
      'member of NLMCXR_png.tgz that points out of it': 3
    }
    assert dataset.found['films on disk'] == 10
  new = set(tmp_path.rglob('*')) - set(before)
  assert all(path.is_relative_to(tmp_path / 'scratch') for path in new)

  (folder / 'NLMCXR_png.tgz').unlink()
  (tmp_path / 'more.tgz').rename(folder / 'NLMCXR_png.tgz')
  assert dropped(select(folder)) == {
    'member of NLMCXR_png.tgz that is no plain file': 1
  }


def test_members_that_point_out_of_a_zip_are_not_written(tmp_path):
  folder = tmp_path / 'kaggle'
  small_layouts.write_kaggle(folder, many(5), archive=True)
  with zipfile.ZipFile(folder / 'archive.zip', 'a') as file:
    for name in ('../up.png', '/tmp/up.png', 'a\\..\\up.png'):
      file.writestr(name, b'x')
    link = zipfile.ZipInfo('link.png')
    link.external_attr = 0o120777 << 16
    file.writestr(link, '/etc/hostname')
  before = set(tmp_path.rglob('*'))
  assert dropped(select(folder)) == {
    'member of archive.zip that points out of it': 3,
    'member of archive.zip that is no plain file': 1,
  }
  new = set(tmp_path.rglob('*')) - before
  assert all(path.is_relative_to(tmp_path / 'scratch') for path in new)


def test_two_runs_unpack_an_archive_once(tmp_path, monkeypatch):
  """The second waits for the first, and takes what that has written."""
  folder = tmp_path / 'openi'
  small_layouts.write_openi(folder, many(5))
  read_members, started = archives.read_members, threading.Event()
  calls = []

  def slowly(*args):
    calls.append(args)
    for member in read_members(*args):
      started.set()
      time.sleep(0.02)
      yield member

  def unpack():
    return archives.unpack(
      folder / 'NLMCXR_png.tgz', tmp_path / 'cache', ['.png'], Counter()
    )

  monkeypatch.setattr(archives, 'read_members', slowly)
  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    first = pool.submit(unpack)
    assert started.wait(60)
    second = pool.submit(unpack)
    assert first.result() == second.result()
  assert len(calls) == 1
  assert len(list(first.result().rglob('*.png'))) == 10


def openi(folder, name, content):
  small_layouts.write_openi(folder, many(20), unpacked=True)
  (folder / 'ecgen-radiology' / name).write_bytes(content)
  return folder


ENTITIES = ''.join(
  f'<!ENTITY a{n} "&a{n - 1};&a{n - 1};">' for n in range(1, 25_000)
)


@pytest.mark.parametrize(
  ('edit', 'reason'),
  [
    ((b'encoding="utf-8"', b'encoding="foo"'), 'report file that is no XML'),
    (
      (
        b'<eCitation>',
        f'<!DOCTYPE a [<!ENTITY a0 "x">{ENTITIES}]><eCitation>'.encode(),
      ),
      'report file that is no XML',
    ),
    (
      (b'CXR100"/>', b'CXR' + b'9' * 5000 + b'"/>'),
      'report whose number is none',
    ),
    ((b'</eCitation>', b'<a>' * 600_000), 'report file that is no XML'),
  ],
)
def test_reports_that_are_no_xml_of_openi(tmp_path, edit, reason):
  content = small_layouts.xml(many(1)[0])
  assert edit[0] in content
  folder = openi(tmp_path / 'openi', '100.xml', content.replace(*edit))
  dataset = select(folder)
  assert dropped(dataset)[reason] == 1
  assert len(kept(dataset)) == 19


@pytest.mark.parametrize(
  ('names', 'reason'),
  [
    (['a.png', 'a.png/b.png'], 'that is file and folder'),
    (['b.png/a.png', 'b.png'], 'that is file and folder'),
    (['x' * 300 + '.png'], 'whose name no file can have'),
    (['a\udc80.png'], 'whose name no file can have'),
  ],
)
def test_members_that_cannot_be_written(tmp_path, names, reason):
  folder = tmp_path / 'openi'
  small_layouts.write_openi(folder, many(20))
  small_layouts.write_tar(folder / 'NLMCXR_png.tgz', dict.fromkeys(names, b'x'))
  assert dropped(select(folder)) == {f'member of NLMCXR_png.tgz {reason}': 1}


@pytest.mark.parametrize('size', [-512, -(1 << 40), 1 << 70])
def test_sizes_of_members_that_are_none(tmp_path, size):
  folder = tmp_path / 'openi'
  small_layouts.write_openi(folder, many(20))
  member = tarfile.TarInfo('a.png')
  header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
  header[124:136] = size.to_bytes(12, 'big', signed=True)
  header[124] |= 0x80
  header[148:156] = b' ' * 8
  header[148:156] = f'{sum(header[:512]):06o}\0 '.encode()
  with gzip.open(folder / 'NLMCXR_png.tgz', 'wb') as file:
    file.write(bytes(header) + bytes(10240))
  with pytest.raises(DataError, match=r'NLMCXR_png\.tgz is damaged'):
    select(folder)


@pytest.mark.parametrize(
  'kind', [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME]
)
def test_a_giant_header_is_not_taken_into_memory(tmp_path, kind):
  folder = tmp_path / 'openi'
  small_layouts.write_openi(folder, many(20))
  header = tarfile.TarInfo('h')
  header.type, header.size = kind, 256 << 20
  with gzip.open(folder / 'NLMCXR_png.tgz', 'wb') as file:
    file.write(header.tobuf(tarfile.GNU_FORMAT))  # Refused before the rest.
  with pytest.raises(DataError, match='a header of 268,435,456 bytes'):
    select(folder)
