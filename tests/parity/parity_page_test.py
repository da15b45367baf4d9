"""The page of `make parity`, from what was measured; no authors' code."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from input_pipeline.errors import UserError
from tests.parity import page, runner
from tests.parity.results import Check, at_most, load, none_of, save

ROOT = Path(__file__).parents[2]
MASKS = Check('EKAGen at 1', [none_of('pixels', 'films', 2, 9)])
BEAM = Check('R2GenCMN at 2', [at_most('ids', 'reports', 1e-5, 1e-4)])


def test_the_page_of_the_repository_is_written_from_the_rows_beside_it():
  found = load(ROOT / 'docs' / 'parity.json')
  assert (ROOT / 'docs' / 'parity.md').read_text() == page.page(found)


def test_a_check_is_kept_while_another_is_run(tmp_path):
  file = tmp_path / 'parity.json'
  save(file, 'ekagen_masks', MASKS)
  save(file, 'reports_beam', BEAM)
  assert load(file) == {'ekagen_masks': MASKS, 'reports_beam': BEAM}
  again = Check('EKAGen at 3', [none_of('pixels', 'films', 0, 9)])
  save(file, 'ekagen_masks', again)
  assert load(file) == {'ekagen_masks': again, 'reports_beam': BEAM}


def test_each_part_says_what_it_was_measured_with_and_what_is_missing():
  bot = Check('EKAGen at 3', [none_of('labels', 'films', 0, 4)])
  checks = {'ekagen_masks': MASKS, 'reports_beam': BEAM, 'ekagen_bot': bot}
  text = page.page(checks)
  first, second = text.split('## EKAGen\n')
  assert 'Measured with R2GenCMN at 2.' in first and 'EKAGen at' not in first
  assert '- ekagen_bot: measured with EKAGen at 3.' in second
  assert '- ekagen_masks: measured with EKAGen at 1.' in second
  assert '1 of 1 comparisons are within their limits.' in first
  assert '1 of 2 comparisons are within their limits; outside:' in second
  assert '| pixels | films | 2 of 9 differ | 0 | **no** |' in second
  missing = second[second.index('Not measured yet') :]
  assert 'ekagen_words' in missing and 'ekagen_bot' not in missing


@pytest.mark.parametrize(
  ('options', 'names'),
  [
    ({}, ['ekagen_bot', 'ekagen_locator']),
    ({'quick': True}, ['ekagen_bot']),
    ({'only': 'reports_beam,ekagen_locator'}, ['ekagen_locator']),
    ({'only': 'reports_beam'}, []),
  ],
)
def test_the_checks_of_a_part_that_are_run(options, names):
  args = argparse.Namespace(**{'only': None, 'quick': False, **options})
  found = dict.fromkeys(['ekagen_bot', 'ekagen_locator'])
  assert runner.names_of(args, 'ekagen', found, ('ekagen_bot',)) == names


@pytest.mark.parametrize(
  ('only', 'says'),
  [('masks', 'choose from'), ('ekagen_masks', 'needs --annotation')],
)
def test_a_check_that_cannot_be_run_is_said(only, says):
  args = argparse.Namespace(only=only, quick=False)
  with pytest.raises(UserError, match=says):
    runner.names_of(args, 'ekagen', {'ekagen_bot': None}, ())


def test_without_a_checkout_nothing_is_begun():
  done = subprocess.run(
    [sys.executable, '-m', 'tests.parity', '--quick'],
    capture_output=True,
    text=True,
    cwd=ROOT,
  )
  assert done.returncode == 2
  assert 'give a checkout: --r2gencmn or --ekagen' in done.stderr
