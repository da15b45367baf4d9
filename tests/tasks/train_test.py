"""Small report models: resumed, evaluated, asked, and what users get wrong."""

import contextlib
import itertools
import os
import re
import shutil
import signal
import time

import jax
import numpy as np
import pytest

from cmn_jax.decoding.generate import Decoding, make_writer
from cmn_jax.loaded import Loaded
from cmn_jax.models.images import normalise_images
from cmn_jax.opening import open_task
from cmn_jax.reporter import Reporter
from cmn_jax.train import train
from cmn_jax.training import loop
from cmn_jax.training.checkpoints import CheckpointError, find_step, load_model
from cmn_jax.training.parallel import Parallel
from cmn_jax.training.progress import TrainingError
from cmn_jax.training.saving import Checkpoints
from cmn_jax.training.studies import OverStudies, StudyBatches
from input_pipeline import folder_lock, stopping
from input_pipeline.config import DataConfig
from input_pipeline.data import open_data
from input_pipeline.errors import UserError
from input_pipeline.images import prepare_films
from tests.made.runs import (
  EPOCHS,
  STEPS,
  assert_same_run,
  assert_same_training,
  edit_meta,
  run,
  scalars,
  start,
)


def _wait_for(condition, process, seconds=240):
  end = time.time() + seconds
  while not condition():
    assert process.poll() is None, process.stderr.read()
    assert time.time() < end, 'it takes too long'
    time.sleep(0.005)


