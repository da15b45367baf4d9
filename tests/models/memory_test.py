"""Memory attention against plain numpy that sorts and gathers."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cmn_jax.models import memory
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


def _gradients(dropout_key=None):
  def loss(q, k, v):
    return jnp.sin(topk_attention(q, k, v, 4, 0.5, dropout_key)).sum()

  return jax.jit(jax.grad(loss, (0, 1, 2)))


def test_a_head_in_blocks_is_the_head_at_once(monkeypatch):
  arrays = _arrays(3, q=9)
  want = _gradients()(*arrays)
  monkeypatch.setattr(memory, '_BLOCK', 5)  # 18 queries: 4 blocks, 2 padding.
  for g, w in zip(_gradients()(*arrays), want, strict=True):
    np.testing.assert_allclose(g, w, atol=1e-5)


def test_dropout_is_the_same_one_by_one_and_at_once(monkeypatch):
  arrays, key = _arrays(3, q=9), jax.random.key(3)
  monkeypatch.setattr(memory, '_BLOCK', 5)
  looped = _gradients(key)(*arrays)
  monkeypatch.setattr(
    jax.lax, 'platform_dependent', lambda *args, cpu, default: default(*args)
  )
  for g, w in zip(_gradients(key)(*arrays), looped, strict=True):
    np.testing.assert_allclose(g, w, atol=1e-5)
  assert np.abs(looped[0] - _gradients()(*arrays)[0]).max() > 1e-3


def test_no_array_is_larger_than_the_scores():
  """At the published size: the authors' has a (B, N, Q, M, E) tensor."""
  b, q, m, n, e = 16, 98, 2048, 8, 64

  def loss(q, k, v):
    return topk_attention(q, k, v, 32, 0.1, jax.random.key(0)).sum()

  shapes = [(b, q, n, e), (m, n, e), (m, n, e)]
  arguments = [jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes]
  compiled = jax.jit(jax.grad(loss, (0, 1, 2))).lower(*arguments).compile()
  sizes = {'f32': 4, 's32': 4, 'u32': 4, 'pred': 1}
  largest = max(
    sizes[kind] * math.prod(map(int, shape.split(',')))
    for kind, shape in re.findall(
      r'(f32|s32|u32|pred)\[([\d,]+)\]', compiled.as_text()
    )
  )
  # A byte for each score says what was chosen; the scores never all exist.
  assert largest == b * n * q * m
  assert compiled.memory_analysis().temp_size_in_bytes < 4 * largest
