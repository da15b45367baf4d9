"""The formulations for CPU against XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cmn_jax.models.convolution import convolve, max_pool


def _normal(*shape):
  return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(('size', 'stride'), [(3, 1), (3, 2), (7, 2)])
def test_convolution_and_its_gradients(size, stride):
  x, kernel = _normal(2, 8, 10, 3), _normal(size, size, 3, 4)
  pad = (size - 1) // 2

  def plain(x, kernel):
    return jax.lax.conv_general_dilated(
      x,
      kernel,
      (stride, stride),
      ((pad, pad), (pad, pad)),
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )

  dy = _normal(*plain(x, kernel).shape)
  got, back = jax.vjp(lambda x, k: convolve(x, k, stride), x, kernel)
  want, plain_back = jax.vjp(plain, x, kernel)
  np.testing.assert_allclose(got, want, atol=1e-5)
  for g, w in zip(back(dy), plain_back(dy), strict=True):
    np.testing.assert_allclose(g, w, atol=2e-4)


@pytest.mark.parametrize(
  ('height', 'ties'), [(8, False), (8, True), (7, False)]
)
def test_pooling_and_its_gradient(height, ties):
  x = _normal(2, height, 6, 3)
  if ties:  # Most windows then hold their largest value several times.
    x = np.round(x)

  def plain(x):
    return jax.lax.reduce_window(
      x,
      -jnp.inf,
      jax.lax.max,
      (1, 3, 3, 1),
      (1, 2, 2, 1),
      ((0, 0), (1, 1), (1, 1), (0, 0)),
    )

  got, back = jax.vjp(max_pool, x)
  want, plain_back = jax.vjp(plain, x)
  dy = _normal(*want.shape)
  np.testing.assert_array_equal(got, want)
  np.testing.assert_allclose(back(dy)[0], plain_back(dy)[0], atol=1e-6)


def test_tpu_and_gpu_keep_their_own_formulations():
  def gradient(x, kernel):
    return jax.grad(lambda x, k: max_pool(convolve(x, k, 1)).sum(), (0, 1))(
      x, kernel
    )

  exported = {
    platform: jax.export.export(jax.jit(gradient), platforms=[platform])(
      jnp.ones((1, 8, 8, 2)), jnp.ones((3, 3, 2, 2))
    ).mlir_module()
    for platform in ('cpu', 'tpu', 'cuda')
  }
  assert 'select_and_scatter' not in exported['cpu']
  for platform in ('tpu', 'cuda'):
    text = exported[platform]
    assert text.count('stablehlo.convolution') == 3
    assert 'select_and_scatter' in text and 'dot_general' not in text