@pytest.mark.parametrize('sent', [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_process_ends_with_the_same_bits(
  runs, tmp_path, capsys, sent
):
  workdir = tmp_path / 'stopped'
  process = start(runs.root, workdir)
  # While the second epoch's checkpoint is being written, or just after.
  second = f'{2 * STEPS}*'
  _wait_for(lambda: any((workdir / 'checkpoints').glob(second)), process)
  process.send_signal(sent)
  _, err = process.communicate()
  if sent == signal.SIGKILL:
    assert process.returncode == -sent
  else:
    assert process.returncode == 128 + sent
    assert 'stopped by SIGTERM: saved after step' in err
    assert 'Traceback' not in err
  run(runs.config(), workdir)
  assert 'continuing' in capsys.readouterr().err
  assert_same_run(workdir, runs.report)


def _signal_at(monkeypatch, step: int | None, validations: int | None):
  """As if SIGTERM came after a step, or within a validation; only once."""
  left = [step]

  def asked_to_stop(now):
    return left.pop() and signal.SIGTERM if left == [now] else None

  monkeypatch.setattr(loop.distributed, 'asked_to_stop', asked_to_stop)
  begun = itertools.count(1)

  @contextlib.contextmanager
  def unpolled(first=None):
    # By the thread that a signal wakes.
    if first is not None and next(begun) == validations:
      print(first())
      raise stopping.Stopped(128 + signal.SIGTERM)
    yield

  monkeypatch.setattr(loop.stopping, 'unpolled', unpolled)


@pytest.mark.parametrize(
  'step, validations, every',
  [(STEPS + 3, None, 2), (2 * STEPS, None, 0), (None, EPOCHS, 0)],
)
def test_a_signal_loses_nothing(
  runs, tmp_path, monkeypatch, capsys, step, validations, every
):
  """Within an epoch, at its end, and while it is validated: the same bits.

  Saves within epochs change nothing either.
  """
  saved, save = [], Checkpoints.save

  def noted(checkpoints, step, state, meta):
    saved.append(step)
    save(checkpoints, step, state, meta)

  monkeypatch.setattr(Checkpoints, 'save', noted)
  config = runs.config(**{'train.save_every_steps': every})
  with monkeypatch.context() as patch, pytest.raises(SystemExit) as stop:
    _signal_at(patch, step, validations)
    train(config, tmp_path)
  assert stop.value.code == 143
  after = step or validations * STEPS
  said = capsys.readouterr()
  assert f'saved after step {after},' in said.out + said.err
  train(config, tmp_path)
  assert f'continuing {tmp_path} after step {after}' in capsys.readouterr().err
  ends = {STEPS * (n + 1) for n in range(EPOCHS)}
  between = range(every, EPOCHS * STEPS, every) if every else ()
  assert set(saved) == ends | set(between) | {after}
  assert_same_training(tmp_path, runs.report)
  assert scalars(tmp_path) == scalars(runs.report)


def test_a_second_run_in_a_folder_is_refused(runs, tmp_path):
  with (
    folder_lock.locked(tmp_path),
    pytest.raises(UserError, match=f'in use by process {os.getpid()} on'),
  ):
    train(runs.config(), tmp_path)


def test_what_a_run_leaves(runs):
  test, workdir = runs.results(), runs.report
  for key in (
    'bleu_1 bleu_4 rouge_l cider meteor meteor_nltk studies distinct_reports '
    'commonest_share abnormal_share findings seconds reports_per_second'
  ).split():
    assert key in test, key
  assert (test['task'], test['name']) == ('report', 'proposed')
  assert test['named_config'] == 'phantom.py:proposed'
  assert test['config']['model.width'] == 16
  # As in phantom.py, and a path.
  assert not {'train.findings_weight', 'data.dir'} & test['config'].keys()
  assert (test['split'], test['split_official']) == ('test', False)
  assert test['selected_on'] == 'val rouge_l'
  assert set(test['baselines']) == {'constant', 'retrieval'}
  assert test['findings']['source'] == 'phantom'
  assert test['retrieval']['projection'] == 'trained'
  assert test['retrieval']['studies'] == test['studies']
  steps = {int(p.name) for p in (workdir / 'checkpoints').iterdir()}
  assert EPOCHS * STEPS in steps and len(steps) <= 2
  assert test['checkpoint']['step'] in steps
  rows = runs.predictions()
  assert len(rows) == test['studies']
  assert {'id', 'report', 'reference', 'prediction'} <= rows[0].keys()
  assert (workdir / 'report.html').stat().st_size > 10_000
  assert list(workdir.glob('events.out.tfevents*'))


def test_what_a_run_prints(runs):
  lines = runs.printed['report'].splitlines()
  assert any(line.startswith('constant report') for line in lines)
  assert all(len(line) <= 80 for line in lines[:-1])  # the last has a path


def test_a_run_tells_how_it_uses_the_machine(runs, tmp_path):
  process = start(runs.root, tmp_path / 'run', '--config.train.epochs=1')
  begin = time.monotonic()
  _, err = process.communicate()
  wall = time.monotonic() - begin
  assert process.returncode == 0, err
  assert re.search(r'a step on a device: [\d.]+ GFLOP, ', err)
  assert re.search(r'of arguments,\n  [\d.]+ .B of temporaries', err)
  assert re.search(
    r'[\d.]+ s a step, [\d.e+]+ films/s, .* \(\d+% of the peak\), \d+% waiting',
    err,
  )
  total, kinds = re.search(r'\n(\d+) s: (starting \d[^;]*);', err).groups()
  assert -1 <= wall - float(total) < 2 + 0.1 * wall  # Python ends slowly.
  # Each is rounded, and what is below half a second left out.
  parts = [float(x) for x in re.findall(r' (\d+)', kinds)]
  assert abs(sum(parts) - float(total)) <= 4


def test_every_interval_holds_its_value(runs):
  """Wherever a bound stands it was computed: [low, high] about the score."""
  found = 0

  def check(results):
    nonlocal found
    pairs = [(results[k], v) for k, v in results.get('intervals', {}).items()]
    scores = results.get('findings', {})
    pairs += [
      (scores[key.removesuffix('_interval')], bounds)
      for key, bounds in scores.items()
      if key.endswith('_interval')
    ]
    for value, (low, high) in pairs:
      assert low <= value <= high
    found += len(pairs)

  for name in ('report', 'classifier'):
    test = runs.results(name)
    for results in (
      test,
      *test['baselines'].values(),
      *test.get('controls', {}).values(),
    ):
      check(results)
  assert found > 10


def test_evaluation_does_not_depend_on_the_batch_size(runs):
  loaded = Loaded.load(runs.report)
  written = []
  for size in (3, 8):
    config = runs.config(**{'eval.batch_size': size})
    task, data = open_task(config, loaded)
    predict = OverStudies(
      lambda variables, batch, task=task: task.predict(variables, batch, False),
      Parallel('pmap', jax.devices()[:1]),
    )
    batches = StudyBatches(
      task, data, config, DataConfig(**config.data).augmentation
    ).split('val')
    rows = predict(loaded.variables, batches, len(data.studies['val']))
    written.append(rows.arrays['ids'])
  np.testing.assert_array_equal(*written)


def test_reporter_agrees_with_the_evaluation(runs):
  reporter = Reporter.load(runs.report)
  data = open_data(DataConfig(**runs.config().data))
  study, row = data.studies['test'][2], runs.predictions()[2]
  report = reporter.report(study.films)
  assert report.text == row['prediction']
  words = len(report.text.split())
  assert report.attention.shape == (words, 2, *report.attention.shape[2:])
  images = normalise_images(prepare_films(study.films, 64)[None])
  rows = reporter.log_probs(images, data.ids['test'][2:3])
  assert rows.shape == (1, 39, data.tokenizer.vocabulary)
  np.testing.assert_allclose(np.exp(rows).sum(-1), 1, atol=1e-5)


def test_reporter_decodes_as_the_config_says(runs):
  """Not by a beam search of its own."""
  loaded = Loaded.load(runs.report)
  beam = Reporter(loaded)
  images = np.random.default_rng(0).integers(0, 256, (2, 2, 64, 64), np.uint8)
  mask_B = np.ones(2, bool)
  searched = beam.generate(images)
  again = Loaded.load(runs.report)
  again.config.decode.update(method='sample', temperature=3.0)
  sampled = Reporter(again)
  decoding = Decoding(**again.config.decode, seed=again.config.seed)
  write = jax.jit(make_writer(sampled.model, decoding))
  want, _ = write(loaded.variables, images, mask_B)
  got = sampled.generate(images)
  np.testing.assert_array_equal(got, want)
  assert np.any(got != searched)
  np.testing.assert_array_equal(sampled.generate(images, beam_size=2), searched)


def test_a_run_of_another_config_is_not_continued(runs):
  before = sorted(runs.report.rglob('*'))
  with pytest.raises(CheckpointError, match=r'model\.width was 16, is 32'):
    train(runs.config(**{'model.width': 32}), runs.report)
  with pytest.raises(CheckpointError, match=r'optim\.gamma was 0.8, is 0.5'):
    train(runs.config(**{'optim.gamma': 0.5}), runs.report)
  assert sorted(runs.report.rglob('*')) == before


def test_a_run_is_not_continued_with_other_studies(runs, tmp_path):
  shutil.copytree(runs.report, tmp_path / 'run')
  other = {'train': 'x', 'val': 'x'}
  edit_meta(tmp_path / 'run', lambda m: {**m, 'split_digests': other})
  with pytest.raises(CheckpointError, match='a run of other train studies'):
    train(runs.config(), tmp_path / 'run')


def test_a_damaged_checkpoint_is_named(runs, tmp_path):
  step = find_step(runs.report)
  copy = tmp_path / step.name
  shutil.copytree(step, copy)
  shutil.rmtree(copy / 'model' / 'd')
  with pytest.raises(CheckpointError, match=f'cannot read .*{step.name}'):
    load_model(copy)


def test_an_exploding_loss_is_named_with_its_numbers(runs, tmp_path):
  config = runs.config(**{'optim.rate': 1e30, 'optim.clip_norm': 0.0})
  with pytest.raises(TrainingError, match=r'loss became nan .* step \d+'):
    train(config, tmp_path)


@pytest.mark.parametrize(
  'changes, says',
  [
    ({'train.batch_size': 7}, 'train.batch_size 7 is not divisible by 2'),
    ({'eval.batch_size': 0}, 'eval.batch_size is 0; it must be 1 or more'),
    ({'eval.batch_size': 9}, 'eval.batch_size 9 is not divisible by 2'),
    ({'train.parallel': 'pjit'}, 'pmap, shard_map'),
    ({'train.log_every': 0}, 'train.log_every is 0; expected 1 or more'),
    ({'train.validate_every': 0}, 'train.validate_every is 0; expected 1'),
    ({'model.heads': 0}, 'model.heads is 0; expected 1 or more'),
    ({'model.dropout': 1.0}, 'model.dropout is 1.0; .*less than 1'),
    ({'seed': -1}, 'seed is -1; expected 0 or more'),
    ({'train.select_by': 'bleu'}, 'bleu_1, .*micro_f1'),
    (
      {'data.dir': '/nonexistent', 'data.phantom_studies': 0},
      r'/nonexistent(.|\n)*input_pipeline.phantom',
    ),
  ],
)
def test_mistakes_are_named_before_training(runs, tmp_path, changes, says):
  with pytest.raises(UserError, match=says):
    train(runs.config(**changes), tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_a_mistake_on_the_command_line_is_one_sentence(runs, tmp_path):
  process = start(runs.root, tmp_path / 'run', '--config.model.widht=16')
  _, err = process.communicate()
  assert process.returncode != 0
  assert 'widht' in err and 'Traceback' not in err
  assert len(err.strip().splitlines()) == 1
