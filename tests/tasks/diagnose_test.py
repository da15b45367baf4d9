"""A small classifier of films: trained, stopped, asked, read by others."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from cmn_jax.evaluate import evaluate
from cmn_jax.loaded import Loaded
from cmn_jax.models.ekagen_films import unpacked
from cmn_jax.models.film_classifier import SingleFilmClassifier
from cmn_jax.opening import open_task
from cmn_jax.predict import main as predict
from cmn_jax.scores.decisions import choose_thresholds, youden_thresholds
from cmn_jax.tasks import diagnosis
from cmn_jax.tasks.diagnosis import (
  FilmReader,
  film_labels,
  packed_masks,
)
from cmn_jax.train import train
from cmn_jax.training.checkpoints import CheckpointError
from cmn_jax.training.state import init_variables, study_batch
from configs import phantom
from input_pipeline import batches
from input_pipeline.errors import UserError
from input_pipeline.labels import fold_of
from tests.made import small
from tests.made.runs import LEFT_OUT, assert_same_run, stop_after

CHANGES = {
  'data.phantom_studies': 60,
  'data.phantom_seed': 57,
  'data.phantom_size': 40,
  'data.image_size': 32,
  'data.stored_size': 36,
  'data.views': 2,
  'model.encoder_width': 4,
  'optim.warmup_steps': 2,
  'train.batch_size': 8,
  'train.epochs': 2,
  'eval.batch_size': 8,
  'eval.bootstrap': 10,
}


def _config(root, **changes):
  config = phantom.get_config('ekagen_locator')
  folders = {
    'data.dir': str(root / 'data'),
    'data.cache_dir': str(root / 'cache'),
    'model.encoder': small.add_tiny_encoder(),
    'classifier.leave_out': LEFT_OUT,
  }
  config.update_from_flattened_dict({**CHANGES, **folders, **changes})
  return config.lock()


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  """A folder with a trained run."""
  root = tmp_path_factory.mktemp('diagnose')
  train(_config(root), root / 'run')
  evaluate(_config(root), root / 'run')
  return root


@pytest.fixture
def loaded(root):
  return Loaded.load(root / 'run')


def test_a_stopped_run_ends_with_the_same_bits(root, tmp_path, monkeypatch):
  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    stop_after(patch, epoch=1)
    train(_config(root), tmp_path)
  train(_config(root), tmp_path)
  evaluate(_config(root), tmp_path)
  assert_same_run(tmp_path, root / 'run')


def test_predict_prints_what_the_evaluation_said(root, capsys):
  test = json.loads((root / 'run' / 'evaluation' / 'test.json').read_text())
  assert test['task'] == 'diagnose' and 'report_model' not in test
  assert 'auroc_macro' in test and test['inputs'] == 'image'
  path = root / 'run' / 'evaluation' / 'test_predictions.json'
  row = json.loads(path.read_text())[0]
  films = root / 'data' / 'images' / row['id']
  predict([f'--checkpoint={root / "run"}', f'--image={films / "0.png"}'])
  said = json.loads(capsys.readouterr().out)
  for name, probability in row['probabilities'].items():
    assert said[name]['probability'] == pytest.approx(probability, abs=1e-3)
    bound = test['per_class'][name]['threshold']
    assert said[name]['found'] == (said[name]['probability'] >= bound)


@pytest.mark.parametrize('rule', ['f1', 'youden'])
def test_thresholds_are_best_by_the_rule_that_is_named(root, rule):
  task, _ = open_task(_config(root, **{'classifier.thresholds': rule}))
  known = task.labels.known['val']
  rng = np.random.default_rng(0)
  probability = rng.uniform(size=known.shape).astype(np.float32)
  task.score('val', {'probability': probability}, False, {})
  best = {'f1': choose_thresholds, 'youden': youden_thresholds}[rule]
  want = best(task.labels.present['val'], known, probability)
  np.testing.assert_array_equal(task.thresholds_C, want)


def test_findings_share_a_threshold_and_no_finding_has_its_own(root):
  task, _ = open_task(_config(root, **{'classifier.thresholds': 'micro_f1'}))
  present, known = task.labels.present['val'], task.labels.known['val']
  rng = np.random.default_rng(0)
  probability = rng.uniform(size=known.shape).astype(np.float32)
  task.score('val', {'probability': probability}, False, {})
  finding = np.array([name != 'No Finding' for name in task.classes])
  (shared,) = set(task.thresholds_C[finding])
  truth = present[:, finding][known[:, finding]]
  p = probability[:, finding][known[:, finding]]

  def f1(said):
    return 2 * (said & truth).sum() / (said.sum() + truth.sum())

  assert f1(p >= shared) == pytest.approx(max(f1(p >= cut) for cut in p))
  own = choose_thresholds(present, known, probability)[~finding]
  np.testing.assert_array_equal(task.thresholds_C[~finding], own)


def test_classes_without_positives_do_not_spoil_the_score(root, loaded):
  """Which selects the checkpoint, though few classes are in validation."""
  path = root / 'run' / 'evaluation' / 'val.json'
  areas = [
    c['auroc'] for c in json.loads(path.read_text())['per_class'].values()
  ]
  assert None in areas
  assert 0 < loaded.meta['score'] <= 1


def test_each_film_is_seen_by_itself():
  model = SingleFilmClassifier(small.add_tiny_encoder(), 4, 3)
  variables = init_variables(model, 0, study_batch(2, 32, 8))
  batch = small.batch(3, size=32)
  logits = model.apply(variables, batch, False)['logits']
  other = {**batch, 'images_BxIxHxW': batch['images_BxIxHxW'].copy()}
  other['images_BxIxHxW'][:, 1] = 0
  np.testing.assert_array_equal(
    model.apply(variables, other, False)['logits'], logits
  )
  seen, _ = model.apply(variables, batch, True, mutable=['batch_stats'])
  assert logits.shape == (3, 3) and seen['logits'].shape == (6, 3)


def _without_a_first_film():
  """Studies of which one has its second film alone, and that one as first."""
  batch = small.batch(3, size=32)
  batch['mask_BxI'][1] = [False, True]
  batch['images_BxIxHxW'][1, 0] = 0
  images = batch['images_BxIxHxW'].copy()
  images[1, 0] = images[1, 1]
  there = np.ones((3, 2), bool)
  return batch, {**batch, 'images_BxIxHxW': images, 'mask_BxI': there}


def test_a_study_without_its_first_film_is_read_by_the_next():
  model = SingleFilmClassifier(small.add_tiny_encoder(), 4, 3)
  variables = init_variables(model, 0, study_batch(2, 32, 8))
  read = jax.jit(lambda batch: model.apply(variables, batch, False)['logits'])
  batches_ = _without_a_first_film()
  np.testing.assert_array_equal(*map(read, batches_))

  def encoded(batch):
    rest = {k: x for k, x in batch.items() if k != 'images_BxIxHxW'}
    features = variables['params']['head']['kernel'].shape[0]
    maps = batch['images_BxIxHxW'][:, :, ::8, ::8, None] / np.ones(features)
    return {**rest, 'maps_BxIxhxwxF': maps.astype(np.float32)}

  np.testing.assert_array_equal(*(read(encoded(x)) for x in batches_))


def test_labels_and_masks_are_of_the_first_film_that_is_there(
  loaded, monkeypatch
):
  def of(batch):
    monkeypatch.setattr(
      diagnosis.precomputed, 'of_images', lambda *a: a[-1](a[-2], batch)
    )
    probability = diagnosis.film_probabilities(loaded, None, None, 'test')
    return probability, packed_masks(loaded, None, None, 'test', 'jet')

  one, other = map(of, _without_a_first_film())
  jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_film_that_a_study_has_not_teaches_nothing(root):
  task, _ = open_task(_config(root))
  classes = len(task.classes)
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 2, (2, classes)).astype(np.float32)
  batch = {
    'labels_BxC': labels,
    'known_BxC': np.ones((2, classes), bool),
    'mask_B': np.ones(2, bool),
    'mask_BxI': np.array([[True, True], [True, False]]),
  }
  logits = rng.normal(size=(4, classes))
  _, total, count = task.losses({'logits': logits}, batch, 0)['loss']
  wanted = np.logaddexp(0, logits) - logits * labels[[0, 0, 1, 1]]
  assert count == 3 * classes
  assert float(total) == pytest.approx(wanted[:3].sum(), rel=1e-5)


def test_labels_and_masks_of_a_data_set_are_those_of_films_at_hand(
  root, loaded
):
  """From films of the captioner's own size, and from the cache."""
  sizes = {'data.image_size': 48, 'data.stored_size': 48}
  config = _config(root, **sizes)
  data = open_task(config)[1]
  reader = FilmReader.of(loaded.meta)
  for split in ('val', 'test'):
    for _ in range(2):
      labels = film_labels(loaded, config, data, split)
      packed = packed_masks(loaded, config, data, split, 'jet')['packed']
    masks = unpacked(packed, 48)
    assert masks.shape == (len(data.studies[split]), 48, 48)
    films = next(batches.eval_batches(data, split, batch_size=len(masks)))
    films = films['images_BxIxHxW'][:, 0]
    np.testing.assert_array_equal(
      reader.labels(loaded.variables, films), labels
    )
    np.testing.assert_array_equal(
      reader.masks(loaded.variables, films, 'jet'), masks
    )
    assert masks.any()


