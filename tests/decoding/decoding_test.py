"""Beam search against a plain Python one; greedy; sampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cmn_jax.decoding.beam_search import beam_search
from cmn_jax.decoding.generate import Decoding
from cmn_jax.decoding.sampling import sample
from input_pipeline.errors import UserError

V, T = 6, 7


def _table(seed, peak=2.0):
  """log P(word | position, previous word) of one toy model per study, B=5."""
  rng = np.random.default_rng(seed)
  logits = rng.normal(size=(5, T, V, V)) * peak
  return np.asarray(jax.nn.log_softmax(logits), np.float32)


def _step(table):
  table = jnp.asarray(table)

  def step(ids_BxK, position, cache):
    # The words follow their beams, so a wrong reordering would show; so would
    # one of what stays: the beam that each slot belonged to.
    words, slots = cache
    previous = jnp.where(position > 0, words[:, :, position - 1], 0)
    studies = jnp.arange(table.shape[0])[:, None]
    rows = table[studies, position, ids_BxK]
    rows = jnp.where((previous >= 0)[..., None], rows, -jnp.inf)
    rows = jnp.where(
      (slots == jnp.arange(slots.size))[..., None], rows, -jnp.inf
    )
    return rows, (words.at[:, :, position].set(ids_BxK), slots)

  return step


def _cache(beams):
  return jnp.zeros((5, beams, T), jnp.int32), jnp.arange(beams)


ALL = jnp.ones(5, bool)


def _plain_beam_search(table, beams):
  """The authors' procedure for one study, in lists."""
  running = [((), 0.0)]
  recorded = []
  for t in range(T):
    candidates = [
      ((*words, w), total + table[t, words[-1] if words else 0, w])
      for words, total in running
      for w in range(V)
    ]
    candidates.sort(key=lambda c: -c[1])
    running = []
    for words, total in candidates[:beams]:
      if words[-1] == 0 or t == T - 1:
        recorded.append((words, total))
        total -= 1000.0
      running.append((words, total))
  words, total = max(recorded, key=lambda c: c[1])
  words = words[: words.index(0)] if 0 in words else words
  return words + (0,) * (T - len(words)), total


@pytest.mark.parametrize('beams', [1, 2, 3, 5])
@pytest.mark.parametrize('seed', range(6))
def test_beam_search_equals_the_plain_one(beams, seed):
  table = _table(seed)
  search = jax.jit(lambda c: beam_search(_step(table), c, ALL, beams, T))
  ids, sums = search(_cache(beams))
  for b in range(5):
    words, total = _plain_beam_search(table[b], beams)
    assert tuple(ids[b].tolist()) == words
    np.testing.assert_allclose(sums[b], total, atol=1e-4)


@pytest.mark.parametrize(
  ('mask_B', 'steps'), [(ALL, T), (ALL.at[2].set(False), 1)]
)
def test_early_stop_waits_for_studies_and_not_for_padding(mask_B, steps):
  table = np.full((5, T, V, V), -9.0, np.float32)
  table[..., 0] = -0.01  # every study ends at once
  table[2] = np.log(1 / V)
  table[2, ..., 0] = -9.0  # but this one
  calls = []

  def step(ids, position, cache):
    jax.debug.callback(lambda p: calls.append(int(p)), position)
    return _step(table)(ids, position, cache)

  jax.block_until_ready(beam_search(step, _cache(3), mask_B, 3, T))
  jax.effects_barrier()
  assert calls == list(range(steps))


def _greedy(table, length=T):
  key = jax.random.key(0)
  return sample(_step(table), _cache(1), ALL, length, key, 0, 1.0)


@pytest.mark.parametrize('seed', range(4))
def test_beam_of_one_is_greedy(seed):
  table = _table(seed)
  ids, sums = _greedy(table)
  beam_ids, beam_sums = beam_search(_step(table), _cache(1), ALL, 1, T)
  np.testing.assert_array_equal(ids, beam_ids)
  np.testing.assert_allclose(sums, beam_sums, atol=1e-5)


def test_sampling_follows_the_probabilities_and_the_nucleus():
  table = np.tile(_table(0)[:1], (5, 1, 1, 1))
  first = np.exp(table[0, 0, 0])
  drawn = jax.jit(
    jax.vmap(
      lambda key: sample(_step(table), _cache(1), ALL, 1, key, 1.0, 1.0)[0][
        :, 0
      ]
    )
  )(jax.random.split(jax.random.key(1), 2000))
  share = np.bincount(np.ravel(drawn), minlength=V) / drawn.size
  np.testing.assert_allclose(share, first, atol=0.02)

  order = np.argsort(-first)
  top_p = float(first[order[:2]].sum()) - 1e-3
  drawn = jax.vmap(
    lambda key: sample(_step(table), _cache(1), ALL, 1, key, 1.0, top_p)[0][
      :, 0
    ]
  )(jax.random.split(jax.random.key(2), 300))
  assert set(np.unique(drawn)) == set(order[:2].tolist())


def test_a_nucleus_of_nothing_is_refused():
  with pytest.raises(UserError, match=r'decode\.top_p is 0.*above 0'):
    Decoding('sample', 1, 1.0, 0.0)
