"""Traces on disk: found again where nothing changed, made anew where it did."""

import jax
import numpy as np
import pytest

from cmn_jax import traced_programs
from cmn_jax.traced_programs import jit_and_keep

X = {'a': np.arange(3, dtype=np.float32), 'b': None}


@pytest.fixture
def folder(tmp_path):
  before = jax.config.jax_compilation_cache_dir
  jax.config.update('jax_compilation_cache_dir', str(tmp_path))
  yield tmp_path / 'traced'
  jax.config.update('jax_compilation_cache_dir', before)


class _Doubled:
  """Twice its argument; counts how often Python runs it."""

  def __init__(self, times=2):
    self.traced, self._times = 0, times

  def __call__(self, tree):
    self.traced += 1
    return {'twice': self._times * tree['a']}


def _traces(x=X, about='model', function=None):
  """How often a new start runs the function; and its answer is right."""
  function = function or _Doubled()
  call = jit_and_keep(function, about)
  for _ in range(2):
    np.testing.assert_array_equal(call(x)['twice'], 2 * x['a'])
  return function.traced


def test_a_second_start_runs_no_python(folder):
  assert [_traces(), _traces()] == [1, 0]
  assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
  'changed',
  [
    {'about': 'another model'},
    {'x': {'a': np.arange(4, dtype=np.float32), 'b': None}},
    {'x': {'a': np.arange(3, dtype=np.int32), 'b': None}},
    {'x': {'a': X['a'], 'b': X['a']}},
  ],
)
def test_another_program_is_traced_by_itself(folder, changed):
  assert _traces() == 1
  assert _traces(**changed) == 1
  assert [_traces(), _traces(**changed)] == [0, 0]


def test_changed_source_is_traced_anew(folder, monkeypatch):
  assert _traces() == 1
  monkeypatch.setattr(traced_programs, '_surroundings', lambda: 'later')
  assert _traces() == 1


@pytest.mark.parametrize('cut', [0, 100, -1])
def test_a_damaged_trace_is_made_again(folder, cut):
  _traces()
  (file,) = folder.iterdir()
  whole = file.read_bytes()
  file.write_bytes(whole[:cut] if cut >= 0 else b'\0' * len(whole))
  assert [_traces(), _traces()] == [1, 0]


def test_what_cannot_be_kept_is_compiled_as_ever(folder):
  def prints(tree):
    jax.debug.callback(lambda x: None, tree['a'])
    return {'twice': 2 * tree['a']}

  _traces(function=_Counted(prints))
  assert not folder.exists()


class _Counted:
  traced = 0

  def __init__(self, function):
    self._function = function

  def __call__(self, tree):
    return self._function(tree)


def test_a_folder_that_cannot_be_written_costs_nothing(folder):
  folder.write_text('a file stands where the folder would')
  assert _traces() == 1


def test_without_a_compilation_cache_nothing_is_kept(folder):
  jax.config.update('jax_compilation_cache_dir', None)
  assert [_traces(), _traces()] == [1, 1]
  assert not folder.exists()


def test_errors_of_a_program_are_its_own(folder):
  with pytest.raises(TypeError, match='unsupported operand'):
    jit_and_keep(lambda tree: tree['a'] + tree['b'], '')(X)
