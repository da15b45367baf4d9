"""A very small EKAGen: built, stopped, asked, and what does not fit it."""

import json
import os
import shutil
from unittest import mock

import jax
import numpy as np
import pytest

from cmn_jax.ekagen_build import build
from cmn_jax.evaluate import evaluate
from cmn_jax.loaded import Loaded
from cmn_jax.opening import open_task
from cmn_jax.predict import print_report
from cmn_jax.reporter import Reporter
from cmn_jax.tasks.ekagen_inputs import another, stated_labels
from cmn_jax.tasks.ekagen_knowledge import make_knowledge
from cmn_jax.tasks.ekagen_parts import load_captioner
from cmn_jax.train import train
from cmn_jax.training.checkpoints import save_model
from cmn_jax.training.optimizer import OptimConfig, make_optimizer
from cmn_jax.training.state import init_state
from cmn_jax.training.step import make_train_step
from cmn_jax.training.studies import StudyBatches
from configs import phantom
from input_pipeline.config import DataConfig
from input_pipeline.data import open_data
from input_pipeline.errors import UserError
from input_pipeline.findings_reader import findings_reader
from tests.made import ekagen
from tests.made.reads import recorded
from tests.made.runs import assert_same_run, stop_after


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  """A folder with build/ and, as reads.json, the fields that it read."""
  root = tmp_path_factory.mktemp('ekagen')
  with recorded() as reads, mock.patch.dict(os.environ, PATH='/nonexistent'):
    build(ekagen.arguments(root), str(root / 'build'))
  (root / 'reads.json').write_text(json.dumps(sorted(reads)))
  return root


@pytest.fixture(scope='module')
def student(root):
  return Loaded.load(root / 'build' / 'student')


def _test(workdir):
  return json.loads((workdir / 'evaluation' / 'test.json').read_text())


def _stated(data, classes):
  reader = findings_reader(data.label_source)
  return stated_labels(data.studies['train'], reader, classes)


def test_every_field_of_the_section_is_read(root):
  fields = {f'ekagen.{name}' for name in phantom.get_config().ekagen}
  assert not fields - set(json.loads((root / 'reads.json').read_text()))


def test_what_a_student_leaves(root):
  test = _test(root / 'build' / 'student')
  knowledge = {'constant_knowledge', 'true_label_knowledge'}
  knowledge |= {'shuffled_knowledge'}
  assert set(test['controls']) == knowledge | {'shuffled_images'}
  assert 0 <= test['labels']['micro_f1'] <= 1
  assert test['significance']['against'] == 'shuffled_knowledge'
  assert 0 < test['significance']['micro_f1']['p_value'] <= 1
  assert (root / 'build' / 'masks' / 'test.npz').exists()


def test_a_captioner_without_knowledge_has_no_controls_of_it(root, tmp_path):
  # A build does not evaluate it: of the first teacher it takes the embedding.
  folder = root / 'build' / 'first_teacher'
  assert not (folder / 'evaluation').exists()
  workdir = shutil.copytree(folder, tmp_path / 'run')
  with mock.patch.dict(os.environ, PATH='/nonexistent'):
    evaluate(ekagen.config_of(root, 'ekagen_first_teacher'), workdir)
  assert set(_test(workdir)['controls']) == {'shuffled_images'}


def test_abnormal_studies_can_be_drawn_oftener(root):
  config = ekagen.config_of(
    root, 'ekagen_first_teacher', **{'train.abnormal_share': 0.75}
  )
  task, data = open_task(config)
  normal_Sx1 = _stated(data, ['No Finding'])
  assert task.sampling()[normal_Sx1[:, 0]].sum() == pytest.approx(0.25)


def test_a_stopped_build_ends_with_the_same_bits(root, tmp_path, monkeypatch):
  """Stopped within the student, which has a teacher, masks and knowledge."""
  before = shutil.copytree(root / 'build' / 'student', tmp_path / 'student')
  workdir = root / 'build'
  shutil.rmtree(workdir / 'student')
  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    stop_after(patch, epoch=1)
    build(ekagen.arguments(root), str(workdir))
  with mock.patch.dict(os.environ, PATH='/nonexistent'):
    build(ekagen.arguments(root), str(workdir))
  assert_same_run(workdir / 'student', before)


def test_predict_needs_the_checkpoint_alone(root, tmp_path, capsys):
  rows = json.loads(
    (
      root / 'build' / 'student' / 'evaluation' / 'test_predictions.json'
    ).read_text()
  )
  config = ekagen.student_config(root)
  study = open_data(DataConfig(**config.data)).studies['test'][0]
  alone = tmp_path / 'alone'
  shutil.copytree(root / 'build' / 'student' / 'checkpoints', alone)
  moved = shutil.move(root / 'build', tmp_path / 'elsewhere')
  try:
    reporter = Reporter.load(alone)
    report = reporter.report(study.films)
  finally:
    shutil.move(moved, root / 'build')
  assert report.text == rows[0]['prediction']
  assert len(report.classes) == len(
    reporter.task.parts.reader('diagnosis').classes
  )
  assert report.attention.shape[0] == len(report.text.split())
  print_report(reporter, study.films, report, in_json=False)
  printed = capsys.readouterr().out
  assert report.classes[0].name in printed


