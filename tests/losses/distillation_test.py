"""EKAGen's losses: what counts, and that parts add up to the whole."""

import jax
import numpy as np
import pytest

from cmn_jax.losses.distillation import distillation_loss, word_loss

IDS = np.array([[1, 4, 5, 2, 0], [1, 6, 2, 0, 0], [1, 3, 4, 5, 6]], np.int32)


def _log_probs(seed: int):
  logits = np.random.default_rng(seed).standard_normal((3, 4, 7))
  return np.asarray(jax.nn.log_softmax(logits.astype(np.float32)))


def _loss(which: str, rows, mask_B, on_pads: bool):
  student, teacher, ids = _log_probs(0)[rows], _log_probs(1)[rows], IDS[rows]
  if which == 'words':
    return word_loss(student, ids, mask_B, on_pads)
  return distillation_loss(student, teacher, ids, mask_B, on_pads)


@pytest.mark.parametrize('on_pads', [True, False])
@pytest.mark.parametrize('which', ['words', 'teacher'])
def test_parts_add_up_and_padding_studies_are_nothing(which, on_pads):
  whole = _loss(which, [0, 1, 2], np.ones(3, bool), on_pads)
  first = _loss(which, [0, 1], np.ones(2, bool), on_pads)
  last = _loss(which, [2, 0], np.array([True, False]), on_pads)
  np.testing.assert_allclose(np.add(first, last), whole, rtol=1e-6)


def test_counts():
  ones = np.ones(3, bool)
  assert _loss('words', [0, 1, 2], ones, True)[1] == 12
  # The id that ends a report counts; a report that is cut has none.
  assert _loss('words', [0, 1, 2], ones, False)[1] == 3 + 2 + 4
  assert _loss('teacher', [0, 1, 2], ones, False)[1] == 3


def test_a_student_like_its_teacher_loses_nothing():
  same = _log_probs(0)
  total, _ = distillation_loss(same, same, IDS, np.ones(3, bool), True)
  assert float(total) == pytest.approx(0, abs=1e-6)


def test_no_gradient_comes_to_the_teacher():
  def loss(teacher):
    return distillation_loss(
      _log_probs(0), teacher, IDS, np.ones(3, bool), True
    )[0]

  assert not np.any(np.asarray(jax.grad(loss)(_log_probs(1))))
