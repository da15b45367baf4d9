"""The best and the latest checkpoint stay, whoever opens the folder again."""

import jax
import numpy as np
import optax
import pytest

from cmn_jax.training.checkpoints import (
  CheckpointError,
  Checkpoints,
  find_step,
  latest_folder,
  load_meta,
)
from cmn_jax.training.state import init_state
from tests.made.runs import edit_meta

OPTIMIZER = optax.sgd(0.1, momentum=0.9)


def _state(value):
  params = {name: {'w': np.full(3, value)} for name in ('own', 'teacher')}
  variables = {'params': params, 'batch_stats': {'teacher': {'m': np.ones(2)}}}
  return init_state(variables, OPTIMIZER, frozen=('teacher',))


def _save(workdir, scores, reopened):
  """Checkpoints 7, 14, ... of so many scores."""
  checkpoints = Checkpoints(workdir)
  for epoch, score in enumerate(scores, start=1):
    if reopened:
      checkpoints.close()
      checkpoints = Checkpoints(workdir)
    history = [{'epoch': epoch, 'val': {'bleu_4': score}}]
    meta = {'format': 3, 'history': history, 'score': score}
    meta['config'] = {'train': {'select_by': 'bleu_4'}}
    checkpoints.save(7 * epoch, _state(float(epoch)), meta)
  checkpoints.close()


def _steps(workdir):
  return sorted(int(p.name) for p in (workdir / 'checkpoints').iterdir())


@pytest.mark.parametrize('reopened', [False, True])
@pytest.mark.parametrize(
  'scores, steps, best',
  [
    ((0.1, 0.5, 0.3), [14, 21], 14),
    ((0.1, 0.5, 0.3, 0.5), [14, 28], 14),  # the first of those that score best
    ((0.1, 0.2, 0.3), [21], 21),
  ],
)
def test_best_and_latest_stay(tmp_path, scores, steps, best, reopened):
  _save(tmp_path, scores, reopened)
  assert _steps(tmp_path) == steps
  assert find_step(tmp_path).name == str(best)
  assert latest_folder(tmp_path).name == str(steps[-1])


def test_a_meta_without_a_score_has_that_of_its_history(tmp_path):
  _save(tmp_path, (0.1, 0.5, 0.3), reopened=False)
  edit_meta(tmp_path, lambda meta: {k: meta[k] for k in meta if k != 'score'})
  assert find_step(tmp_path).name == '14'


def test_a_restored_state_is_the_saved_one(tmp_path):
  """What is not trained has no optimizer's state, and comes back too."""
  _save(tmp_path, (0.1,), reopened=False)
  checkpoints = Checkpoints(tmp_path)
  restored = checkpoints.restore(7, OPTIMIZER, frozen=('teacher',))
  checkpoints.close()
  state = _state(1.0)
  assert set(state.params) == {'own'}
  assert set(state.frozen['params']) == {'teacher'}
  assert jax.tree.structure(restored) == jax.tree.structure(state)
  jax.tree.map(np.testing.assert_array_equal, restored, state)


def test_a_format_of_the_future_is_refused(tmp_path):
  _save(tmp_path, (0.1,), reopened=False)
  edit_meta(tmp_path, lambda meta: {**meta, 'format': 99})
  with pytest.raises(CheckpointError, match='of format 99, this version reads'):
    load_meta(find_step(tmp_path))


def test_where_nothing_is(tmp_path):
  assert latest_folder(tmp_path) is None
  with pytest.raises(CheckpointError, match=f'no checkpoint in {tmp_path}'):
    find_step(tmp_path)
  _save(tmp_path, (0.1,), reopened=False)
  with pytest.raises(CheckpointError, match=r'of step 8 in .*\[7\]'):
    find_step(tmp_path, step=8)
