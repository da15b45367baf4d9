"""What is written whole never takes the place of what is no file."""

import os

import pytest

from input_pipeline.atomic_write import write_text
from input_pipeline.errors import UserError


@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir])
def test_a_device_or_a_folder_stays(tmp_path, make):
  path = tmp_path / 'out'
  make(path)
  before = path.stat()
  with pytest.raises(UserError, match='is no file and stays'):
    write_text(path, 'a')
  assert path.stat().st_mode == before.st_mode
  assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_whole(tmp_path):
  path = tmp_path / 'out'
  write_text(path, 'a')
  write_text(path, 'b')
  assert path.read_text() == 'b'
