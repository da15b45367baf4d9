"""The command that measures what reading large tables takes."""

import re

import pytest

from benchmarks import reading_memory


def test_it_reads_what_it_wrote(capsys):
  reading_memory.main(['--rows', '400', '--reports', '7'])
  said = capsys.readouterr().out
  assert said.startswith('400 rows, 241 studies, 7 kept with their texts;')
  (peak,) = re.findall(r'peak (\d+) MB', said)
  assert 10 < int(peak) < 1000


def test_too_few_rows_are_refused():
  with pytest.raises(SystemExit, match='--rows is 1; expected 2 or more'):
    reading_memory.main(['--rows', '1'])
