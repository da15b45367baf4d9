"""Beam search as R2GenCMN's authors do it, in one compiled loop."""

import jax
import jax.numpy as jnp

# A beam that has ended goes on, this much behind the others.
ENDED_PENALTY = 1000.0
END = 0


def beam_search(
  step,
  cache,
  mask_B,
  beams: int,
  length: int,
  start: int = END,
  end: int = END,
):
  """Finds the most probable sequences; sums are not normalised by length.

  A beam that emits `end`, or fills `length`, is recorded with its sum of
  log-probabilities and stays in the beam with a penalty. A study's best
  record wins. As a sum can only fall, the loop ends, exactly, once no
  running beam of any study is ahead of its study's best record. Padding
  studies (mask False) are not waited for.

  Args:
    step: (ids_BxK, position, cache) -> (log_probs_BxKxV, cache).
    cache: a pair of trees: arrays (B, K, ...) that follow the beams when
      these are dealt anew, and arrays that stay where `step` left them.
    mask_B: False for padding studies, whose ids mean nothing.
    beams: beams of a study K.
    length: tokens to write at most, T.
    start: the id before the first token.
    end: the id that ends a sequence; ids stand with it.

  Returns:
    ids (B, T), zero after the end, and their sums of log-probabilities (B,).
  """
  batch = mask_B.shape[0]

  def unfinished(state):
    position, _, _, sums_BxK, _, best_B, _ = state
    running_B = mask_B & (jnp.max(sums_BxK, axis=1) > best_B)
    return (position < length) & jnp.any(running_B)

  def extend(state):
    position, ids_BxK, written_BxKxT, sums_BxK, best_ids, best_B, cache = state
    log_probs_BxKxV, cache = step(ids_BxK, position, cache)
    vocabulary = log_probs_BxKxV.shape[-1]
    totals = (sums_BxK[..., None] + log_probs_BxKxV).reshape(
      mask_B.shape[0], -1
    )
    sums_BxK, index_BxK = _largest(totals, beams)
    parent_BxK, ids_BxK = index_BxK // vocabulary, index_BxK % vocabulary
    follows, stays = cache
    written_BxKxT, follows = jax.tree.map(
      lambda x: _take_beams(x, parent_BxK), (written_BxKxT, follows)
    )
    written_BxKxT = written_BxKxT.at[:, :, position].set(ids_BxK)

    ended_BxK = (ids_BxK == end) | (position == length - 1)
    record_BxK = jnp.where(ended_BxK, sums_BxK, -jnp.inf)
    winner_B = jnp.argmax(record_BxK, axis=1)
    record_B = jnp.max(record_BxK, axis=1)
    better_B = record_B > best_B
    winner_ids = _take_beams(written_BxKxT, winner_B[:, None])[:, 0]
    best_ids = jnp.where(better_B[:, None], winner_ids, best_ids)
    best_B = jnp.where(better_B, record_B, best_B)
    sums_BxK = sums_BxK - ENDED_PENALTY * ended_BxK
    return (
      position + 1,
      ids_BxK,
      written_BxKxT,
      sums_BxK,
      best_ids,
      best_B,
      (follows, stays),
    )

  # All beams begin alike, so only the first may be extended at first.
  sums_BxK = jnp.where(jnp.arange(beams) == 0, 0.0, -jnp.inf)
  state = (
    jnp.int32(0),
    jnp.full((batch, beams), start, jnp.int32),
    jnp.zeros((batch, beams, length), jnp.int32),
    jnp.broadcast_to(sums_BxK, (batch, beams)),
    jnp.zeros((batch, length), jnp.int32),
    jnp.full((batch,), -jnp.inf),
    cache,
  )
  state = jax.lax.while_loop(unfinished, extend, state)
  return state[4], state[5]


def attention_while_writing(module, shared, cache, ids_BxT, start: int):
  """What the last layer looked at when each id was chosen, (B, T, P).

  Args:
    module: bound, with `decode_step`.
    shared: of its `start_decoding`, as `cache`, of one beam.
    cache: likewise.
    ids_BxT: as written.
    start: the id before the first.
  """
  fed_BxT = jnp.pad(ids_BxT, ((0, 0), (1, 0)), constant_values=start)

  def step(cache, position):
    _, cache, weights = module.decode_step(
      fed_BxT[:, position, None], position, cache, shared
    )
    return cache, weights[:, 0]

  positions_T = jnp.arange(ids_BxT.shape[1])
  _, weights_TxBxP = jax.lax.scan(step, cache, positions_T)
  return jnp.swapaxes(weights_TxBxP, 0, 1)


def _largest(x_BxX, count: int):
  """The `count` largest values and their indices, first ones first on ties."""
  values, indices = [], []
  for _ in range(count):
    index = jnp.argmax(x_BxX, axis=1)
    values.append(jnp.max(x_BxX, axis=1))
    indices.append(index)
    taken = jax.nn.one_hot(index, x_BxX.shape[1], dtype=bool)
    x_BxX = jnp.where(taken, -jnp.inf, x_BxX)
  return jnp.stack(values, 1), jnp.stack(indices, 1).astype(jnp.int32)


def _take_beams(x, parent_BxK):
  """x of (B, K, ...) with each study's beams replaced by their parents."""
  index = parent_BxK.reshape(parent_BxK.shape + (1,) * (x.ndim - 2))
  return jnp.take_along_axis(x, index, axis=1)
