"""The speed benchmark, run once at small sizes; and its arithmetic."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from benchmarks.speed import processes
from benchmarks.speed.flops import matmul_flops
from benchmarks.speed.page import page
from benchmarks.speed.processes import Measured, row_of
from benchmarks.speed.workloads import Plan

ROOT = Path(__file__).parents[2]
# The others compile too long: .ci/run measures all of them at small sizes.
NAMES = ['memory', 'input']
SMALL = ['--batch=1', '--image_size=64', '--encoder=resnet18']


def _run(*arguments):
  return subprocess.run(
    [sys.executable, '-m', 'benchmarks.speed', *map(str, arguments)],
    capture_output=True,
    text=True,
    cwd=ROOT,
  )


def test_flops_of_products_convolutions_and_loops():
  a, b = jnp.ones((3, 5, 7)), jnp.ones((3, 7, 11))
  product = 2 * 3 * 5 * 7 * 11
  assert matmul_flops(jnp.matmul, a, b) == product

  def looped(a, b):
    scanned = jax.lax.scan(lambda c, _: (c + a @ b, None), a @ b, length=4)[0]
    return jax.lax.while_loop(
      lambda c: c[0, 0, 0] < 9, lambda c: c * b[0, 0], scanned
    ), a @ b

  assert matmul_flops(jax.jit(looped), a, b, while_trips=9) == 6 * product
  x, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 5))

  def convolution(x, kernel):
    return jax.lax.conv_general_dilated(
      x, kernel, (2, 2), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )

  assert matmul_flops(convolution, x, kernel) == 2 * (2 * 4 * 4 * 5) * 27


@pytest.fixture(scope='module')
def small_run(tmp_path_factory):
  """The JSON file of one run of ours, and what the command printed."""
  file = tmp_path_factory.mktemp('speed') / 'speed.json'
  done = _run('--rounds=1', '--json', file, '--only', ','.join(NAMES), *SMALL)
  assert done.returncode == 0, done.stderr
  return file, done.stdout


def test_ours_runs_alone_and_leaves_no_path_in_the_file(small_run):
  file, said = small_run
  content = json.loads(file.read_text())
  assert content['machine']['cores'] >= 1
  assert content['versions']['jax'] == jax.__version__
  assert [row['work'] for row in content['rows']] == NAMES
  for row in content['rows']:
    assert 0 < row['ours_seconds'] < 60 and row['ours_bytes'] > 10**8
    assert row['theirs_seconds'] is row['ratio'] is row['theirs_bytes'] is None
    share = content['details'][row['work']]['share_of_peak']
    assert share is None if row['work'] == 'input' else 0 < share < 1.5
  assert str(file.parent) not in file.read_text()
  assert page(content) in said


def test_the_tables_go_between_the_marks_of_a_page(small_run, tmp_path):
  markdown = tmp_path / 'page.md'
  markdown.write_text(
    'a\n<!-- benchmark -->\nold\n<!-- end of benchmark -->\nb\n'
  )
  assert _run('--show', small_run[0], '--into', markdown).returncode == 0
  text = markdown.read_text()
  assert 'old' not in text and text.startswith('a\n') and text.endswith('b\n')
  assert text.count('| memory ') == 2 and ' - |' in text
  assert max(map(len, text.splitlines())) <= 80


def _measured(seconds, peak_bytes, flops=None, result=None):
  return Measured(seconds, peak_bytes, 2.0, 3.0, 4.0, flops, result)


def test_a_row_holds_medians_and_the_ratio_to_the_faster_of_theirs():
  found = {
    'ours': _measured([1.0, 3.0, 2.0], 100, 8.0, [[1, 2], [3, 4]]),
    'theirs': _measured([9.0, 8.0, 7.0], 300),
    'theirs_best': _measured([2.5, 3.0, 3.5], 200, None, [[1, 2], [3, 5]]),
  }
  scale = {'ours': 1.0, 'theirs': 1.0, 'theirs_best': 2.0}
  row, detail = row_of('write_reports', found, scale, 16)
  assert row == {
    'work': 'write_reports',
    'ours_seconds': 2.0,
    'theirs_seconds': 6.0,
    'ratio': 3.0,
    'goal': 50,
    'ours_bytes': 100,
    'theirs_bytes': 200,
  }
  assert detail['share_of_peak'] == 8 / 2 / 16
  assert detail['sides']['ours']['spread'] == 1.0
  assert (detail['same_reports'], detail['reports']) == (1, 2)


class _Hungry:
  """A worker that is killed where the other side is there as well."""

  alive = 0

  def __init__(self, side, workload, plan, env):
    if _Hungry.alive:
      raise processes.KilledError('killed')
    _Hungry.alive += 1
    self.start = dict.fromkeys(
      ('compile_seconds', 'first_seconds', 'setup_seconds', 'flops'), 1.0
    )

  def run(self):
    return {'seconds': 1.0, 'peak_bytes': 1, 'result': None}

  def close(self):
    _Hungry.alive -= 1


def test_sides_that_do_not_fit_together_run_one_by_one(monkeypatch, capsys):
  monkeypatch.setattr(processes, 'Worker', _Hungry)
  monkeypatch.setattr(_Hungry, 'alive', 0)
  kill = pytest.raises(processes.KilledError)
  found = processes.measure('memory', ('ours', 'theirs'), None, 2, 60.0)
  assert 'one by one' in capsys.readouterr().out
  assert [len(one.seconds) for one in found.values()] == [2, 2]
  row, detail = row_of('memory', found, dict.fromkeys(found, 1.0), 1)
  assert (row['ratio'], detail['in_turn']) == (1.0, False)
  _Hungry.alive = 1
  with kill:
    processes.measure('memory', ('ours',), None, 2, 60.0)


def test_their_test_split_is_scaled_and_ours_is_not():
  plan = Plan(**dict.fromkeys(f.name for f in dataclasses.fields(Plan)))
  plan = dataclasses.replace(plan, batch=16, studies=590, split_batches=2)
  assert plan.split_share('ours') == (37, 1.0)
  assert plan.split_share('theirs') == (2, 37 / 2)


@pytest.mark.parametrize(
  ('arguments', 'says'),
  [
    (('--only', 'training'), 'choose from memory, encoder'),
    (('--data', 'nowhere'), 'nowhere is not there'),
    (('--show', __file__), 'holds no measurement'),
  ],
)
def test_a_users_mistake_is_one_sentence(arguments, says):
  done = _run(*arguments)
  assert done.returncode == 1
  assert done.stderr.startswith('error: ') and says in done.stderr
