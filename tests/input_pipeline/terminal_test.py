"""What is said beside a progress bar."""

import textwrap

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
