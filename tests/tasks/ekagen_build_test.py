"""The builder of EKAGen: what it refuses, and steps that no longer fit."""

import errno
import itertools
import json
import os
import shutil

import numpy as np
import pytest

from cmn_jax import ekagen_build, process
from cmn_jax.ekagen import main
from cmn_jax.ekagen_build import Plan, build
from cmn_jax.loaded import Loaded
from cmn_jax.tasks.ekagen_checks import fingerprint
from cmn_jax.tasks.ekagen_knowledge import write_knowledge
from cmn_jax.tasks.ekagen_parts import fingerprint_in
from cmn_jax.training.checkpoints import make_meta, save_model
from configs import phantom
from input_pipeline.errors import UserError
from tests.tasks.ekagen_parts_test import BASE
from tests.tasks.mask_files_test import META

ARGUMENTS = (f'--config={phantom.__file__}',)


def test_the_builder_names_what_it_cannot_read(tmp_path):
  with pytest.raises(UserError, match='--config=FILE'):
    Plan([], tmp_path, 0)
  with pytest.raises(UserError, match='--rounds is 0'):
    build([], str(tmp_path), rounds=0)
  for seeds in '--config.seeds=3', '--teacher.seeds=3':
    with pytest.raises(UserError, match='seeds is 3, and a build trains each'):
      build([*ARGUMENTS, seeds], str(tmp_path))


@pytest.mark.parametrize(
  'code, says',
  [
    (errno.ENOSPC, r'^error: .*No space left .* the checkpoints so far are'),
    (errno.EPIPE, None),
  ],
)
def test_a_full_disk_is_one_sentence(monkeypatch, tmp_path, code, says):
  def fail(*_):
    raise OSError(code, os.strerror(code), 'a/file')

  monkeypatch.setattr(ekagen_build, 'build', fail)
  monkeypatch.setattr(process, 'set_up', lambda: None)
  with pytest.raises(SystemExit if says else OSError, match=says):
    main(['build', *ARGUMENTS, f'--workdir={tmp_path}'])


@pytest.mark.parametrize(
  'config, says',
  [
    ('configs/none.py', 'No such file'),
    (f'{phantom.__file__}:none', "no variant 'none'"),
    (f'{phantom.__file__}:cmn', 'the variant cmn, which is no student'),
    (f'{phantom.__file__}:ekagen_teacher', 'ekagen_teacher, which is no st'),
  ],
)
def test_a_config_that_is_not_there_is_one_sentence(tmp_path, config, says):
  with pytest.raises(UserError, match=says) as error:
    build([f'--config={config}'], str(tmp_path))
  assert '\n' not in str(error.value) and 'ValueError' not in str(error.value)


def test_each_captioner_starts_from_a_classifier_with_its_encoder(tmp_path):
  plan = Plan([f'--config={phantom.__file__}:ekagen_vitb16'], tmp_path, 0)
  diagnosis = {'model.pretrained': str(tmp_path / 'diagnosis')}
  # The teachers are ResNets, as the classifier is, and the student is a ViT.
  assert plan.start('first_teacher') == plan.start('teacher') == diagnosis
  assert plan.start('student') == {}


@pytest.fixture
def ran(monkeypatch):
  """Steps that only write down what they are made of; names of what ran."""
  ran, numbers = [], itertools.count()

  def train(config, workdir):
    ran.append(workdir.name)
    e, parts = config.ekagen, {}
    if 'diagnosis' not in workdir.name:
      for name in ('teacher', 'locator', 'knowledge'):
        if folder := e[name]:
          parts[name] = {'fingerprint': fingerprint_in(folder)}
      if e.knowledge:
        parts['knowledge']['meta'] = Loaded.load(e.knowledge).meta
    about = {'parts': parts, 'diagnosis': META['diagnosis']}
    params = {'captioner': {'x': np.full(2, next(numbers))}}
    save_model(
      workdir / 'checkpoints' / '1',
      {'params': params},
      make_meta(config, [{'epoch': 1, 'step': 1}], 0.5, about),
    )

  def evaluate(config, workdir):
    (workdir / 'evaluation').mkdir()
    (workdir / 'evaluation' / 'test.json').write_text('{}')

  def knowledge(captioner, diagnosis, config, data, out, folds):
    ran.append('knowledge')
    about = {
      'folds': len(folds),
      'fold_fingerprints': [fingerprint(fold) for fold in folds],
      'captioner': {'origin': '', 'fingerprint': fingerprint(captioner)},
    }
    write_knowledge(out, BASE, diagnosis, about)
    return []

  def masks(locator, config, data, out, *options):
    ran.append('masks')
    about = dict(zip(('rule', 'threshold', 'no_finding'), options, strict=True))
    about |= {'locator': locator.fingerprint, 'size': 1, 'classes': []}
    out.mkdir()
    np.savez(out / 'test.npz', about=json.dumps(about))
    return []

  monkeypatch.setattr(ekagen_build, 'train', train)
  monkeypatch.setattr(ekagen_build, 'evaluate', evaluate)
  monkeypatch.setattr(ekagen_build, 'make_knowledge', knowledge)
  monkeypatch.setattr(ekagen_build, 'write_masks', masks)
  monkeypatch.setattr(ekagen_build, 'open_data', lambda _: None)
  return ran


