"""Findings as prompts: true ones in training, a classifier's afterwards."""

import json

import jax
import numpy as np
import pytest

from cmn_jax.evaluate import evaluate
from cmn_jax.loaded import Loaded
from cmn_jax.models.images import images_of
from cmn_jax.opening import open_task
from cmn_jax.predictor import Predictor
from cmn_jax.reporter import Reporter
from cmn_jax.train import train
from cmn_jax.training.studies import StudyBatches
from input_pipeline.config import DataConfig
from input_pipeline.errors import UserError

FROZEN = {'train.freeze': 'visual_encoder', 'train.epochs': 1}
PROMPTED = {
  **FROZEN,
  'model.prompts': 'findings',
  'train.abnormal_share': 0.75,
  # Some are stated, whatever so few studies teach.
  'consensus.stated_above': 0.3,
  'consensus.study_above': 0.4,
}


def _first_batch(task, data, config, split):
  augmentation = DataConfig(**config.data).augmentation
  return next(StudyBatches(task, data, config, augmentation).split(split))


@pytest.fixture(scope='module')
def prompted(runs, tmp_path_factory):
  """A small prompted run, its config and its results."""
  workdir = tmp_path_factory.mktemp('prompted')
  config = runs.config('cmn', **PROMPTED)
  train(config, workdir)
  return workdir, config, evaluate(config, workdir)


def test_a_checkpoint_holds_its_classifier(prompted):
  workdir, config, results = prompted
  loaded = Loaded.load(workdir)
  _, data = open_task(config, loaded)
  file = workdir / 'evaluation' / 'test_predictions.json'
  predictions = json.loads(file.read_text())
  # The same from images alone as from what was computed once.
  predictor, reporter = Predictor(loaded), Reporter(loaded)
  for n in (0, 1):
    films = data.studies['test'][n].films
    said = predictor.describe(films)['report']
    assert said == predictions[n]['prediction']
    report = reporter.report(films)
    assert report.text == said
    # A word looks at patches; the prompts are none.
    assert report.attention.shape[1] == len(films)
  assert results['config']['model.prompts'] == 'findings'


def test_the_template_says_what_is_prompted(prompted):
  workdir, config, results = prompted
  task, data = open_task(config, Loaded.load(workdir))
  stated = task.found('test', {})
  assert any(stated) and len(stated) == len(data.studies['test'])
  names = {'constant', 'retrieval', 'template', 'nearest_features'}
  assert results['baselines'].keys() == names
  assert results['paired'].keys() == {'constant', 'template'}
  bleu_4 = results['paired']['template']['bleu_4']
  assert bleu_4['difference'] == pytest.approx(
    results['bleu_4'] - results['baselines']['template']['bleu_4']
  )
  low, high = bleu_4['interval']
  assert low <= bleu_4['difference'] <= high


def test_training_prompts_with_what_reports_state(prompted):
  workdir, config, _ = prompted
  loaded = Loaded.load(workdir)
  task, data = open_task(config, loaded)
  labels = [
    task._reader.labels_of_study(study) for study in data.studies['train']
  ]
  stated_SxG = task.targets('train')['stated_BxG']
  for study, row in zip(labels, stated_SxG, strict=True):
    names = {n for n, s in zip(task.prompted, row, strict=True) if s}
    assert names == study
  # Later it is the classifier's word, by the films.
  batch = _first_batch(task, data, config, 'val')
  pooled = task.model.config.opinion
  assert batch['stated_BxG'].shape[1] == pooled.classes
  truth = [task._reader.labels_of_study(s) for s in data.studies['val']]
  assert task.found('val', {}) != truth


def test_prompts_change_the_words_and_steps_leave_the_classifier(prompted):
  workdir, config, _ = prompted
  loaded = Loaded.load(workdir)
  task, data = open_task(config)
  start = task.variables(config.seed)
  for name in ('opinion', 'visual_encoder'):
    jax.tree.map(
      np.testing.assert_array_equal,
      loaded.variables['params'][name],
      start['params'][name],
    )
  learned, begun = (
    x['params']['prompt_embed'] for x in (loaded.variables, start)
  )
  assert np.abs(learned - begun).max() > 0
  batch = _first_batch(task, data, config, 'val')
  assert images_of(batch).stated is batch['stated_BxG']
  model = task.network(None)
  none, everything = (
    model.apply(
      loaded.variables,
      {**batch, 'stated_BxG': np.full_like(batch['stated_BxG'], stated)},
    )['log_probs']
    for stated in (False, True)
  )
  assert np.abs(none - everything).max() > 1e-3


def test_abnormal_studies_are_drawn_oftener(runs):
  task, data = open_task(runs.config('cmn', **{'train.abnormal_share': 0.75}))
  shares_S = task.sampling()
  abnormal_S = np.array(
    [bool(task._reader.labels_of_study(s)) for s in data.studies['train']]
  )
  assert shares_S.sum() == pytest.approx(1)
  assert shares_S[abnormal_S].sum() == pytest.approx(0.75)
  assert len({*shares_S[abnormal_S].round(9)}) == 1
  assert open_task(runs.config('cmn'))[0].sampling() is None


@pytest.mark.parametrize(
  'changes, says',
  [
    ({'model.prompts': 'findings'}, "set train.freeze='visual_encoder'"),
    ({**FROZEN, 'model.prompts': 'words'}, "model.prompts is 'words'"),
    ({'train.abnormal_share': 1.5}, r'abnormal_share is 1\.5'),
  ],
)
def test_what_does_not_fit_is_named(runs, changes, says):
  with pytest.raises(UserError, match=says):
    open_task(runs.config('cmn', **changes))[0].sampling()


def test_a_findings_head_finds_by_thresholds_of_validation(runs):
  task, data = open_task(runs.config('cmn'))
  assert task.found('test', {}) is None
  truth = [task._reader.labels_of_study(s) for s in data.studies['val']]
  order = task._reader.classes
  wanted = sorted(set().union(*truth), key=order.index)[:2]
  # A place is no class of its own.
  task.finding_targets = ['left thing', *wanted[::-1]]
  likely_SxL = np.array(
    [[0.5, *(0.1 + 0.2 * (n in t) for n in wanted[::-1])] for t in truth]
  )
  assert task.found('val', {'probability': likely_SxL}) == [
    names & {*wanted} for names in truth
  ]
  # What is found in test is cut where validation was.
  rows = {'probability': np.array([[0.9, 0.21, 0.0], [0.9, 0.19, 0.0]])}
  assert task.found('test', rows) == [{wanted[1]}, set()]


def test_the_consensus_has_the_nearest_by_features_and_a_test(runs):
  results = runs.results('consensus')
  assert {'template', 'nearest_features'} <= results['baselines'].keys()
  assert results['paired'].keys() == {'constant', 'template'}
  # Of drawn images the labels are the program's own.
  assert not [key for key in results if key.endswith('_iu')]
