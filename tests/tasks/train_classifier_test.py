"""Small classifiers from an untrained report model, and users' mistakes."""

import json
import shutil

import jax
import numpy as np
import pytest
from cmn_jax.dataset import open_dataset
from cmn_jax.evaluate_classifier import evaluate_classifier
from cmn_jax.train_classifier import ClassifierTrainer, train_classifier

from cmn_jax.models.config import ModelConfig
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.predict import Reporter, print_report
from cmn_jax.training.checkpoints import (
  CheckpointError,
  find_step,
  load_model,
  make_meta,
  save_model,
)
from cmn_jax.training.state import init_variables, study_batch
from configs import phantom
from input_pipeline.labels import or_no_finding
from input_pipeline.phantom.write import write_phantom

SMALL = {
  'data.phantom_studies': 0,
  'data.image_size': 32,
  'data.stored_size': 36,
  'model.encoder_width': 4,
  'model.memory_slots': 32,
  'model.memory_top_k': 8,
  'model.width': 16,
  'model.heads': 2,
  'model.hidden': 16,
  'model.layers': 1,
  'train.batch_size': 16,
  'eval.batch_size': 16,
  'eval.bootstrap': 10,
  'decode.beam_size': 2,
}
# Too rare for sixty studies.
WITHOUT = (
  'fracture,pleural thickening,hiatal hernia,catheter,pneumothorax,edema'
)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """Sixty studies, and an untrained report model for them."""
  root = tmp_path_factory.mktemp('classifiers')
  write_phantom(root / 'data', studies=60, seed=3, size=48, workers=2)
  config = _config(root, 'cmn')
  data = open_dataset(config)
  model = ReportGenerator(ModelConfig.of(config, data.tokenizer.vocab_size + 1))
  variables = init_variables(model, 0, study_batch(2, 32, 60))
  meta = make_meta(
    config,
    data.tokenizer,
    dataset=data.name,
    label_source='phantom',
    history=[],
  )
  save_model(root / 'report', jax.tree.map(np.asarray, variables), meta)
  return root


def _config(root, variant='classifier', **changes):
  config = phantom.get_config(variant)
  config.update_from_flattened_dict(
    {
      **SMALL,
      'data.dir': str(root / 'data'),
      'data.cache_dir': str(root / 'cache'),
      'classifier.checkpoint': str(root / 'report'),
      'classifier.leave_out': WITHOUT,
      'classifier.hidden': 8,
      'train.epochs': 2,
      **changes,
    }
  )
  return config


def _run(root, name, **changes):
  config = _config(root, **changes)
  train_classifier(config, str(root / name))
  return evaluate_classifier(config, str(root / name))


@pytest.fixture(scope='module')
def frozen(folders):
  """Scores of a classifier on a frozen model and its reports."""
  changes = {'classifier.inputs': 'image+generated'}
  return _run(folders, 'frozen', **changes)


def test_what_a_run_leaves(folders, frozen):
  workdir = folders / 'frozen'
  test = json.loads((workdir / 'evaluation' / 'test.json').read_text())
  assert test == frozen
  assert test['inputs'] == 'image+generated' and test['task'] == 'multi_label'
  for key in (
    'precision_weighted recall_weighted f1_weighted f1_macro micro_f1 '
    'auroc_macro per_class calibration dataset variant seed'
  ).split():
    assert key in test, key
  assert set(test['baselines']) == {'always_no_finding', 'report_by_rules'}
  assert test['baselines']['always_no_finding']['micro_f1'] == 0
  rows = json.loads(
    (workdir / 'evaluation' / 'test_predictions.json').read_text()
  )
  assert len(rows) == test['studies']
  thresholds = {k: v['threshold'] for k, v in test['per_class'].items()}
  for row in rows:
    said = [k for k, p in row['probabilities'].items() if p >= thresholds[k]]
    assert len(set(said) ^ set(row['predicted'])) <= 1  # rounded to 4 places
  # The report model is in the checkpoint, to the bit.
  variables, _ = load_model(find_step(workdir))
  report, _ = load_model(find_step(folders / 'report'))
  jax.tree.map(
    np.testing.assert_array_equal,
    variables['params']['report'],
    report['params'],
  )


def test_predict_tells_what_the_evaluation_found(folders, frozen, capsys):
  data = open_dataset(_config(folders))
  study = data.studies['test'][0]
  rows = json.loads(
    (folders / 'frozen' / 'evaluation' / 'test_predictions.json').read_text()
  )
  row = next(row for row in rows if row['id'] == study.id)
  reporter = Reporter.load(folders / 'frozen')
  report = reporter.report(study.films)
  for opinion in report.opinions:
    expected = row['probabilities'][opinion.name]
    assert opinion.probability == pytest.approx(expected, abs=1e-3)
    assert opinion.in_report == (
      opinion.name in or_no_finding({f.name for f in report.findings})
    )
  print_report(reporter, study.films, report, as_json=False)
  printed = capsys.readouterr().out
  assert printed.startswith('films:')
  # A path stays whole, on a line of its own.
  assert all(
    len(line) <= 80 or len(line.removeprefix('films:').split()) == 1
    for line in printed.splitlines()
  )
  disputed = [opinion.name for opinion in report.opinions if opinion.disputed]
  assert disputed  # an untrained model writes what it likes
  for name in disputed:
    line = next(x for x in printed.splitlines() if x.startswith(f'  {name} '))
    assert 'REPORT' in line
  with pytest.raises(CheckpointError, match='holds a report model'):
    Reporter.load(folders / 'report', folders / 'report')


