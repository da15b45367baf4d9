"""What is said beside a progress bar."""

import re
import textwrap
import time

import pytest
from absl import logging

from input_pipeline import terminal
from input_pipeline.study import refuse_problems


def test_a_run_that_silences_the_libraries_still_warns(capsys):
  before = logging.get_verbosity()
  logging.set_verbosity(logging.FATAL)  # As main.py does.
  try:
    refuse_problems('films', ['a/1: no film'], skip_bad=True)
  finally:
    logging.set_verbosity(before)
  said = capsys.readouterr().err
  assert said.startswith('WARNING: going on without bad studies, 1 of films:')
  assert 'a/1: no film' in said


def test_a_log_has_a_line_for_each_state_of_a_bar(capsys, monkeypatch):
  monkeypatch.setattr(terminal, '_IN_A_LOG', 0.01)
  with terminal.progress_bar(total=3, desc='epoch 1', leave=False) as bar:
    for _ in range(3):
      time.sleep(0.02)
      bar.update()
    terminal.say('validation')
  said = capsys.readouterr().err
  assert '\r' not in said
  *states, line = said.splitlines()
  assert line == 'validation'
  assert [re.search(r'(\d)/3', state)[1] for state in states] == ['1', '2', '3']
  assert all(len(state) < 80 for state in states)


def test_a_short_bar_is_in_no_log(capsys):
  for _ in terminal.progress_bar(range(3)):
    pass
  assert not capsys.readouterr().err


@pytest.mark.parametrize('indent', ['', '    '])
def test_lines_are_folded_below_their_beginning(indent):
  path = '/a/path/that/nobody/may/break-apart/' + 'x' * 60
  line = (
    f'{indent}beside the captioner:  teacher of {path}, knowledge of ' + path
  )
  folded = terminal.folded(f'short\n\n{line}').split('\n')
  assert folded[:2] == ['short', '']
  assert folded[2].startswith(f'{indent}beside the captioner:  teacher of')
  assert all(one.startswith(f'{indent}  ') for one in folded[3:])
  assert path in textwrap.dedent('\n'.join(folded[3:]))
