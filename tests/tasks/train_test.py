"""Whole small runs: resumed ones, evaluation, and what users get wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from cmn_jax.dataset import open_dataset
from cmn_jax.tasks.writing import ReportWriter
from cmn_jax.training.epochs import TrainingError

from benchmarks.speed import half_precision
from cmn_jax.evaluate import evaluate
from cmn_jax.models.config import ModelConfig
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.predict import Reporter
from cmn_jax.train import train
from cmn_jax.training.checkpoints import CheckpointError, find_step, load_model
from cmn_jax.training.parallel import AXIS, Parallel
from configs import phantom
from input_pipeline import batches as pipeline
from input_pipeline.images import normalise, prepare_films
from input_pipeline.phantom.write import write_phantom

ROOT = Path(__file__).parents[2]
EPOCHS = 3
STEPS = 7  # of an epoch: 52 of the 60 studies train, 8 at a time
SMALL = {
  'data.phantom_studies': 0,
  'data.image_size': 64,
  'data.stored_size': 72,
  'model.encoder_width': 4,
  'model.memory_slots': 32,
  'model.memory_top_k': 8,
  'model.width': 16,
  'model.heads': 2,
  'model.hidden': 16,
  'model.layers': 1,
  'train.epochs': EPOCHS,
  'train.batch_size': 8,
  'optim.warmup_steps': 2,
  'eval.batch_size': 8,
  'eval.bootstrap': 20,
  'eval.examples': 2,
}


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """Data, its cache, and a cache of compiled programs."""
  root = tmp_path_factory.mktemp('runs')
  write_phantom(root / 'data', studies=60, seed=3, size=80, workers=2)
  return root


def _settings(folders, **changes):
  return {
    **SMALL,
    'data.dir': str(folders / 'data'),
    'data.cache_dir': str(folders / 'cache'),
    **changes,
  }


def _config(folders, **changes):
  config = phantom.get_config('proposed')
  config.update_from_flattened_dict(_settings(folders, **changes))
  return config


def _start(folders, workdir, **changes):
  """main.py as a process of its own."""
  flags = [
    f'--config.{k}={v}' for k, v in _settings(folders, **changes).items()
  ]
  return subprocess.Popen(
    [
      sys.executable,
      str(ROOT / 'main.py'),
      f'--config={ROOT}/configs/phantom.py:proposed',
      f'--workdir={workdir}',
      *flags,
    ],
    env={
      **os.environ,
      'JAX_COMPILATION_CACHE_DIR': str(folders / 'compiled'),
      'PATH': '/nonexistent',  # no Java: METEOR is another test's
    },
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _wait_for(condition, process, seconds=240):
  end = time.time() + seconds
  while not condition():
    assert process.poll() is None, process.stderr.read()
    assert time.time() < end, 'it takes too long'
    time.sleep(0.005)


@pytest.fixture(scope='module')
def whole_run(folders):
  """A run that nobody disturbed."""
  workdir = folders / 'whole'
  process = _start(folders, workdir)
  out, err = process.communicate()
  assert process.returncode == 0, err
  return workdir, out, err


def test_a_killed_run_ends_with_the_same_bits(folders, whole_run):
  workdir = folders / 'killed'
  checkpoints = workdir / 'checkpoints'

  def exists(pattern):
    return lambda: any(checkpoints.glob(pattern))

  # Once in the middle of the second epoch, once while a checkpoint is written.
  for moment in (f'{STEPS}/meta', f'{2 * STEPS}*'):
    process = _start(folders, workdir)
    _wait_for(exists(moment), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
  process = _start(folders, workdir)
  _, err = process.communicate()
  assert process.returncode == 0, err
  assert 'continuing' in err
  last = str(EPOCHS * STEPS)
  for item in ('model',):
    got, meta = load_model(checkpoints / last)
    want, whole_meta = load_model(whole_run[0] / 'checkpoints' / last)
    jax.tree.map(np.testing.assert_array_equal, got, want)
    assert meta['history'] == whole_meta['history'], item


def test_what_a_run_leaves(whole_run):
  workdir, out, err = whole_run
  assert 'constant report' in out and 'Traceback' not in err
  assert all(len(line) <= 80 for line in out.splitlines()[:-1])
  test = json.loads((workdir / 'evaluation' / 'test.json').read_text())
  for key in (
    'bleu_1 bleu_4 rouge_l cider meteor meteor_nltk studies distinct_reports '
    'findings split selected_on baselines controls seconds reports_per_second'
  ).split():
    assert key in test, key
  assert test['split'] == 'test'
  assert test['selected_on'] == 'val micro_f1'
  assert set(test['baselines']) == {'constant', 'retrieval'}
  assert test['findings']['source'] == 'phantom'
  assert test['retrieval']['projection'] == 'trained'
  assert test['retrieval']['studies'] == test['studies']
  rows = json.loads(
    (workdir / 'evaluation' / 'test_predictions.json').read_text()
  )
  assert len(rows) == test['studies']
  assert {'id', 'reference', 'prediction'} <= rows[0].keys()
  assert (workdir / 'report.html').stat().st_size > 10_000
  assert list(workdir.glob('events.out.tfevents*'))
  kept = {p.name for p in (workdir / 'checkpoints').iterdir()}
  assert str(EPOCHS * STEPS) in kept and len(kept) <= 2


def test_evaluation_does_not_depend_on_the_batch_size(folders, whole_run):
  config = _config(folders)
  data = open_dataset(config)
  model = ReportGenerator(
    ModelConfig.of(config, data.tokenizer.vocab_size + 1), AXIS
  )
  variables, _ = load_model(find_step(whole_run[0]))
  written = []
  for size in (7, 16):
    writer = ReportWriter(
      model,
      experiment.make_decoding(config),
      Parallel('pmap', jax.devices()[:1]),
    )
    batches = pipeline.eval_batches(data, 'test', batch_size=size)
    count = len(data.studies['test'])
    written.append(writer.write(variables, batches, count).ids_SxT)
  np.testing.assert_array_equal(*written)
  assert written[0].any(axis=1).all()


def test_reporter_agrees_with_the_evaluation(folders, whole_run):
  reporter = Reporter.load(whole_run[0])
  data = open_dataset(_config(folders))
  rows = json.loads(
    (whole_run[0] / 'evaluation' / 'test_predictions.json').read_text()
  )
  study = data.studies['test'][2]
  report = reporter.report(study.films)
  assert report.text == rows[2]['prediction']
  assert report.attention.shape == (len(report.text.split(' ')), 2, 2, 2)
  images = normalise(prepare_films(study.films, 64))[None]
  ids = np.zeros((1, 60), np.int32)
  ids[0, : len(study.ids)] = study.ids
  rows = reporter.log_probs(images, ids)
  assert rows.shape == (1, 59, data.tokenizer.vocab_size + 1)
  np.testing.assert_allclose(np.exp(rows).sum(-1), 1, atol=1e-5)


def test_a_run_of_another_config_is_not_continued(folders, whole_run):
  before = sorted(whole_run[0].rglob('*'))
  with pytest.raises(CheckpointError, match=r'model\.width was 16, is 32'):
    train(_config(folders, **{'model.width': 32}), str(whole_run[0]))
  with pytest.raises(CheckpointError, match=r'params/.* where .* is expected'):
    evaluate(_config(folders, **{'model.width': 32}), str(whole_run[0]))
  assert sorted(whole_run[0].rglob('*')) == before


def test_a_damaged_checkpoint_is_named(folders, whole_run, tmp_path):
  step = find_step(whole_run[0])
  copy = tmp_path / step.name
  shutil.copytree(step, copy)
  shutil.rmtree(copy / 'model' / 'd')
  with pytest.raises(CheckpointError, match=f'cannot read .*{step.name}'):
    load_model(copy)


def test_an_exploding_loss_is_told_with_its_numbers(folders, tmp_path):
  config = _config(folders, **{'optim.rate': 1e30, 'optim.clip_norm': 0.0})
  with pytest.raises(TrainingError, match=r'loss became nan .* step \d+'):
    train(config, str(tmp_path))


@pytest.mark.parametrize(
  'changes, says',
  [
    ({'train.batch_size': 7}, 'train.batch_size 7 is not divisible by 2'),
    ({'eval.batch_size': 0}, 'eval.batch_size is 0; it must be 1 or more'),
    ({'eval.batch_size': 9}, 'eval.batch_size 9 is not divisible by 2'),
    ({'train.parallel': 'pjit'}, 'pmap, shard_map'),
    ({'train.select_by': 'bleu'}, 'bleu_1, .*micro_f1'),
    (
      {'data.dir': '/nonexistent'},
      r'/nonexistent(.|\n)*input_pipeline.phantom',
    ),
  ],
)
def test_mistakes_are_told_before_training(folders, tmp_path, changes, says):
  with pytest.raises(ValueError, match=says):
    train(_config(folders, **changes), str(tmp_path / 'run'))
  assert not (tmp_path / 'run').exists()


def test_a_mistake_on_the_command_line_is_one_sentence(folders, tmp_path):
  process = _start(folders, tmp_path / 'run', **{'model.widht': 16})
  _, err = process.communicate()
  assert process.returncode != 0
  assert 'widht' in err and 'Traceback' not in err
  assert len(err.strip().splitlines()) == 1


def test_bfloat16_follows_the_losses_of_float32(folders):
  config = _config(folders)
  whole, half = (
    half_precision.losses(config, dtype, 3) for dtype in ('float32', 'bfloat16')
  )
  assert whole != half
  np.testing.assert_allclose(half, whole, rtol=1e-2)
