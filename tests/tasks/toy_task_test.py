"""A task of one's own: one class, registered by one line, and nothing else.

It says whether a study's images are brighter than the median of training.
"""

import json

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cmn_jax.evaluate import evaluate
from cmn_jax.models.images import as_pixels
from cmn_jax.pages.page import Section
from cmn_jax.predict import main as predict
from cmn_jax.tasks import TASKS
from cmn_jax.train import train
from cmn_jax.training.run import Run
from cmn_jax.training.state import init_variables, study_batch
from cmn_jax.training.task import Task
from configs import base
from input_pipeline import batches
from input_pipeline.phantom.write import write_phantom
from tests.made.runs import assert_same_run, stop_after


class Brightness(nn.Module):
  """A dense layer on the mean of each image."""

  @nn.compact
  def __call__(self, batch, train=False):
    means_BxI = jnp.mean(as_pixels(batch['images_BxIxHxW']), (2, 3, 4))
    return {'logit_B': nn.Dense(1)(means_BxI)[:, 0]}


class ToyTask(Task):
  """See `training.task.Task` for the members."""

  sections = {}
  selectable = ('accuracy',)
  shown = {'accuracy': 'accuracy'}
  unit = 'studies'
  reads_images = True
  frozen = ()

  def __init__(self, config, data, loaded=None):
    self._config, self._data = config, data
    self.model = Brightness()
    self._grey = {}  # mean of each study's images, by split

  def network(self, axis):
    return self.model

  def variables(self, seed):
    c = self._config.data
    return init_variables(
      self.model, seed, study_batch(c.views, c.image_size, c.max_length)
    )

  def targets(self, split, mirrored=False):
    return {
      'bright_B': self._grey_of(split) > np.median(self._grey_of('train'))
    }

  def _grey_of(self, split):
    if split not in self._grey:
      rows = batches.eval_batches(self._data, split, batch_size=1)
      self._grey[split] = np.array([r['images_BxIxHxW'].mean() for r in rows])
    return self._grey[split]

  def losses(self, outputs, batch, step):
    loss_B = optax.sigmoid_binary_cross_entropy(
      outputs['logit_B'], batch['bright_B']
    )
    mask_B = batch['mask_B']
    return {'loss': (1.0, jnp.sum(loss_B * mask_B), jnp.sum(mask_B))}

  def predict(self, variables, batch, full):
    return {'logit': self.model.apply(variables, batch)['logit_B']}

  def score(self, split, rows, full, variables):
    right = (rows['logit'] > 0) == self.targets(split)['bright_B']
    return {'accuracy': float(right.mean()), 'studies': len(right)}

  def predictions(self, split, rows):
    return [self.describe(rows, n) for n in range(len(rows['logit']))]

  def page(self, results, rows, variables):
    return [Section('Scores', f'accuracy {results["accuracy"]}')]

  def lines(self, results):
    return [f'accuracy {results["accuracy"]:.3f}']

  def describe(self, rows, study):
    return {'bright': bool(rows['logit'][study] > 0)}

  def about(self, variables):
    return 'a toy'

  def meta(self):
    return {}


SCORES = {1: 0.1, 2: 0.5, 3: 0.3}  # falls after the second epoch
CHANGES = {
  'data.image_size': 16,
  'data.stored_size': 18,
  'optim.rate': 0.1,
  'optim.schedule': 'cosine',
  'train.batch_size': 4,
  'train.epochs': 3,
  'train.select_by': 'accuracy',
  'eval.batch_size': 4,
}


@pytest.fixture
def toy(tmp_path, monkeypatch):
  """A config of the toy task, registered."""
  monkeypatch.setitem(TASKS, 'toy', ToyTask)
  write_phantom(tmp_path / 'data', studies=30, seed=3, size=32, workers=1)
  folders = {
    'data.dir': str(tmp_path / 'data'),
    'data.cache_dir': str(tmp_path / 'cache'),
  }
  return base.make_config(
    'toy.py', 'toy', CHANGES | folders, {'toy': ('toy', {})}
  ).lock()


def test_a_stopped_run_ends_as_one_that_nobody_stopped(
  toy, tmp_path, monkeypatch, capsys
):
  """The best checkpoint is of the time before the stop, and stays."""
  validate = Run.validate

  def falling(run, state):
    epoch = int(state.step) // run.steps_per_epoch
    return {**validate(run, state), 'accuracy': SCORES[epoch]}

  monkeypatch.setattr(Run, 'validate', falling)
  whole, stopped = tmp_path / 'whole', tmp_path / 'stopped'
  train(toy, whole)
  results = evaluate(toy, whole)
  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    stop_after(patch, epoch=2)
    train(toy, stopped)
  train(toy, stopped)
  evaluate(toy, stopped)
  assert 'continuing' in capsys.readouterr().err
  assert_same_run(stopped, whole)
  assert results['checkpoint']['epoch'] == 2
  assert len(list((whole / 'checkpoints').iterdir())) == 2


def test_it_learns_predicts_and_has_its_page(toy, tmp_path, capsys):
  workdir = tmp_path / 'run'
  train(toy, workdir)
  results = evaluate(toy, workdir)
  written = workdir / 'evaluation' / 'test.json'
  assert json.loads(written.read_text()) == results
  assert results['task'] == 'toy' and results['selected_on'] == 'val accuracy'
  assert f'accuracy {results["accuracy"]}' in (
    workdir / 'report.html'
  ).read_text('utf-8')
  said = json.loads(
    (workdir / 'evaluation' / 'test_predictions.json').read_text()
  )
  capsys.readouterr()
  studies = json.loads((tmp_path / 'data' / 'annotation.json').read_text())
  for study, expected in zip(studies['test'], said, strict=True):
    images = [tmp_path / 'data' / 'images' / p for p in study['image_path']]
    flags = [f'--image={path}' for path in images]
    predict([f'--checkpoint={workdir}', *flags])
    printed = json.loads(capsys.readouterr().out)
    assert printed.pop('unlike_training') in (True, False)
    assert printed == {**expected, 'clinical_use': False}
