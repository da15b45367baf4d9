"""TFDS's own tests of the two builders, and what a user of theirs meets."""

import functools
import http.server
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.error

import numpy as np
import pytest

from input_pipeline import images, tfds_builders
from input_pipeline.findings import CHEXPERT_14
from input_pipeline.quiet import without_warnings
from input_pipeline.study import DataError
from input_pipeline.tensorflow_cpu import tfds
from input_pipeline.tfds_builders import iu_xray
from tests.made import small_layouts
from tests.made.selecting import kept, scan
from tests.made.small_layouts import MIMIC, ODD, many

STUDIES = (*ODD, *many(40))


def write_archives(folder):
  """Open-i's archives; one film is none, so its study is left out."""
  small_layouts.write_openi(folder, STUDIES)
  films = {
    f'CXR{name}.png': small_layouts.png(name)
    for study in STUDIES
    for name in small_layouts.film_names(study)
  }
  films['CXR7_IM-2263-1001.png'] = b'this is a text'
  small_layouts.write_tar(folder / 'NLMCXR_png.tgz', films)


def write_mimic(folder):
  """MIMIC-CXR-JPG with labels of one study, and a study of one film."""
  studies = [(*s[:2], s[2][: 1 + n % 2], *s[3:]) for n, s in enumerate(MIMIC)]
  small_layouts.write_mimic(folder, studies)
  small_layouts.write_csv(
    folder / 'mimic-cxr-2.0.0-chexpert.csv',
    ('subject_id', 'study_id', *CHEXPERT_14),
    [[10_000_032, 50_000_000, *['1.0', '', '0.0', '-1.0'], *[''] * 10]],
  )


