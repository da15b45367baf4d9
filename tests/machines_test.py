"""Homes that cannot be written, and workdirs that are no folders."""

import os
import pathlib
import subprocess
import sys

import jax
import pytest
from ml_collections import ConfigDict

from cmn_jax import compilation_cache
from cmn_jax.opening import runs_of
from input_pipeline.config import DataConfig
from input_pipeline.data import open_data
from input_pipeline.errors import UserError
from tests.made import small_layouts


@pytest.fixture
def no_home(monkeypatch):
  def home():
    raise RuntimeError('Could not determine home directory.')

  for name in ('XDG_CACHE_HOME', 'JAX_COMPILATION_CACHE_DIR'):
    monkeypatch.delenv(name, raising=False)
  monkeypatch.setattr(pathlib.Path, 'home', home)
  monkeypatch.setattr(os.path, 'expanduser', lambda path: path)


def test_without_a_home_nothing_is_cached(no_home):
  before = jax.config.jax_compilation_cache_dir
  compilation_cache.enable()
  assert jax.config.jax_compilation_cache_dir == before


def test_without_a_home_the_field_is_named(no_home, tmp_path):
  small_layouts.write_openi(tmp_path / 'openi', small_layouts.many(20))
  with pytest.raises(UserError, match=r'data\.cache_dir is '):
    open_data(DataConfig(str(tmp_path / 'openi'), cache_dir='~/cache'))


def test_a_phantom_is_drawn_where_it_can_be_written(monkeypatch, tmp_path):
  monkeypatch.setattr(os, 'access', lambda *_: False)
  config = DataConfig(str(tmp_path / 'new'), phantom_studies=20)
  with pytest.raises(UserError, match=r'data\.dir is .* cannot be written'):
    open_data(config)
  assert not any(tmp_path.iterdir())


_HOMELESS = """
import os, pwd, sys
def nobody(*_):
  raise KeyError('getpwuid(): uid not found: 12345')
pwd.getpwuid = nobody
import cmn_jax.scores.meteor, input_pipeline.tensorflow_cpu
assert 'HOME' not in os.environ
"""


def test_what_is_imported_needs_no_home(tmp_path):
  without = {k: v for k, v in os.environ.items() if k != 'HOME'}
  without['PYTHONPATH'] = str(pathlib.Path(__file__).parents[1])
  command = [sys.executable, '-c', _HOMELESS]
  subprocess.run(command, env=without, cwd=tmp_path, check=True)
  assert not any(tmp_path.iterdir())


def test_a_bucket_is_no_workdir():
  with pytest.raises(UserError, match='gs://bucket/run is no folder'):
    runs_of(ConfigDict({'seeds': 1}), 'gs://bucket/run')
