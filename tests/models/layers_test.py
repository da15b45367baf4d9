"""Dropout, positions and norms against numpy."""

import jax
import numpy as np

from cmn_jax.models.layers import Linear, dropout_mask, sinusoids
from cmn_jax.models.normalization import BatchNorm, LayerNorm


def test_dropout_rate_mean_and_independence():
  masks = [
    np.asarray(dropout_mask(jax.random.key(i), 0.3, (64, 100, 50)))
    for i in range(3)
  ]
  for mask in masks:
    dropped = mask == 0
    assert abs(dropped.mean() - 0.3) < 0.003
    assert abs(mask.mean() - 1) < 0.005
    flat = dropped.ravel().astype(float)
    for shift in (1, 50, 5000):
      assert abs(np.corrcoef(flat[:-shift], flat[shift:])[0, 1]) < 0.01
  assert abs(np.corrcoef(masks[0].ravel(), masks[1].ravel())[0, 1]) < 0.01


def test_sinusoids_are_interleaved():
  table = sinusoids(7, 6)
  np.testing.assert_allclose(table[3, 0], np.sin(3), rtol=1e-6)
  np.testing.assert_allclose(table[3, 1], np.cos(3), rtol=1e-6)
  rate = 10000 ** (-2 / 6)
  np.testing.assert_allclose(table[3, 2], np.sin(3 * rate), rtol=1e-6)


def test_layer_norm_divides_by_the_unbiased_deviation():
  x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
  norm = LayerNorm()
  got = norm.apply(norm.init(jax.random.key(0), x), x)
  want = (x - x.mean(-1, keepdims=True)) / (
    x.std(-1, ddof=1, keepdims=True) + 1e-6
  )
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_layer_norm_of_a_constant_row_has_a_finite_gradient():
  x = np.ones((2, 8), np.float32)
  norm = LayerNorm()
  params = norm.init(jax.random.key(0), x)
  grad = jax.grad(lambda x: (norm.apply(params, x) ** 2).sum())(x)
  assert np.isfinite(grad).all()


def test_batch_norm_view_by_view_without_padding():
  rng = np.random.default_rng(1)
  x = rng.normal(2, 3, size=(3, 2, 4, 4, 5)).astype(np.float32)
  mask = np.array([[True, True], [True, True], [False, False]])
  norm = BatchNorm()
  flat = x.reshape(6, 4, 4, 5)
  start = norm.init(jax.random.key(0), flat, mask, True)
  got, updated = norm.apply(start, flat, mask, True, mutable=['batch_stats'])
  got = got.reshape(x.shape)
  mean, var = np.zeros(5), np.ones(5)
  for view in range(2):
    real = x[:2, view]
    m, v = real.mean((0, 1, 2)), real.var((0, 1, 2))
    np.testing.assert_allclose(
      got[:2, view], (real - m) / np.sqrt(v + 1e-5), atol=2e-5
    )
    mean = 0.9 * mean + 0.1 * m
    var = 0.9 * var + 0.1 * real.var((0, 1, 2), ddof=1)
    # numpy's ddof counts values over all reduced axes, as torch does.
  np.testing.assert_allclose(updated['batch_stats']['mean'], mean, rtol=1e-5)
  np.testing.assert_allclose(updated['batch_stats']['var'], var, rtol=1e-5)


def test_linear_starts_within_torch_bounds():
  x = np.zeros((1, 100), np.float32)
  params = Linear(50, 'torch').init(jax.random.key(0), x)['params']
  assert 0.09 < np.abs(params['kernel']).max() <= 0.1
  assert 0.05 < np.abs(params['bias']).max() <= 0.1
