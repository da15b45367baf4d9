"""A process of several reads its own rows, and no others."""

import json

import pytest

from benchmarks import bytes_read
from input_pipeline.config import DataConfig
from input_pipeline.prepare import prepare_folder
from tests.made.r2gen_folder import write_r2gen

pytestmark = pytest.mark.processes


def test_two_processes_read_half_each(tmp_path, capsys):
  write_r2gen(tmp_path / 'data', {'train': 256, 'val': 2, 'test': 2})
  prepare_folder(DataConfig(str(tmp_path / 'data')), tmp_path / 'prepared')
  capsys.readouterr()
  # Small batches: the few that are read ahead are a small part of an epoch.
  bytes_read.main(['--source', str(tmp_path / 'prepared'), '--batch', '4'])
  first, *lines = capsys.readouterr().out.splitlines()
  films = int(first.split(': ')[1].split()[0].replace(',', ''))
  whole, *halves = (
    int(line.split('epoch ')[1].replace(',', '')) for line in lines
  )
  assert len(halves) == 2 and whole > 0.9 * films
  assert all(0.4 * whole < half < 0.65 * whole for half in halves)


def test_one_of_them_says_what_it_has_read(tmp_path, capsys):
  write_r2gen(tmp_path / 'data')
  prepare_folder(DataConfig(str(tmp_path / 'data')), tmp_path / 'prepared')
  capsys.readouterr()
  source = ['--source', str(tmp_path / 'prepared'), '--batch', '2']
  bytes_read.main([*source, '--process', '1'])
  assert json.loads(capsys.readouterr().out).keys() == {'opening', 'epoch'}
  for flags, says in (
    ([*source, '--processes', '3'], '--processes 3 do not divide --batch 2'),
    (['--process', '1'], '--process reads a folder: name it, --source FOLDER'),
  ):
    with pytest.raises(SystemExit):
      bytes_read.main(flags)
    assert says in capsys.readouterr().err
