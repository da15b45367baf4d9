"""The best and the latest checkpoint stay, whoever opens the folder again."""

import errno
import json
import shutil
import threading

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from cmn_jax.loaded import Loaded
from cmn_jax.training.checkpoints import (
  CheckpointError,
  find_step,
  latest_folder,
  load_meta,
  load_model,
)
from cmn_jax.training.saving import Checkpoints, set_aside_damaged
from cmn_jax.training.state import init_state
from input_pipeline.errors import UserError
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
  variables, _ = load_model(find_step(tmp_path))
  restored = checkpoints.restore(variables, OPTIMIZER, frozen=('teacher',))
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


def test_a_folder_of_runs_names_them(tmp_path):
  for name in ('seed_1', 'seed_2'):
    (tmp_path / name / 'checkpoints').mkdir(parents=True)
  said = 'is not one run: name the folder in it, seed_1, seed_2'
  with pytest.raises(CheckpointError, match=said):
    find_step(tmp_path)


@pytest.mark.parametrize(
  'damage, says',
  [
    (lambda step: (step / 'meta' / 'metadata').write_text(''), 'Expecting'),
    (lambda step: shutil.rmtree(step / 'train'), 'it lacks train/'),
    (lambda step: shutil.rmtree(step / 'model' / 'd'), '14'),
    (lambda step: [shutil.rmtree(step), step.mkdir()], 'it lacks model'),
  ],
)
def test_a_damaged_newest_checkpoint_is_set_aside(
  tmp_path, capsys, damage, says
):
  _save(tmp_path, (0.5, 0.3), reopened=False)
  damage(tmp_path / 'checkpoints' / '14')
  set_aside_damaged(tmp_path)
  err = capsys.readouterr().err
  assert f'{tmp_path}/checkpoints/14 is damaged' in err and says in err
  assert _steps(tmp_path) == [7]
  (aside,) = (tmp_path / 'damaged_checkpoints').iterdir()
  assert aside.name.startswith('14-')
  checkpoints = Checkpoints(tmp_path)
  assert checkpoints.latest_step == 7
  checkpoints.save(14, _state(2.0), {'format': 3, 'score': 0.4})
  checkpoints.close()
  assert _steps(tmp_path) == [7, 14]


def test_the_next_best_is_read_where_the_best_is_damaged(tmp_path, capsys):
  _save(tmp_path, (0.5, 0.3), reopened=False)
  best, other = (tmp_path / 'checkpoints' / step for step in ('7', '14'))
  shutil.rmtree(best / 'model' / 'd')
  assert Loaded.load(tmp_path).origin == str(other)
  assert (
    f'left out: cannot read the checkpoint {best}' in capsys.readouterr().err
  )
  # Not where it was asked for by name.
  with pytest.raises(CheckpointError, match=f'cannot read .*{best}'):
    Loaded.load(best)
  # Nor is the fault forgotten where none is whole.
  shutil.rmtree(other / 'model' / 'd')
  with pytest.raises(CheckpointError, match=f'cannot read .*{other}'):
    Loaded.load(tmp_path)


def test_a_format_of_the_future_is_not_damage(tmp_path):
  _save(tmp_path, (0.1,), reopened=False)
  edit_meta(tmp_path, lambda meta: {**meta, 'format': 99})
  with pytest.raises(CheckpointError, match='of format 99'):
    set_aside_damaged(tmp_path)
  assert _steps(tmp_path) == [7]


def test_between_validations_only_the_newest_is_kept(tmp_path):
  """Saved without a score, and completed by its validation's."""
  checkpoints = Checkpoints(tmp_path)
  meta = {'format': 3, 'history': []}
  for step in (3, 5):
    checkpoints.save(step, _state(1.0), {**meta, 'score': None})
    checkpoints.wait()
    assert _steps(tmp_path) == [step]
  with pytest.raises(CheckpointError, match='been validated yet'):
    find_step(tmp_path)
  checkpoints.save(5, _state(9.0), {**meta, 'score': 0.2})
  assert load_meta(find_step(tmp_path))['score'] == 0.2
  checkpoints.save(7, _state(1.0), {**meta, 'score': None})
  checkpoints.save(7, _state(1.0), {**meta, 'score': 0.3})
  checkpoints.close()
  assert _steps(tmp_path) == [7]


def test_what_a_kill_left_behind_a_save_goes_when_it_continues(tmp_path):
  """The best and the newest are written; an older one was to be removed."""
  _save(tmp_path, (0.1,), reopened=False)
  shutil.copytree(tmp_path / 'checkpoints' / '7', tmp_path / 'older')
  _save(tmp_path, (0.1, 0.5, 0.3), reopened=True)
  (tmp_path / 'older').rename(tmp_path / 'checkpoints' / '7')
  Checkpoints(tmp_path).close()
  assert _steps(tmp_path) == [14, 21]


def test_what_changes_after_a_save_is_not_in_it(tmp_path, monkeypatch):
  """An epoch's sums grow on while they are written in the background."""
  write, released = ocp.JsonCheckpointHandler._save_fn, threading.Event()

  async def late(handler, item, directory):
    released.wait(30)
    await write(handler, item, directory)

  monkeypatch.setattr(ocp.JsonCheckpointHandler, '_save_fn', late)
  totals = {'loss': (1.0, 1.0)}
  checkpoints = Checkpoints(tmp_path)
  meta = {'score': None, 'partial': {'step': 1, 'totals': totals}}
  checkpoints.save(1, _state(1), meta)
  totals['loss'] = (2.0, 2.0)
  released.set()
  checkpoints.close()
  (file,) = (tmp_path / 'checkpoints' / '1' / 'meta').glob('*metadata')
  assert json.loads(file.read_text())['partial']['totals'] == {'loss': [1, 1]}


def test_a_save_that_fails_is_a_sentence(tmp_path, monkeypatch):
  """As of a full disk: what fails in the background is said at the next."""
  _save(tmp_path, (0.1,), reopened=False)
  checkpoints = Checkpoints(tmp_path)

  def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(ocp.JsonCheckpointHandler, 'save', full)
  monkeypatch.setattr(ocp.JsonCheckpointHandler, 'async_save', full)
  with pytest.raises(UserError, match=r'step 7 is whole.*No space left'):
    checkpoints.save(14, _state(1.0), {'format': 3, 'score': 0.4})
    checkpoints.wait()