def test_given_knowledge_takes_the_place_of_the_base(root, student):
  reporter = Reporter.load(root / 'build' / 'student')
  rng = np.random.default_rng(0)
  shape = reporter.task.shape
  films = rng.normal(size=(2, 1, 32, 32, 3)).astype(np.float32)
  ids = np.zeros((2, shape.max_length + 1), np.int32)
  ids[:, :4] = [1, 5, 6, 2]
  with pytest.raises(ValueError, match='cannot be diagnosed'):
    reporter.log_probs(films, ids)
  size = (2, shape.max_length, shape.width)
  one, other = (
    reporter.log_probs(films, ids, rng.normal(size=size).astype(np.float32))
    for _ in range(2)
  )
  assert one.shape == (2, shape.max_length, shape.vocabulary)
  assert np.abs(one - other).max() > 1e-3
  knowledge = rng.normal(size=size).astype(np.float32)
  written = reporter.generate(films, beam_size=1, knowledge=knowledge)
  framed = np.pad(written, ((0, 0), (1, 0)), constant_values=1)
  log_probs = reporter.log_probs(films, framed, knowledge)
  assert (log_probs[:, 0].argmax(-1) == written[:, 0]).all()


def test_the_loss_is_what_numpy_makes_of_log_probabilities(root):
  changes = {'model.dropout': 0.0, 'data.crop': False}
  config = ekagen.student_config(root, **changes)
  task, data = open_task(config)
  task.model = task.network(None)
  variables = task.variables(0)
  batches = StudyBatches(
    task, data, config, DataConfig(**config.data).augmentation
  )
  batch = next(batches.train(0))
  optimizer = make_optimizer(OptimConfig(**config.optim), 7, 1)
  step = make_train_step(task, optimizer, 0, None)
  batch = {k: v for k, v in batch.items() if k in _read_by_devices(batch)}
  state = init_state(variables, optimizer, task.frozen)
  after, metrics = jax.jit(step)(state, batch)
  key = jax.random.key(0)

  @jax.jit
  def apply(variables, batch):
    rngs, more = {'dropout': key}, ['batch_stats']
    return task.model.apply(variables, batch, True, rngs=rngs, mutable=more)[0]

  outputs = apply(variables, batch)
  ids, real_B = batch['ids_BxT'][:, 1:], batch['mask_B']
  real_BxT = (ids != 0) & real_B[:, None]
  student, teacher = (
    np.asarray(outputs[k], np.float64) for k in ('log_probs', 'teacher')
  )
  picked = np.take_along_axis(student, ids[..., None], axis=2)[..., 0]
  total, count = metrics['loss']
  assert count == real_BxT.sum()
  np.testing.assert_allclose(total, -(picked * real_BxT).sum(), rtol=1e-5)

  def soft(x):
    x = np.exp(x / 4 - (x / 4).max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)

  p, q = soft(teacher), soft(student)
  rows_BxT = (p * np.log(p / q)).sum(axis=-1) * real_BxT
  total, count = metrics['distillation']
  assert count == real_B.sum()
  np.testing.assert_allclose(total, 16 * rows_BxT.sum(), rtol=1e-3)
  # The teacher saw the whole film, the student the masked one.
  batch = {**batch, 'bits_BxHxw': ~np.zeros_like(batch['bits_BxHxw'])}
  plain = apply(variables, batch)
  np.testing.assert_array_equal(plain['teacher'], outputs['teacher'])
  assert np.abs(plain['log_probs'] - outputs['log_probs']).max() > 1e-6
  # What is frozen has not moved, and what is trained has.
  jax.tree.map(
    np.testing.assert_array_equal,
    after.variables['params']['teacher'],
    variables['params']['teacher'],
  )
  moved = jax.tree.map(
    lambda x, y: bool(np.any(x != y)),
    after.params['captioner'],
    variables['params']['captioner'],
  )
  assert all(jax.tree.leaves(moved['decoder_layers_0']['fuse']))


def _read_by_devices(batch):
  return set(batch) - {'study_B', 'mirrored_B'}


def test_a_frozen_encoder_sees_plain_and_masked_films_once(root, tmp_path):
  config = ekagen.student_config(
    root,
    **{
      'train.freeze': 'visual_encoder',
      'ekagen.teacher': '',
      'train.epochs': 1,
    },
  )
  train(config, tmp_path)
  with mock.patch.dict(os.environ, PATH='/nonexistent'):
    results = evaluate(config, tmp_path)
  # The same from images as from what was computed once.
  reporter = Reporter.load(tmp_path)
  task, data = open_task(config, Loaded.load(tmp_path))
  maps = task.targets('test')
  plain, masked = maps['maps_BxIxhxwxF'], maps['masked_maps_BxIxhxwxF']
  assert plain.shape == masked.shape and np.any(plain != masked)
  path = tmp_path / 'evaluation' / 'test_predictions.json'
  rows = json.loads(path.read_text())
  text = reporter.report(data.studies['test'][0].films).text
  assert text == rows[0]['prediction'] and results['studies'] == len(rows)
  # It may teach a student that trains its own.
  config = ekagen.student_config(root, **{'ekagen.teacher': str(tmp_path)})
  assert 'teacher' in open_task(config)[0].parts


