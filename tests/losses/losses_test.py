"""The language-model loss against numpy."""

import jax
import numpy as np

from cmn_jax.losses.words import language_model_loss
from tests.made import small


def test_equals_the_authors_masked_mean():
  data = small.batch(4)
  rng = np.random.default_rng(0)
  log_probs = np.log(rng.dirichlet(np.ones(30), size=(4, 9))).astype(np.float32)
  mask = np.array([True, True, True, False])
  total, count = 0.0, 0
  for row, ids in zip(log_probs[:3], data['ids_BxT'][:3], strict=True):
    words = ids[1:][ids[1:] > 0].tolist()
    # The end counts too, unless the report was cut at the last position.
    for t, word in enumerate([*words, 0][:9]):
      total -= row[t, word]
      count += 1
  got = language_model_loss(log_probs, data['ids_BxT'], mask)
  np.testing.assert_allclose(got[0], total, rtol=1e-6)
  assert int(got[1]) == count


def test_padding_and_empty_reports_are_finite():
  ids = np.zeros((2, 10), np.int32)
  log_probs = np.full((2, 9, 30), np.log(1 / 30), np.float32)
  loss, count = language_model_loss(log_probs, ids, np.array([True, False]))
  np.testing.assert_allclose([loss, count], [np.log(30), 1], rtol=1e-6)
  nothing = language_model_loss(log_probs, ids, np.zeros(2, bool))
  assert [float(x) for x in nothing] == [0, 0]
  grad = jax.grad(lambda x: language_model_loss(x, ids, np.zeros(2, bool))[0])(
    log_probs
  )
  assert not np.any(grad)
