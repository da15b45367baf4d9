"""Counting arithmetic, and the rows of the benchmark."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from benchmarks.speed import __main__ as benchmark
from benchmarks.speed import half_precision, kept
from benchmarks.speed.flops import matmul_flops
from benchmarks.speed.processes import Measured
from benchmarks.speed.works import Plan


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


def _measured(seconds, peak_bytes, flops=None, result=None):
  return Measured(seconds, peak_bytes, 2.0, 3.0, 4.0, flops, result)


def test_a_row_holds_medians_and_the_ratio_to_the_faster_of_theirs():
  found = {
    'ours': _measured([1.0, 3.0, 2.0], 100, flops=8.0),
    'theirs': _measured([9.0, 8.0, 7.0], 300),
    'theirs_best': _measured([5.0, 6.0, 7.0], 200),
  }
  row, detail = benchmark.row_of('encoder', found, dict.fromkeys(found, 1), 16)
  assert row == {
    'work': 'encoder',
    'ours_seconds': 2.0,
    'theirs_seconds': 6.0,
    'ratio': 3.0,
    'ours_bytes': 100,
    'theirs_bytes': 200,
  }
  assert detail['share_of_peak'] == 8 / 2 / 16
  assert detail['sides']['ours']['spread'] == 1.0


def test_without_the_authors_their_cells_are_empty():
  found = {'ours': _measured([1.0], 10**9)}
  row, _ = benchmark.row_of('input', found, {'ours': 0.5}, 16)
  assert row['ours_seconds'] == 0.5
  assert row['theirs_seconds'] is row['ratio'] is row['theirs_bytes'] is None


def test_reports_are_compared():
  found = {
    'ours': _measured([1.0], 1, result=[[1, 2], [3, 4]]),
    'theirs': _measured([1.0], 1, result=[[1, 2], [3, 5]]),
  }
  _, detail = benchmark.row_of(
    'write_reports', found, dict.fromkeys(found, 1), 1
  )
  assert (detail['same_reports'], detail['reports']) == (1, 2)


def _run(*arguments):
  return subprocess.run(
    [sys.executable, '-m', 'benchmarks.speed', *map(str, arguments)],
    capture_output=True,
    text=True,
    cwd=Path(__file__).parents[2],
  )


def test_the_command_writes_what_it_promises(tmp_path):
  file = tmp_path / 'speed.json'
  small = ('--batch', 1, '--image_size', 64, '--encoder', 'resnet18')
  done = _run('--only', 'memory', '--rounds', 1, '--json', file, *small)
  assert done.returncode == 0, done.stderr
  content = json.loads(file.read_text())
  assert content['machine']['cores'] >= 1
  assert content['versions']['jax'] == jax.__version__
  (row,) = content['rows']
  assert row['work'] == 'memory' and row['ratio'] is None
  assert 0 < row['ours_seconds'] < 60
  assert row['ours_bytes'] > 10**8
  assert 0 < content['details']['memory']['share_of_peak'] < 1.5
  page = tmp_path / 'page.md'
  page.write_text('a\n<!-- benchmark -->\nold\n<!-- end of benchmark -->\nb\n')
  assert _run('--show', file, '--into', page).returncode == 0
  text = page.read_text()
  assert 'old' not in text and text.startswith('a\n') and text.endswith('b\n')
  assert text.count('| memory |') == 2 and ' - |' in text
  assert max(map(len, text.splitlines())) <= 80


def _content(*works, ratio=2.0):
  content = {
    'machine': {'processor': 'p', 'cores': 2, 'device': 'cpu'},
    'versions': {'jax': '1'},
    'plan': {'batch': 16},
    'rows': [],
    'details': {},
  }
  for work in works:
    kept.put(content, {'work': work, 'ratio': ratio}, {'of': work})
  return content


def test_a_call_goes_on_with_what_an_earlier_one_kept(tmp_path):
  file = tmp_path / 'speed.json'
  assert kept.go_on_with(file, _content()) == _content()
  kept.save(file, _content('encoder'))
  content = kept.go_on_with(file, _content())
  assert kept.has(content, 'encoder', beside=True)
  assert not kept.has(content, 'memory', beside=False)
  kept.put(content, {'work': 'memory', 'ratio': None}, {'of': 'memory'})
  assert [row['work'] for row in content['rows']] == ['memory', 'encoder']
  assert kept.has(content, 'memory', beside=False)
  # Measured alone: it is measured again beside the authors.
  assert not kept.has(content, 'memory', beside=True)
  kept.put(content, {'work': 'memory', 'ratio': 9.0}, {'of': 'memory'})
  assert [row['ratio'] for row in content['rows']] == [9.0, 2.0]


def test_rows_of_other_sizes_or_versions_are_not_mixed(tmp_path):
  file = tmp_path / 'speed.json'
  kept.save(file, _content('encoder'))
  other = _content()
  other['plan'] = {'batch': 8}
  with pytest.raises(kept.KeptError, match='batch was 16, is 8'):
    kept.go_on_with(file, other)


def test_their_test_split_is_scaled_and_ours_is_not():
  plan = Plan(**dict.fromkeys(f.name for f in dataclasses.fields(Plan)))
  plan = dataclasses.replace(plan, batch=16, studies=590, split_batches=2)
  assert plan.split_share('ours') == (37, 1.0)
  assert plan.split_share('theirs') == (2, 37 / 2)


@pytest.mark.parametrize(
  ('arguments', 'says'),
  [
    (('--only', 'training'), 'choose from memory, encoder'),
    (('--json', __file__), 'holds no measurement'),
    (('--data', 'nowhere'), 'nowhere is not there'),
    (('--show', 'nowhere.json'), 'nowhere.json'),
  ],
)
def test_what_a_person_can_mend_is_said_in_a_sentence(arguments, says):
  done = _run(*arguments)
  assert done.returncode == 1
  assert done.stderr.startswith('error: ') and says in done.stderr


def test_losses_of_both_types_are_told_with_the_largest_difference():
  whole, half = [4.0] * 24 + [2.0], [4.0] * 23 + [4.1, 2.0]
  text = half_precision.table({'float32': whole, 'bfloat16': half})
  assert '| 25 | 2.0000 | 2.0000 | 0.0e+00 |' in text
  assert 'Largest difference of 25 steps: 2.5e-02, at step 24' in text