def test_folds_say_what_they_have_not_learnt(root, loaded):
  config = _config(root, **{'classifier.fold': '1/2'})
  task, data = open_task(config)
  fold_S = fold_of(data.studies['train'], 2)
  assert 5 < fold_S.sum() < len(fold_S) - 5
  known = task.targets('train')['known_BxC']
  assert known.any(axis=1).tolist() == (fold_S == 1).tolist()
  assert task.targets('val')['known_BxC'].all()
  with pytest.raises(CheckpointError, match="'1/1' is wanted"):
    film_labels(loaded, config, data, 'train', folds=[loaded])
  meta = {**loaded.meta, 'config': {**loaded.meta['config']}}
  folds = []
  for n, shift in enumerate((-100.0, 100.0)):
    section = {**meta['config']['classifier'], 'fold': f'{n + 1}/2'}
    own = {**meta, 'config': {**meta['config'], 'classifier': section}}
    head = loaded.variables['params']['head']
    head = {**head, 'bias': head['bias'] + np.float32(shift)}
    params = {**loaded.variables['params'], 'head': head}
    folds.append(Loaded({**loaded.variables, 'params': params}, own, str(n)))
  said = film_labels(loaded, config, data, 'train', folds)
  assert said.all(axis=1).tolist() == (fold_S == 1).tolist()


