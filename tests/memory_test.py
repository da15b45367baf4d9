"""Memory attention against plain numpy that sorts and gathers."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cmn_jax.models.memory import kth_largest, topk_attention


def _arrays(seed=0, b=2, q=5, m=40, n=3, e=6):
  rng = np.random.default_rng(seed)
  return (
    rng.normal(size=(b, q, n, e)).astype(np.float32),
    rng.normal(size=(m, n, e)).astype(np.float32),
    rng.normal(size=(m, n, e)).astype(np.float32),
  )


def _by_gathering(q, k, v, top_k):
  """The paper's equations with loops: choose, softmax, weighted sum."""
  out = np.zeros_like(q)
  for b, t, n in np.ndindex(q.shape[:3]):
    score = k[:, n] @ q[b, t, n] / np.sqrt(q.shape[-1])
    chosen = np.argsort(-score)[:top_k]
    weight = np.exp(score[chosen] - score[chosen].max())
    out[b, t, n] = weight / weight.sum() @ v[chosen, n]
  return out


@pytest.mark.parametrize('top_k', [1, 7, 39, 40])
def test_equals_gathering(top_k):
  q, k, v = _arrays()
  got = jax.jit(topk_attention, static_argnums=3)(q, k, v, top_k)
  np.testing.assert_allclose(got, _by_gathering(q, k, v, top_k), atol=2e-6)


def test_all_slots_is_dense_attention():
  q, k, v = _arrays(1)
  dense = jax.nn.dot_product_attention(
    q, k[None].repeat(2, 0), v[None].repeat(2, 0)
  )
  np.testing.assert_allclose(topk_attention(q, k, v, 40), dense, atol=2e-6)


def test_gradient_equals_that_of_gathering():
  arrays = _arrays(2)

  def gathered(q, k, v):
    score = jnp.einsum('bqne,mne->bqnm', q, k) / np.sqrt(q.shape[-1])
    best, index = jax.lax.top_k(score, 7)
    values = v.transpose(1, 0, 2)[jnp.arange(3)[:, None], index]
    return jnp.einsum('bqnk,bqnke->bqne', jax.nn.softmax(best), values)

  def loss(f, args):
    return jnp.sum(jnp.sin(f(*args)))

  want = jax.grad(lambda a: loss(gathered, a))(arrays)
  got = jax.jit(jax.grad(lambda a: loss(lambda *x: topk_attention(*x, 7), a)))(
    arrays
  )
  for g, w in zip(got, want, strict=True):
    np.testing.assert_allclose(g, w, atol=1e-5)


@pytest.mark.parametrize('k', [1, 2, 31, 64])
def test_kth_largest_is_exact(k):
  rng = np.random.default_rng(k)
  scores = rng.normal(size=(3, 4, 64)).astype(np.float32)
  scores[0] *= 1e-30
  scores[1, :, ::2] = 0.0
  want = np.sort(scores, axis=-1)[..., -k]
  np.testing.assert_array_equal(kth_largest(scores, k)[..., 0], want)


def test_nothing_larger_than_the_scores_is_compiled():
  b, t, m, n, e, top_k = 2, 98, 256, 8, 64, 32
  q, k, v = _arrays(b=b, q=t, m=m, n=n, e=e)

  def loss(q, k, v):
    return topk_attention(q, k, v, top_k).sum()

  compiled = jax.jit(jax.grad(loss, (0, 1, 2))).lower(q, k, v).compile()
  shapes = re.findall(
    r'(?:f32|bf16|s32|u32|pred)\[([\d,]+)\]', compiled.as_text()
  )
  largest = max(math.prod(map(int, s.split(','))) for s in shapes)
  assert largest == b * n * t * m < b * n * t * top_k * e
