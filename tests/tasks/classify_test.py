"""Small classifiers on the shared report model, and users' mistakes."""

import shutil

import jax
import numpy as np
import pytest

from cmn_jax.evaluate import evaluate
from cmn_jax.predict import print_report
from cmn_jax.reporter import Reporter
from cmn_jax.train import train
from cmn_jax.training.checkpoints import (
  CheckpointError,
  find_step,
  load_model,
  save_model,
)
from input_pipeline.config import DataConfig
from input_pipeline.data import open_data
from input_pipeline.errors import UserError
from input_pipeline.findings import NO_FINDING
from tests.made.runs import LEFT_OUT, assert_same_run, run, stop_after


def _config(runs, **changes):
  return runs.config('classifier', **changes)


def test_what_a_run_leaves(runs):
  test = runs.results('classifier')
  assert test['inputs'] == 'image+generated'
  assert test['classifier_task'] == 'multi_label'
  for key in (
    'precision_weighted recall_weighted f1_weighted f1_macro micro_f1 '
    'auroc_macro per_class calibration dataset name seed split_digest'
  ).split():
    assert key in test, key
  assert set(test['baselines']) == {'always_no_finding', 'report_by_rules'}
  assert test['baselines']['always_no_finding']['micro_f1'] == 0
  rows = runs.predictions('classifier')
  assert len(rows) == test['studies']
  thresholds = {k: v['threshold'] for k, v in test['per_class'].items()}
  for row in rows:
    said = [k for k, p in row['probabilities'].items() if p >= thresholds[k]]
    assert len(set(said) ^ set(row['predicted'])) <= 1  # rounded to 4 places
  assert all(len(x) <= 80 for x in runs.printed['classifier'].splitlines()[:-1])
  # The report model is in the checkpoint, to the bit.
  variables, _ = load_model(find_step(runs.classifier))
  report, _ = load_model(find_step(runs.report))
  for kind in ('params', 'batch_stats'):
    jax.tree.map(
      np.testing.assert_array_equal, variables[kind]['report'], report[kind]
    )


def test_predict_says_what_the_evaluation_found(runs, capsys):
  data = open_data(DataConfig(**_config(runs).data))
  study = data.studies['test'][0]
  row = next(r for r in runs.predictions('classifier') if r['id'] == study.id)
  reporter = Reporter.load(runs.classifier)
  report = reporter.report(study.films)
  stated = {f.name for f in report.findings} or {NO_FINDING}
  for one in report.classes:
    expected = row['probabilities'][one.name]
    assert one.probability == pytest.approx(expected, abs=1e-3)
    assert one.in_report == (one.name in stated)
  print_report(reporter, study.films, report, in_json=False)
  printed = capsys.readouterr().out
  assert printed.startswith('images:')
  # A path stays whole, on a line of its own.
  assert all(
    len(line) <= 80 or len(line.removeprefix('images:').split()) == 1
    for line in printed.splitlines()
  )
  disputed = [one.name for one in report.classes if one.disputed]
  assert disputed  # so small a model writes what it likes
  for name in disputed:
    line = next(x for x in printed.splitlines() if x.startswith(f'  {name} '))
    assert 'REPORT' in line
  with pytest.raises(CheckpointError, match='holds no classifier'):
    Reporter.load(runs.report, runs.report)


def test_a_stopped_run_ends_with_the_same_bits(runs, tmp_path, monkeypatch):
  workdir = tmp_path / 'stopped'
  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    stop_after(patch, epoch=1)
    train(_config(runs), workdir)
  run(_config(runs), workdir)
  assert_same_run(workdir, runs.classifier)


def test_fine_tuned_with_a_single_label(runs, tmp_path):
  changes = {
    'classifier.finetune': True,
    'classifier.task': 'single_label',
    'classifier.balanced_sampling': True,
    'train.epochs': 1,
  }
  test = run(_config(runs, **changes), tmp_path)
  matrix = np.array(test['confusion_matrix'])
  assert matrix.sum() == test['studies']
  assert np.trace(matrix) / matrix.sum() == pytest.approx(
    test['recall_weighted']
  )
  variables, _ = load_model(find_step(tmp_path))
  report, _ = load_model(find_step(runs.report))
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
  with pytest.raises(CheckpointError, match='was fine-tuned to classify'):
    Reporter.load(tmp_path)
  # The report model that it came from need not be named again.
  bare = _config(runs, **{**changes, 'classifier.checkpoint': ''})
  again = run(bare, tmp_path, mode='evaluate')
  assert again['confusion_matrix'] == test['confusion_matrix']


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
    ({'data.image_size': 28}, 'trained with 64: set'),
    ({'data.flip_with_text': True}, 'set data.flip_with_text=False'),
  ],
)
def test_mistakes_are_named_before_training(runs, tmp_path, changes, says):
  with pytest.raises(UserError, match=says):
    train(_config(runs, **changes), tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_checkpoints_that_are_no_report_model(runs, tmp_path):
  changes = {'classifier.checkpoint': str(runs.classifier)}
  with pytest.raises(CheckpointError, match="task 'classify' trained"):
    train(_config(runs, **changes), tmp_path / 'run')
  variables, meta = load_model(find_step(runs.report))
  del variables['params']['visual_encoder']
  save_model(tmp_path / 'blind', variables, meta)
  changes = {'classifier.checkpoint': str(tmp_path / 'blind')}
  with pytest.raises(CheckpointError, match=r'no report model .*\d+ arrays'):
    train(_config(runs, **changes), tmp_path / 'run')


def test_other_classes_or_another_model_are_not_continued(runs, tmp_path):
  workdir = shutil.copytree(runs.classifier, tmp_path / 'run')
  before = sorted(workdir.rglob('*'))
  for name, value in (
    ('classifier.inputs', 'image+reference'),
    ('classifier.task', 'single_label'),
    ('classifier.leave_out', f'{LEFT_OUT},nodule'),
    ('classifier.gamma', 1.0),
  ):
    other = _config(runs, **{name: value})
    for verb in (train, evaluate):
      with pytest.raises(CheckpointError, match=rf'{name} was .*, is'):
        verb(other, workdir)
  with pytest.raises(UserError, match=r"classifier\.task is 'single'; choose"):
    train(_config(runs, **{'classifier.task': 'single'}), tmp_path / 'other')
  variables, meta = load_model(find_step(runs.report))
  variables['params']['word_embed'] = variables['params']['word_embed'] + 1
  save_model(tmp_path / 'other', variables, meta)
  other = {'classifier.checkpoint': str(tmp_path / 'other')}
  with pytest.raises(CheckpointError, match='has other parameters'):
    train(_config(runs, **other), workdir)
  assert sorted(workdir.rglob('*')) == before
