"""A frozen encoder, and reports by consensus of its features."""

import json

import jax
import numpy as np
import pytest

from cmn_jax.evaluate import evaluate
from cmn_jax.loaded import Loaded
from cmn_jax.opening import open_task
from cmn_jax.predictor import Predictor
from cmn_jax.train import train
from input_pipeline.errors import UserError

FROZEN = {'train.freeze': 'visual_encoder', 'train.epochs': 1}


def _predictions(workdir):
  path = workdir / 'evaluation' / 'test_predictions.json'
  return json.loads(path.read_text())


def test_a_frozen_encoder_stays_and_the_rest_learns(runs, tmp_path):
  config = runs.config('cmn', **FROZEN)
  task, _ = open_task(config)
  start = jax.tree.map(np.array, task.variables(config.seed))
  train(config, tmp_path)
  after = Loaded.load(tmp_path).variables
  for kind in ('params', 'batch_stats'):
    jax.tree.map(
      np.testing.assert_array_equal,
      after[kind]['visual_encoder'],
      start[kind]['visual_encoder'],
    )
  before, now = (x['params']['logits']['kernel'] for x in (start, after))
  assert np.abs(now - before).max() > 0
  results = evaluate(config, tmp_path)
  # The same from images as from what was computed once.
  predictor = Predictor(Loaded.load(tmp_path))
  study = task._data.studies['test'][0]
  rows = _predictions(tmp_path)
  assert predictor.describe(study.films)['report'] == rows[0]['prediction']
  assert results['config']['train.freeze'] == 'visual_encoder'


def _maps(config):
  task, _ = open_task(config)
  task.variables(config.seed)
  return task.targets('val')['maps_BxIxhxwxF']


def test_maps_are_of_the_images_as_they_are_streamed(runs):
  def maps(side):
    sizes = {'data.image_size': side, 'data.stored_size': side}
    config = runs.config('cmn', **FROZEN, **{'data.stream': True, **sizes})
    return _maps(config)

  assert maps(64).shape[2] == 2 * maps(32).shape[2]


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 cut off'])
def test_a_damaged_file_is_computed_anew(runs, tmp_path, capsys, content):
  config = runs.config('cmn', **FROZEN)
  cache = {'data.cache_dir': str(tmp_path), 'data.stream': True}
  config.update_from_flattened_dict(cache)
  maps = [_maps(config)]
  (path,) = (tmp_path / 'precomputed').iterdir()
  path.write_bytes(content)
  maps += [_maps(config)]
  np.testing.assert_array_equal(*maps)
  assert f'{path} is damaged' in capsys.readouterr().err


@pytest.mark.parametrize(
  'changes, says',
  [
    ({'train.freeze': 'decoder'}, "train.freeze is 'decoder'"),
    ({**FROZEN, 'data.flip_with_text': True}, 'data.flip_with_text=False'),
  ],
)
def test_what_cannot_be_frozen_is_named(runs, changes, says):
  with pytest.raises(UserError, match=says):
    open_task(runs.config('cmn', **changes))


def test_consensus_writes_what_training_has(runs):
  results = runs.results('consensus')
  predictions = runs.predictions('consensus')
  loaded = Loaded.load(runs.root / 'consensus')
  assert results['task'] == 'consensus' and 'retrieval' not in results
  for row in predictions:
    assert row['prediction'] in loaded.meta['candidates']
  predictor = Predictor(loaded)
  task, data = open_task(runs.config('consensus'), loaded)
  said = predictor.describe(data.studies['test'][0].films)
  assert said['report'] == predictions[0]['prediction']
  # Of the candidates, the one that states what is found.
  stated = task._reader.labels_of_text(said['report'])
  found = {name for name, p in said['findings'].items() if p > 0.16}
  if max(said['findings'].values()) <= 0.22:
    found = set()
  worst = [len(task._reader.labels_of_text(c) ^ found) for c in task.candidates]
  assert len(stated ^ found) == min(worst)
