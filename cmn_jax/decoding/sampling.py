"""Greedy decoding and sampling, in one compiled loop."""

import jax
import jax.numpy as jnp

from cmn_jax.decoding.beam_search import END


def sample(step, cache, mask_B, length: int, key, temperature, top_p):
  """Draws one report per study, word by word.

  Args:
    step: (ids_Bx1, position, cache) -> (log_probs_Bx1xV, cache).
    cache: any tree of arrays.
    mask_B: False for padding studies, whose words are not waited for.
    length: tokens to write at most, T.
    key: random key; not used at temperature 0.
    temperature: divides the log-probabilities; 0 takes the best word (greedy).
    top_p: only the most probable words that together reach this probability
      can be drawn; 1 leaves all.

  Returns:
    ids (B, T), zero after the end, and their sums of log-probabilities (B,).
  """

  def unfinished(state):
    position, _, _, _, done_B, _ = state
    return (position < length) & ~jnp.all(done_B)

  def extend(state):
    position, ids_B, written_BxT, sums_B, done_B, cache = state
    log_probs, cache = step(ids_B[:, None], position, cache)
    log_probs_BxV = log_probs[:, 0]
    if temperature == 0:
      ids_B = jnp.argmax(log_probs_BxV, axis=1).astype(jnp.int32)
    else:
      kept = _nucleus(log_probs_BxV / temperature, top_p)
      draw = jax.random.fold_in(key, position)
      ids_B = jax.random.categorical(draw, kept).astype(jnp.int32)
    gain_B = jnp.take_along_axis(log_probs_BxV, ids_B[:, None], axis=1)[:, 0]
    ids_B = jnp.where(done_B, END, ids_B)
    sums_B = sums_B + jnp.where(done_B, 0.0, gain_B)
    written_BxT = written_BxT.at[:, position].set(ids_B)
    return (
      position + 1,
      ids_B,
      written_BxT,
      sums_B,
      done_B | (ids_B == END),
      (cache),
    )

  batch = mask_B.shape[0]
  state = (
    jnp.int32(0),
    jnp.zeros(batch, jnp.int32),
    jnp.zeros((batch, length), jnp.int32),
    jnp.zeros(batch),
    ~mask_B,
    cache,
  )
  state = jax.lax.while_loop(unfinished, extend, state)
  return state[2], state[3]


def _nucleus(logits_BxV, top_p: float):
  """Logits with all words outside the top_p nucleus at minus infinity."""
  if top_p >= 1:
    return logits_BxV
  order = jnp.argsort(-logits_BxV, axis=1)
  ranked = jnp.take_along_axis(jax.nn.softmax(logits_BxV), order, axis=1)
  before = jnp.cumsum(ranked, axis=1) - ranked
  kept_ranked = before < top_p
  rank = jnp.argsort(order, axis=1)
  kept = jnp.take_along_axis(kept_ranked, rank, axis=1)
  return jnp.where(kept, logits_BxV, -jnp.inf)
