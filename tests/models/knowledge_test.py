"""The knowledge base: which reports speak for a class, and for a study."""

import numpy as np
import pytest

from cmn_jax.models.knowledge import (
  CLASSES,
  COMBINATIONS,
  FLAT,
  WORDS,
  build_knowledge,
  mean_of_classes,
  nearest_combination,
)

NO_FINDING = 2
IDS = np.array(
  [[1, 5, 2, 0], [1, 6, 2, 0], [1, 7, 2, 0], [1, 7, 8, 2], [1, 9, 2, 0]],
  np.int32,
)
LABELS = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]])


def _embed(ids_BxT):
  """A word's id and its square: two channels."""
  x = np.asarray(ids_BxT, np.float32)
  return np.stack([x, x**2 / 10], axis=-1)


def test_the_report_nearest_to_the_mean_speaks_for_a_class():
  base = build_knowledge(_embed, IDS, LABELS, NO_FINDING)
  assert base.report_Y.tolist() == [1, 2, 4]  # Of 5, 6 and 7 it is 6.
  assert base.support_Y.tolist() == [3, 2, 1]
  np.testing.assert_array_equal(base.table_YxTxD, _embed(IDS[[1, 2, 4]]))


def test_distances_count_pads_or_not():
  ids = np.array([[1, 5, 0, 0], [1, 6, 9, 9], [1, 7, 0, 0]], np.int32)
  labels = np.array([[1, 0, 0]] * 2 + [[1, 0, 1]])
  labels[:, 1] = [0, 0, 1]
  flat, words = (
    build_knowledge(_embed, ids, labels, NO_FINDING, CLASSES, distance)
    for distance in (FLAT, WORDS)
  )
  assert flat.report_Y[0] != words.report_Y[0] == 1


def test_a_class_without_a_report_borrows_that_of_no_finding():
  labels = LABELS.copy()
  labels[:, 1] = 0
  base = build_knowledge(_embed, IDS, labels, NO_FINDING)
  assert base.borrowed == (1,) and base.report_Y[1] == base.report_Y[2]
  labels[:, NO_FINDING] = 0
  with pytest.raises(ValueError, match='no training report'):
    build_knowledge(_embed, IDS, labels, NO_FINDING)


def test_a_study_takes_the_mean_of_its_classes():
  table = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
  labels = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]])
  found = mean_of_classes(table, labels, NO_FINDING)
  expected = [(table[0] + table[1]) / 2, table[1], table[NO_FINDING]]
  np.testing.assert_allclose(found, expected)


def test_a_missing_combination_takes_the_nearest():
  base = build_knowledge(_embed, IDS, LABELS, NO_FINDING, COMBINATIONS)
  assert base.keys_YxG.shape == (4, 3) and base.support_Y[0] == 2
  assert base.keys_YxG[0].tolist() == [1, 0, 0]  # The most frequent first.
  labels = np.array([[1, 1, 0], [1, 1, 1], [0, 0, 0]])
  row_B = nearest_combination(base.keys_YxG, labels)
  assert base.keys_YxG[row_B[0]].tolist() == [1, 1, 0]
  # (1, 1, 1) is nearest to (1, 1, 0); (0, 0, 0) to three, the first is taken.
  assert row_B.tolist() == [row_B[0], row_B[0], 0]


def test_bad_input_is_named():
  with pytest.raises(ValueError, match='distance'):
    build_knowledge(_embed, IDS, LABELS, NO_FINDING, distance='near')
  with pytest.raises(ValueError, match='rows of labels'):
    build_knowledge(_embed, IDS, LABELS[:2], NO_FINDING)