STEPS = ['diagnosis', 'masks', 'first_teacher', 'knowledge', 'teacher']
STEPS += ['student']


def _run(ran, workdir, *more, **options):
  """Names of the steps that a build has done."""
  ran.clear()
  build([*ARGUMENTS, *more], str(workdir), **options)
  return ran


def _refused(ran, workdir, says, *more, **options):
  with pytest.raises(UserError, match=says) as error:
    _run(ran, workdir, *more, **options)
  assert '\n' not in str(error.value)
  return ran


def test_a_build_goes_on_where_it_was_in_a_folder_of_another_name(
  ran, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  assert _run(ran, 'build') == STEPS
  for name in ('build', tmp_path / 'build'):
    assert _run(ran, name) == []
  moved = shutil.move(tmp_path / 'build', tmp_path / 'moved')
  assert _run(ran, moved, rounds=2) == ['student_2']
  shutil.rmtree(moved / 'student_2')
  shutil.rmtree(moved / 'student')
  assert _run(ran, moved) == ['student']


def test_other_folds_are_refused_before_anything_is_trained(ran, tmp_path):
  _run(ran, tmp_path)
  says = (
    'knowledge was made with another --folds; teacher .* remove knowledge, '
    'teacher, student there'
  )
  assert _refused(ran, tmp_path, says, folds=2) == []
  for name in ('knowledge', 'teacher', 'student'):
    shutil.rmtree(tmp_path / name)
  folds = ['diagnosis_fold_1', 'diagnosis_fold_2']
  assert _run(ran, tmp_path, folds=2) == [
    *folds,
    *('knowledge', 'teacher', 'student'),
  ]
  assert _run(ran, tmp_path, folds=2) == []
  shutil.rmtree(tmp_path / 'diagnosis_fold_2')
  says = 'with another diagnosis_fold_2; .* remove knowledge, teacher, student'
  assert _refused(ran, tmp_path, says, folds=2) == ['diagnosis_fold_2']


def test_steps_that_hold_what_was_made_anew_are_named(ran, tmp_path):
  _run(ran, tmp_path, rounds=2)
  shutil.rmtree(tmp_path / 'diagnosis')
  says = 'remove masks, knowledge, teacher, student there'
  assert _refused(ran, tmp_path, says) == ['diagnosis']
  names = ['masks', 'knowledge', 'teacher', 'student']
  for name in names:
    shutil.rmtree(tmp_path / name)
  assert _run(ran, tmp_path) == names
  # The second student was taught by another first one.
  says = 'student_2 was made with another student, '
  assert _refused(ran, tmp_path, says, rounds=2) == []
  says = 'masks was made with another ekagen.mask_rule'
  _refused(ran, tmp_path, says, '--config.ekagen.mask_rule=jet')


def test_knowledge_of_an_older_version_that_does_not_say_fits(ran, tmp_path):
  _run(ran, tmp_path)
  for path in (
    *tmp_path.glob('knowledge/meta/*metadata'),
    *tmp_path.glob('*/checkpoints/1/meta/*metadata'),
  ):
    meta = json.loads(path.read_text())
    knowledge = meta.get('parts', {}).get('knowledge', {}).get('meta', meta)
    for name in ('folds', 'fold_fingerprints'):
      knowledge.pop(name, None)
    path.write_text(json.dumps(meta))
  assert _run(ran, tmp_path) == []