@pytest.mark.parametrize(
  'changes, says',
  [
    ({'classifier.task': 'single_label'}, "has 'multi_label' alone"),
    ({'classifier.inputs': 'image+generated'}, "has 'image' alone"),
    ({'classifier.fold': '3/2'}, "such as '2/5'"),
    ({'classifier.thresholds': '0.5'}, 'choose from f1, youden, micro_f1'),
    ({'model.encoder': 'resnet19'}, 'model.encoder is'),
    ({'train.select_by': 'bleu_4'}, 'auroc_macro'),
  ],
)
def test_mistakes_are_named_before_training(root, tmp_path, changes, says):
  with pytest.raises(UserError, match=says) as error:
    train(_config(root, **changes), tmp_path / 'run')
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'run').exists()


def test_other_classes_and_other_tasks_are_refused(root, loaded):
  task, _ = open_task(_config(root))
  names = loaded.meta['diagnosis']['classes']
  about = {**loaded.meta['diagnosis'], 'classes': names[::-1]}
  with pytest.raises(CheckpointError, match='the same in another order'):
    task.check({'diagnosis': about}, root)
  with pytest.raises(CheckpointError, match="task 'report' trained"):
    FilmReader.of({'task': 'report'})
  about = {**loaded.meta['diagnosis'], 'thresholds': None}
  between = dataclasses.replace(
    loaded, meta={**loaded.meta, 'diagnosis': about}, origin='run/7'
  )
  with pytest.raises(CheckpointError, match='run/7 was saved between valid'):
    packed_masks(between, None, None, 'test')