def test_another_study_is_never_the_own():
  for studies in (2, 3, 50):
    others = another(studies, 1)
    assert sorted(others) == list(range(studies))
    assert (others != np.arange(studies)).all()


@pytest.mark.parametrize(
  'changes, says',
  [
    ({'data.tokenizer': 'words'}, "data.tokenizer is 'words'"),
    ({'decode.method': 'sample'}, "decode.method is 'sample'"),
    ({'data.flip_with_text': True}, 'set data.flip_with_text=False'),
    ({'data.rotate': 3.0}, 'cannot be turned'),
    ({'ekagen.mask_rule': 'hot'}, 'choose from jet, threshold'),
    ({'ekagen.student_films': 'all'}, 'choose from plain, masked'),
    ({'ekagen.knowledge': ''}, 'name that one as ekagen.knowledge'),
    ({'ekagen.knowledge': 'nowhere'}, 'no checkpoint in'),
    ({'data.max_length': 20, 'ekagen.teacher': ''}, '23 positions of width 16'),
    ({'data.min_count': 9, 'ekagen.teacher': ''}, 'with other words'),
    ({'model.width': 24}, 'of width 16, this one has 23 of 24'),
    ({'train.freeze': 'visual_encoder'}, 'trained with train.freeze'),
    (
      {'train.freeze': 'visual_encoder', 'ekagen.quarter_turns': True},
      'ekagen.quarter_turns would have no effect',
    ),
    ({'data.phantom_seed': 5, 'data.dir': 'other'}, 'made from the training'),
  ],
)
def test_what_does_not_fit_is_one_sentence(root, tmp_path, changes, says):
  if changes.get('data.dir'):
    changes = {**changes, 'data.dir': str(tmp_path / 'data')}
  config = ekagen.student_config(root, **changes)
  with pytest.raises(UserError, match=says) as error:
    train(config, tmp_path / 'run')
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'run').exists()


def test_folders_that_hold_something_else(root, tmp_path):
  build_ = root / 'build'
  for field, folder, says in (
    ('ekagen.teacher', 'diagnosis', "the task 'diagnose' trained"),
    ('ekagen.knowledge', 'teacher', 'holds no knowledge'),
    ('ekagen.locator', 'teacher', 'a classifier of films is wanted'),
  ):
    config = ekagen.student_config(root, **{field: str(build_ / folder)})
    with pytest.raises(UserError, match=says):
      train(config, tmp_path / 'run')
  # A run goes on with the parts that it began with.
  locator = Loaded.load(build_ / 'diagnosis')
  moved = jax.tree.map(lambda x: x + 1, locator.variables)
  save_model(tmp_path / 'other', moved, locator.meta)
  other = ekagen.student_config(
    root, **{'ekagen.locator': str(tmp_path / 'other')}
  )
  with pytest.raises(UserError, match='another locator than the one'):
    train(other, build_ / 'student')


def test_a_report_speaks_for_a_class_that_it_states(root):
  meta = Loaded.load(root / 'build' / 'knowledge').meta
  data = open_data(DataConfig(**ekagen.config_of(root, 'ekagen_teacher').data))
  ids = [study.id for study in data.studies['train']]
  rows = [ids.index(report) for report in meta['reports']]
  own = set(range(len(rows))) - set(meta['borrowed'])
  assert own and _stated(data, meta['classes'])[rows].diagonal()[[*own]].all()


def test_knowledge_of_a_class_without_a_report(root, tmp_path, capsys):
  config = ekagen.config_of(root, 'ekagen_teacher')
  data = open_data(DataConfig(**config.data))
  diagnosis = Loaded.load(root / 'build' / 'diagnosis')
  meta = json.loads(json.dumps(diagnosis.meta))
  meta['diagnosis']['thresholds'][0] = 2.0  # never found
  rare = Loaded(diagnosis.variables, meta, diagnosis.origin)
  captioner = load_captioner(str(root / 'build' / 'first_teacher'), 'x')
  lines = make_knowledge(
    captioner, rare, config, data, tmp_path / 'knowledge', members='predicted'
  )
  name = meta['diagnosis']['classes'][0]
  assert f'{name} is predicted of no training study' in capsys.readouterr().err
  assert len(lines) == len(meta['diagnosis']['classes'])
  table = Loaded.load(tmp_path / 'knowledge').variables['params']['knowledge']
  no_finding = meta['diagnosis']['classes'].index('No Finding')
  np.testing.assert_array_equal(table['table'][0], table['table'][no_finding])
  with pytest.raises(UserError, match='choose another --out'):
    make_knowledge(captioner, rare, config, data, tmp_path / 'knowledge')
