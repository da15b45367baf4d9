"""Cross-modal memory: a learned matrix that features query and are answered by.

Chen et al., "Cross-modal memory networks for radiology report generation"
(ACL 2021), section 2.2. Each query takes the K most similar slots of each
head; their values, weighted by a softmax over those K, are the response.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from cmn_jax.models.layers import (
  Projections,
  join_heads,
  seeded_mask,
  split_heads,
)

# Queries of a block at most. With 2,048 slots its scores are four megabytes,
# which stay in a CPU's cache while the K-th largest is searched.
_BLOCK = 512


def kth_largest(scores, k: int):
  """The exact k-th largest float32 along the last axis, kept as size 1.

  Builds the answer's bits from the highest down on an integer view of the
  floats that preserves their order: 32 passes of compare and count, where a
  top-k on CPU would sort. Every value must be finite.
  """
  bits = jax.lax.bitcast_convert_type(scores.astype(jnp.float32), jnp.uint32)
  sign = jnp.uint32(0x80000000)
  ordered = jnp.where(bits & sign, ~bits, bits | sign)

  def add_bit(i, answer):
    trial = answer | (sign >> i.astype(jnp.uint32))
    count = _count(ordered >= trial)
    return jnp.where(count >= k, trial, answer)

  start = jnp.zeros((*scores.shape[:-1], 1), jnp.uint32)
  answer = jax.lax.fori_loop(0, 32, add_bit, start)
  bits = jnp.where(answer & sign, answer ^ sign, ~answer)
  return jax.lax.bitcast_convert_type(bits, jnp.float32)


def _count(true_QxM):
  """Trues along the last axis, kept as size 1; float32, exact to 2^24.

  XLA's CPU compiler writes such a sum as a tree that it does not fuse; a
  product with ones is faster there.
  """

  def product(x):
    return x @ jnp.ones((x.shape[-1], 1), jnp.float32)

  def total(x):
    return jnp.sum(x, axis=-1, keepdims=True)

  x = true_QxM.astype(jnp.float32)
  return jax.lax.platform_dependent(x, cpu=product, default=total)


def topk_attention(
  q_BxQxNxE,
  k_MxNxE,
  v_MxNxE,
  top_k: int,
  dropout_rate: float = 0.0,
  dropout_key=None,
):
  """Answers each query with its `top_k` best slots, head by head.

  Scores below the K-th largest get weight zero, so the response is one matrix
  product with all values: nothing is gathered and no (B, N, Q, K, E) array
  exists. The backward pass keeps which slots were chosen, one byte each, and
  computes their weights anew. Slots that tie exactly with the K-th all stay.

  Returns:
    Responses, (B, Q, N, E).
  """
  b, length, n, e = q_BxQxNxE.shape
  rows = b * length
  blocks = -(-rows // _BLOCK)
  size = -(-rows // blocks)
  q = jnp.moveaxis(q_BxQxNxE.reshape(rows, n, e), 1, 0)
  q = jnp.pad(q, ((0, 0), (0, blocks * size - rows), (0, 0)))
  seeds_NxCx2 = None
  if dropout_key is not None:
    seeds_NxCx2 = jax.random.bits(dropout_key, (n, blocks, 2), jnp.uint32)
  answer = _respond(
    top_k,
    dropout_rate,
    q.reshape(n, blocks, size, e),
    jnp.moveaxis(k_MxNxE, 1, 0),
    jnp.moveaxis(v_MxNxE, 1, 0),
    seeds_NxCx2,
  )
  answer = answer.reshape(n, blocks * size, e)[:, :rows]
  return jnp.moveaxis(answer, 0, 1).reshape(b, length, n, e)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _respond(top_k, rate, q_NxCxQxE, k_NxMxE, v_NxMxE, seeds_NxCx2):
  """`topk_attention` of C blocks of queries to a head, heads first."""

  def block(q_QxE, seeds_2, k_MxE, v_MxE):
    score_QxM = _scores(q_QxE, k_MxE)
    chosen_QxM = _choose(score_QxM, top_k)
    return _answer(score_QxM, chosen_QxM, v_MxE, seeds_2, rate)

  return _each_block(block, (q_NxCxQxE, seeds_NxCx2), (k_NxMxE, v_NxMxE))


def _respond_forward(top_k, rate, q_NxCxQxE, k_NxMxE, v_NxMxE, seeds_NxCx2):
  def block(q_QxE, seeds_2, k_MxE, v_MxE):
    score_QxM = _scores(q_QxE, k_MxE)
    chosen_QxM = _choose(score_QxM, top_k)
    return _answer(score_QxM, chosen_QxM, v_MxE, seeds_2, rate), chosen_QxM

  answer, chosen_NxCxQxM = _each_block(
    block, (q_NxCxQxE, seeds_NxCx2), (k_NxMxE, v_NxMxE)
  )
  return answer, (q_NxCxQxE, k_NxMxE, v_NxMxE, seeds_NxCx2, chosen_NxCxQxM)


def _respond_backward(top_k, rate, kept, d_NxCxQxE):
  del top_k
  q, k, v, seeds, chosen = kept

  def block(q_QxE, seeds_2, chosen_QxM, d_QxE, k_MxE, v_MxE):
    def answer(q_QxE, k_MxE, v_MxE):
      score_QxM = _scores(q_QxE, k_MxE)
      return _answer(score_QxM, chosen_QxM, v_MxE, seeds_2, rate)

    return jax.vjp(answer, q_QxE, k_MxE, v_MxE)[1](d_QxE)

  dq, dk, dv = _each_block(block, (q, seeds, chosen, d_NxCxQxE), (k, v))
  return dq, jnp.sum(dk, axis=1), jnp.sum(dv, axis=1), None


_respond.defvjp(_respond_forward, _respond_backward)


def _scores(q_QxE, k_MxE):
  """Scaled products, float32 whatever the inputs."""
  products = jnp.einsum(
    'qe,me->qm', q_QxE, k_MxE, preferred_element_type=jnp.float32
  )
  return products * q_QxE.shape[-1] ** -0.5


def _choose(score_QxM, top_k: int):
  """True at each query's best slots; None where all slots are."""
  if top_k == score_QxM.shape[-1]:
    return None
  return score_QxM >= kth_largest(score_QxM, top_k)


