"""A trace of some steps, and training on one made-up batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cmn_jax.evaluate import evaluate
from cmn_jax.train import train
from cmn_jax.training import trace
from cmn_jax.training.trace import StepTrace
from input_pipeline import images
from input_pipeline.errors import UserError
from tests.made.runs import STEPS, config_of


@pytest.mark.parametrize(
  'steps', ['10', '5:5', '7:3', 'a:b', '-1:3', '0:101', '3:', '1:2:3']
)
def test_wrong_steps_are_one_sentence(tmp_path, steps):
  with pytest.raises(UserError, match=f"^train.profile is '{steps}': expected"):
    StepTrace(steps, 100, tmp_path)


def _run(traced: StepTrace, first: int, end: int) -> None:
  for step in range(first, end):
    with traced.step(step, jnp.ones(())):
      pass
  traced.turn(end, jnp.ones(()))


@pytest.mark.parametrize(
  'steps, first, written',
  [('2:4', 0, (2, 4)), ('2:4', 3, (3, 4)), ('2:4', 4, None), ('', 0, None)],
)
def test_just_these_steps(tmp_path, monkeypatch, steps, first, written):
  at, seen = [], []
  monkeypatch.setattr(
    jax.profiler, 'start_trace', lambda folder: seen.append(at[-1])
  )
  monkeypatch.setattr(jax.profiler, 'stop_trace', lambda: seen.append(at[-1]))
  turn = StepTrace.turn

  def watched(self, step, state):
    at.append(step)
    turn(self, step, state)

  monkeypatch.setattr(trace.StepTrace, 'turn', watched)
  _run(StepTrace(steps, 10, tmp_path), first, 10)
  assert seen == list(written or ())


def test_a_made_up_batch(tmp_path, monkeypatch, capfd):
  def read_film(path):
    raise AssertionError(f'{path} was read')

  workdir = tmp_path / 'run'
  # The step of the shared run, which is compiled once for both.
  changes = {'data.synthetic': True, 'train.profile': '8:10'}
  config = config_of(tmp_path, 'proposed', **changes)
  monkeypatch.setattr(images, 'read_film', read_film)
  train(config, workdir)
  assert evaluate(config, workdir) is None
  said = capfd.readouterr().err
  assert 'the same batch of made-up films; nothing is validated' in said
  assert 'a step' in said and 'nothing is evaluated' in said
  assert f'xprof --logdir={workdir}/profile' in said
  (space,) = (workdir / 'profile').rglob('*.xplane.pb')
  assert b'train' in space.read_bytes()
  left = {p.name.split('.')[0] for p in workdir.glob('[!.]*')}
  assert left == {'profile', 'events'}
  assert STEPS < 8 < 2 * STEPS


def test_every_step_has_that_batch(tmp_path):
  from cmn_jax.opening import open_task
  from cmn_jax.training.studies import StudyBatches
  from input_pipeline.data import DataConfig

  def first_two(**changes):
    config = config_of(tmp_path, 'cmn', **changes)
    task, data = open_task(config)
    augmentation = DataConfig(**config.data).augmentation
    batches = StudyBatches(task, data, config, augmentation).train(0)
    return next(batches), next(batches)

  one, two = first_two(**{'data.synthetic': True})
  jax.tree.map(np.testing.assert_array_equal, one, two)
  real, other = first_two()
  assert (real['images_BxIxHxW'] != other['images_BxIxHxW']).any()
  for batch in (real, one):
    assert batch['mask_B'].all()

  def form(batch):
    return {name: (x.shape, x.dtype) for name, x in batch.items()}

  assert form(real) == form(one)