class _BuilderTest(tfds.testing.DatasetBuilderTestCase):
  """Dummy data is made anew: nothing of it is kept in the project."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = tempfile.TemporaryDirectory()
    cls.addClassCleanup(folder.cleanup)
    cls.EXAMPLE_DIR = pathlib.Path(folder.name, 'dummy')
    cls.write(cls.EXAMPLE_DIR)

  def run(self, result=None):
    with without_warnings():
      return super().run(result)


class IuXrayTest(_BuilderTest):
  DATASET_CLASS = tfds_builders.IuXray
  SPLITS = {'train': 30, 'val': 4, 'test': 9}
  DL_DOWNLOAD_RESULT = {name: name for name in iu_xray.URLS}
  SKIP_CHECKSUMS = True  # Open-i publishes none
  write = staticmethod(write_archives)


class MimicCxrTest(_BuilderTest):
  DATASET_CLASS = tfds_builders.MimicCxr
  SPLITS = {'train': 3, 'val': 3, 'test': 3}
  write = staticmethod(write_mimic)


del _BuilderTest  # not to be collected by itself


@pytest.fixture
def archives(tmp_path):
  write_archives(tmp_path / 'archives')
  return tmp_path / 'archives'


@pytest.fixture
def openi(archives, monkeypatch):
  """The archives of a server in the place of Open-i."""

  class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
      pass

  handler = functools.partial(Quiet, directory=archives)
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f'http://127.0.0.1:{server.server_port}'
    urls = {name: f'{address}/{name}' for name in iu_xray.URLS}
    monkeypatch.setattr(iu_xray, 'URLS', urls)
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    yield archives
    server.shutdown()
    thread.join()


def prepare(name, data_dir, **config):
  builder = tfds.builder(name, data_dir=data_dir)
  config = tfds.download.DownloadConfig(**config)
  builder.download_and_prepare(download_config=config)
  return builder


def read(builder):
  """{id: example}, with texts in place of bytes and of label numbers."""
  features = builder.info.features
  examples = {}
  for split in builder.info.splits:
    for example in tfds.as_numpy(builder.as_dataset(split=split)):
      films, labels = features['films'], features['labels']
      example['films'] = [
        (film['film'][..., 0], films['view'].int2str(film['view']))
        for film in example['films']
      ]
      example['labels'] = {
        name: labels[name].int2str(n) for name, n in example['labels'].items()
      }
      examples[example['id'].decode()] = example
  return examples


def assert_same_studies(examples, studies):
  assert set(examples) == set(studies)
  for name, study in studies.items():
    example = examples[name]
    assert example['report'].decode() == study.report
    assert example['impression'].decode() == study.sections['impression']
    paths = [path for path in study.films if path]
    views = [view for view in study.views if view]
    assert [v for _, v in example['films'] if v != 'unknown'] == views
    for (film, _), path in zip(example['films'], paths, strict=True):
      np.testing.assert_array_equal(film, images.read_film(path))
    spoken = ('positive', 'negative', 'uncertain')
    labels = {n: v for n, v in example['labels'].items() if v in spoken}
    assert labels == (study.labels or {})
    assert ('unlabelled' in example['labels'].values()) == (not study.labels)


def test_iu_xray_is_what_the_reader_reads(openi, tmp_path, caplog):
  builder = prepare('iu_xray', tmp_path / 'tfds')
  studies = kept(scan(openi))
  del studies['CXR7_IM-2263']
  examples = read(builder)
  assert_same_studies(examples, studies)
  mesh = [term.decode() for term in examples['CXR20_IM-0652']['mesh']]
  assert mesh == ['Cardiomegaly/mild']
  assert 'Left out: ' in caplog.text
  assert 'CXR7_IM-2263: ' in caplog.text
  assert 'is neither PNG nor JPEG nor DICOM' in caplog.text
  assert 'publishes no checksums of NLMCXR_reports.tgz and' in caplog.text
  assert 'CC BY-NC-ND 4.0' in builder.info.redistribution_info.license
  assert 'Demner-Fushman' in builder.info.citation


def test_mimic_cxr_is_what_the_reader_reads(tmp_path):
  write_mimic(tmp_path / 'mimic')
  builder = prepare(
    'mimic_cxr', tmp_path / 'tfds', manual_dir=tmp_path / 'mimic'
  )
  examples = read(builder)
  assert {len(example['films']) for example in examples.values()} == {1, 2}
  assert_same_studies(examples, kept(scan(tmp_path / 'mimic', min_films=1)))
  assert 'credentialed' in builder.MANUAL_DOWNLOAD_INSTRUCTIONS


def test_recorded_checksums_are_compared(openi, tmp_path, monkeypatch, caplog):
  recorded = tmp_path / 'checksums.tsv'
  monkeypatch.setattr(tfds_builders.IuXray, '_checksums_path', recorded)
  prepare('iu_xray', tmp_path / 'one', register_checksums=True)
  assert 'publishes no checksums' not in caplog.text
  lines = recorded.read_text().splitlines()
  assert [line.split('\t')[0] for line in lines] == sorted(
    iu_xray.URLS.values()
  )
  monkeypatch.setattr(
    tfds_builders.IuXray,
    'url_infos',
    tfds.core.download.checksums.load_url_infos(recorded),
  )
  prepare('iu_xray', tmp_path / 'two')
  assert 'publishes no checksums' not in caplog.text
  small_layouts.write_tar(openi / 'NLMCXR_reports.tgz', {})
  with pytest.raises(Exception, match='has wrong checksum'):
    prepare('iu_xray', tmp_path / 'three')


def test_half_an_archive_is_named_with_where_it_is_kept(openi, tmp_path):
  path = openi / 'NLMCXR_png.tgz'
  path.write_bytes(path.read_bytes()[:5000])
  with pytest.raises(
    DataError, match=r'NLMCXR_png.tgz is damaged or only'
  ) as e:
    prepare('iu_xray', tmp_path / 'tfds')
  assert f'kept as {tmp_path / "tfds" / "downloads"}' in str(e.value)


@pytest.fixture
def no_network(monkeypatch):
  def reach(*_, **__):
    raise urllib.error.URLError('no route')

  monkeypatch.setattr(iu_xray.urllib.request, 'urlopen', reach)


def test_without_a_network_it_says_what_to_do(tmp_path, no_network):
  with pytest.raises(
    DataError, match=r'(?s)could not be reached \(.*no route.*--source FOLDER'
  ):
    prepare('iu_xray', tmp_path / 'tfds')


def test_archives_can_be_brought(archives, tmp_path, no_network):
  builder = prepare('iu_xray', tmp_path / 'tfds', manual_dir=archives)
  assert set(read(builder)) == set(kept(scan(archives))) - {'CXR7_IM-2263'}


def test_archives_of_an_earlier_download_are_enough(
  openi, tmp_path, monkeypatch
):
  prepare('iu_xray', tmp_path / 'tfds')
  url = 'http://127.0.0.1:9/'  # where nobody listens
  urls = {name: f'{url}{name}' for name in iu_xray.URLS}
  monkeypatch.setattr(iu_xray, 'URLS', urls)
  shutil.rmtree(tmp_path / 'tfds' / 'iu_xray')
  assert read(prepare('iu_xray', tmp_path / 'tfds'))


def test_mimic_cxr_says_what_to_bring(tmp_path):
  (tmp_path / 'empty').mkdir()
  with pytest.raises(Exception, match='credentialed access'):
    prepare('mimic_cxr', tmp_path / 'tfds', manual_dir=tmp_path / 'empty')
  write_archives(tmp_path / 'openi')
  with pytest.raises(DataError, match='has the layout Open-i, not MIMIC-CXR'):
    prepare('mimic_cxr', tmp_path / 'tfds', manual_dir=tmp_path / 'openi')


def test_one_import_is_enough_and_nobody_else_imports_them():
  code = (
    'import sys, cmn_jax.train, cmn_jax.evaluate, input_pipeline.prepare\n'
    'assert "input_pipeline.tfds_builders" not in sys.modules\n'
    'import tensorflow_datasets as tfds, input_pipeline.tfds_builders\n'
    'assert {"iu_xray", "mimic_cxr"} <= set(tfds.list_builders())\n'
    'print(tfds.builder("iu_xray").info.features["report"])'
  )
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert 'Text' in done.stdout