def _answer(score_QxM, chosen_QxM, v_MxE, seeds_2, rate: float):
  """Values weighted by the softmax over the chosen slots."""
  if chosen_QxM is not None:
    score_QxM = jnp.where(chosen_QxM, score_QxM, -jnp.inf)
  weight_QxM = jax.nn.softmax(score_QxM, axis=-1)
  if seeds_2 is not None:
    weight_QxM = weight_QxM * seeded_mask(seeds_2, rate, weight_QxM.shape)
  return weight_QxM.astype(v_MxE.dtype) @ v_MxE


def _each_block(function, of_block, of_head):
  """Calls function(*of_block, *of_head) for each block of each head.

  All at once, but on CPU one after the other where a head has several blocks:
  the same arithmetic, in the cache.

  Args:
    of_block: trees of arrays with leading axes (N, C).
    of_head: trees of arrays with a leading axis N.
  """

  def run(over, of_block, of_head):
    def head(inputs):
      of_block, of_head = inputs
      return over(lambda one: function(*one, *of_head), of_block)

    return over(head, (of_block, of_head))

  def at_once(function, inputs):
    return jax.vmap(function)(inputs)

  together = functools.partial(run, at_once)
  if of_block[0].shape[1] == 1:
    return together(of_block, of_head)
  return jax.lax.platform_dependent(
    of_block,
    of_head,
    cpu=functools.partial(run, jax.lax.map),
    default=together,
  )


class MemoryQuery(Projections):
  """Querying and responding: four projections around `topk_attention`.

  Attributes:
    width: of queries and slots, D.
    heads: attention heads N.
    top_k: slots that answer a query, K in the paper.
    dropout: rate on the weights of those slots.
    dtype: type of the arithmetic; scores and softmax are float32 always.
  """

  width: int
  heads: int
  top_k: int
  dropout: float
  dtype: Any = jnp.float32

  def __call__(self, x_BxQxD, memory_MxD, train: bool):
    """Returns the memory's responses, (B, Q, D), to be added to x."""
    return self.respond(x_BxQxD, *self.project(memory_MxD), train)

  def respond(self, x_BxQxD, k_MxNxE, v_MxNxE, train: bool):
    """As `__call__`, with the slots projected before."""
    q = split_heads(self.query(x_BxQxD), self.heads)
    active = train and self.dropout > 0
    key = self.make_rng('dropout') if active else None
    response = topk_attention(
      q, k_MxNxE, v_MxNxE, self.top_k, self.dropout, key
    )
    return self.out(join_heads(response))