def test_a_stopped_run_ends_with_the_same_bits(folders, frozen, monkeypatch):
  config = _config(folders, **{'classifier.inputs': 'image+generated'})
  workdir = folders / 'stopped'
  validate = ClassifierTrainer.validate

  def stop_at_the_second(run, state):
    if int(state.step) > run.steps_per_epoch:
      raise KeyboardInterrupt
    return validate(run, state)

  with monkeypatch.context() as patch:
    patch.setattr(ClassifierTrainer, 'validate', stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
      train_classifier(config, str(workdir))
  train_classifier(config, str(workdir))
  steps = sorted(p.name for p in (workdir / 'checkpoints').iterdir())
  got, meta = load_model(workdir / 'checkpoints' / steps[-1])
  want, whole = load_model(folders / 'frozen' / 'checkpoints' / steps[-1])
  jax.tree.map(np.testing.assert_array_equal, got, want)
  assert meta['history'] == whole['history']


def test_fine_tuned_with_a_single_label(folders):
  test = _run(
    folders,
    'tuned',
    **{
      'classifier.finetune': True,
      'classifier.task': 'single_label',
      'classifier.balanced_sampling': True,
      'train.epochs': 1,
    },
  )
  matrix = np.array(test['confusion_matrix'])
  assert matrix.sum() == test['studies']
  assert np.trace(matrix) / matrix.sum() == pytest.approx(
    test['recall_weighted']
  )
  variables, _ = load_model(find_step(folders / 'tuned'))
  report, _ = load_model(find_step(folders / 'report'))
  for name in ('params', 'batch_stats'):
    moved = [
      np.any(x != y)
      for x, y in zip(
        jax.tree.leaves(variables[name]['report']['visual_encoder']),
        jax.tree.leaves(report[name]['visual_encoder']),
        strict=True,
      )
    ]
    assert all(moved)


@pytest.mark.parametrize(
  'changes, says',
  [
    ({'classifier.checkpoint': ''}, 'classifier.checkpoint is empty'),
    ({'classifier.checkpoint': '/nonexistent'}, 'no checkpoint in'),
    ({'classifier.inputs': 'report'}, r'image\+generated'),
    (
      {'classifier.labels': 'rules', 'classifier.leave_out': ''},
      r"Consolidation.*: no positive among the 52 .*'rules'",
    ),
    ({'train.select_by': 'bleu_4'}, 'micro_f1, f1_macro'),
    ({'data.min_count': 5}, 'not the same ones'),
    ({'data.image_size': 28}, 'trained with 32: set'),
  ],
)
def test_mistakes_are_told_before_training(folders, tmp_path, changes, says):
  with pytest.raises(ValueError, match=says):
    train_classifier(_config(folders, **changes), str(tmp_path / 'run'))
  assert not (tmp_path / 'run').exists()


def test_checkpoints_that_are_no_report_model(folders, frozen, tmp_path):
  changes = {'classifier.checkpoint': str(folders / 'frozen')}
  with pytest.raises(CheckpointError, match='holds a classifier'):
    train_classifier(_config(folders, **changes), str(tmp_path / 'run'))
  variables, meta = load_model(find_step(folders / 'report'))
  del variables['params']['visual_encoder']
  save_model(tmp_path / 'blind', variables, meta)
  changes = {'classifier.checkpoint': str(tmp_path / 'blind')}
  with pytest.raises(CheckpointError, match=r'no report model .*\d+ arrays'):
    train_classifier(_config(folders, **changes), str(tmp_path / 'run'))
  with pytest.raises(CheckpointError, match='report model, no classifier'):
    evaluate_classifier(_config(folders), str(folders / 'report'))


def test_other_classes_or_another_model_are_not_continued(
  folders, frozen, tmp_path
):
  workdir = tmp_path / 'frozen'
  shutil.copytree(folders / 'frozen', workdir)
  before = sorted(workdir.rglob('*'))
  changes = {'classifier.inputs': 'image+generated'}
  fewer = {**changes, 'classifier.leave_out': f'{WITHOUT},nodule'}
  with pytest.raises(CheckpointError, match=r'only there: nodule'):
    evaluate_classifier(_config(folders, **fewer), str(workdir))
  for name, value in (
    ('classifier.inputs', 'image'),
    ('classifier.task', 'single_label'),
    ('classifier.focal_weight', 0.0),
  ):
    with pytest.raises(CheckpointError, match=rf'another .*{name} was .*, is'):
      other = _config(folders, **{**changes, name: value})
      evaluate_classifier(other, str(workdir))
  with pytest.raises(ValueError, match=r"classifier\.task is 'single'; choose"):
    other = _config(folders, **{'classifier.task': 'single'})
    train_classifier(other, str(tmp_path / 'run'))
  with pytest.raises(CheckpointError, match=r'classifier\.gamma was 2.0, is'):
    other = {**changes, 'classifier.gamma': 1.0}
    train_classifier(_config(folders, **other), str(workdir))
  variables, meta = load_model(find_step(folders / 'report'))
  variables['params']['word_embed'] = variables['params']['word_embed'] + 1
  save_model(tmp_path / 'other', variables, meta)
  other = {**changes, 'classifier.checkpoint': str(tmp_path / 'other')}
  with pytest.raises(CheckpointError, match='has other parameters'):
    train_classifier(_config(folders, **other), str(workdir))
  assert sorted(workdir.rglob('*')) == before
