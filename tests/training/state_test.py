"""What is frozen is told by its path."""

import numpy as np
import optax
import pytest

from cmn_jax.training.state import init_state, picked

TREE = {
  'params': {
    'a': {'stem': {'w': np.ones(2)}, 'rest': {'w': np.ones(3)}},
    'b': np.ones(4),
  },
  'batch_stats': {'a': {'stem': {'m': np.zeros(2)}}},
}


@pytest.mark.parametrize(
  'frozen, own, left',
  [
    ((), {'a', 'b'}, set()),
    (('b',), {'a'}, {'b'}),
    (('a/stem',), {'a', 'b'}, {'a'}),
    (('a/stem', 'a/rest'), {'b'}, {'a'}),
    (('missing',), {'a', 'b'}, set()),
  ],
)
def test_parts_are_whole_again(frozen, own, left):
  state = init_state(TREE, optax.adam(1.0), frozen)
  assert set(state.params) == own
  assert set(state.frozen['params']) == left
  assert state.variables == TREE


def test_a_frozen_path_has_no_optimizer_state():
  state = init_state(TREE, optax.adam(1.0), ('a/stem',))
  assert set(state.params['a']) == {'rest'}
  assert set(state.opt_state[0].mu['a']) == {'rest'}
  assert state.batch_stats == {} and picked(TREE['batch_stats'], {}) == {}
