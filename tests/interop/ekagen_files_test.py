"""EKAGen's pickles: read without executing them, classes in our order."""

import collections
import contextlib
import os
import pickle
import resource

import numpy as np
import pytest

from cmn_jax.interop.ekagen_files import (
  THRESHOLDS,
  read_knowledge,
  read_thresholds,
  read_vocabulary,
  their_order,
)
from cmn_jax.interop.files import read_pickle
from cmn_jax.interop.names import ConversionError

OURS = tuple(reversed(THRESHOLDS))


class _Evil:
  def __reduce__(self):
    return os.system, ('touch owned',)


def _write(path, content):
  path.write_bytes(pickle.dumps(content))
  return path


def test_nothing_is_executed(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  path = _write(tmp_path / 'evil.pkl', {(1,): _Evil()})
  with pytest.raises(ConversionError, match='run code'):
    read_pickle(path)
  path = _write(tmp_path / 'counter.pkl', collections.Counter('a'))
  with pytest.raises(ConversionError, match='Counter'):
    read_pickle(path)
  assert not (tmp_path / 'owned').exists()


def test_broken_files_are_named(tmp_path):
  with pytest.raises(ConversionError, match='no such file'):
    read_pickle(tmp_path / 'none.pkl')
  path = tmp_path / 'cut.pkl'
  path.write_bytes(pickle.dumps({1: np.ones(9)})[:-20])
  with pytest.raises(ConversionError, match='damaged'):
    read_pickle(path)


@pytest.mark.parametrize(
  'content',
  [
    b'\x80\x02]r\xff\xff\xff\x02.',  # an object of the number 5e7
    b'\x80\x02cnumpy\nndarray\nJ\0\0\0\x70\x85R.',  # of 2**31 numbers
  ],
)
def test_what_claims_more_than_it_holds(tmp_path, content):
  (tmp_path / 'a.pkl').write_bytes(content)
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  with contextlib.suppress(ConversionError):
    assert read_pickle(tmp_path / 'a.pkl') == []
  grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
  assert grown < 100_000  # KiB


def test_knowledge_in_our_order(tmp_path):
  first = (1, *[0] * 12, np.int64(1))
  content = {first: np.ones((4, 2), np.float32), (0,) * 14: np.zeros((4, 2))}
  path = _write(tmp_path / 'knowledge.pkl', content)
  keys, table = read_knowledge(path, OURS, 4, 2)
  assert keys.tolist() == [[1, *[0] * 12, 1], [0] * 14]
  assert table.shape == (2, 4, 2) and table.dtype == np.float32
  assert OURS[0] == 'Support Devices'
  with pytest.raises(ConversionError, match='tensor of'):
    read_knowledge(path, OURS, 5, 2)
  path = _write(tmp_path / 'other.pkl', {(1, 2): np.ones((4, 2))})
  with pytest.raises(ConversionError, match='14 labels'):
    read_knowledge(path, OURS, 4, 2)


@pytest.mark.torch
def test_knowledge_of_tensors(tmp_path):
  torch = pytest.importorskip('torch')
  key = tuple(int(n == 2) for n in range(14))
  tensor = torch.arange(8.0).reshape(4, 2)
  path = _write(tmp_path / 'knowledge.pkl', {key: tensor})
  keys, table = read_knowledge(path, OURS, 4, 2)
  assert np.flatnonzero(keys[0]).tolist() == [11]
  np.testing.assert_array_equal(table[0], tensor.numpy())


def test_words_and_thresholds(tmp_path):
  words = {'.': 3, '<unk>': 4, 'a': 5}
  path = _write(
    tmp_path / 'words.pkl', [words, {v: k for k, v in words.items()}]
  )
  assert read_vocabulary(path) == ['.', '<unk>', 'a']
  path = _write(tmp_path / 'other.pkl', [{'a': 1}, {1: 'a'}])
  with pytest.raises(ConversionError, match='from 3 on'):
    read_vocabulary(path)
  path = _write(tmp_path / 'thr.pkl', np.array(list(THRESHOLDS.values())))
  found = read_thresholds(path, OURS)
  assert found[0] == THRESHOLDS['Support Devices']
  with pytest.raises(ConversionError, match='14 classes'):
    their_order(('Edema',))
