"""`--mode=evaluate`: all that was trained comes from the checkpoint."""

import json
import shutil

import pytest

from cmn_jax.evaluate import evaluate
from cmn_jax.loaded import Loaded
from cmn_jax.opening import open_task
from cmn_jax.reporter import Reporter
from cmn_jax.training.checkpoints import CheckpointError
from configs import phantom
from input_pipeline.errors import UserError
from tests.made.runs import CLASSIFIER, edit_meta, run

# What a command says that knows nothing of how the run was trained.
FREE = ('data.dir', 'data.cache_dir', 'eval.batch_size', 'eval.bootstrap')
FREE += ('eval.examples', 'decode.beam_size')


def _bare(runs, variant):
  """The named config, with paths and what evaluation alone reads."""
  config, small = phantom.get_config(variant), runs.config(variant)
  for field in FREE:
    section, name = field.split('.')
    config[section][name] = small[section][name]
  return config.lock()


def _scores(results):
  """What a test.json says of the model, without clocks and the command."""
  other = ('config', 'name', 'named_config', 'report_model')
  return {
    k: v for k, v in results.items() if 'second' not in k and k not in other
  }


@pytest.mark.parametrize(
  'field, value, was',
  [
    ('model.heads', 4, 2),
    ('model.memory_top_k', 4, 8),
    ('data.image_size', 48, 64),
    ('data.views', 1, 2),
    ('train.select_by', 'bleu_4', 'rouge_l'),
  ],
)
def test_what_was_trained_otherwise_is_refused_by_name(runs, field, value, was):
  with pytest.raises(CheckpointError, match=rf'{field} was {was!r}, is') as e:
    evaluate(runs.config(**{field: value}), runs.report, given={field})
  assert '\n' not in str(e.value)


def test_other_training_studies_are_told(runs, tmp_path, capsys):
  shutil.copytree(runs.report, tmp_path / 'run')
  other = {'train': 'x', 'val': 'x'}
  edit_meta(tmp_path / 'run', lambda m: {**m, 'split_digests': other})
  run(runs.config(), tmp_path / 'run', 'evaluate')
  assert 'was trained on other studies' in capsys.readouterr().err


def test_a_classifier_without_thresholds_is_refused(runs, tmp_path):
  """As it is saved between validations."""
  shutil.copytree(runs.classifier, tmp_path / 'run')
  none = {'thresholds': None}
  edit_meta(
    tmp_path / 'run', lambda m: {**m, 'classifier': m['classifier'] | none}
  )
  with pytest.raises(CheckpointError, match='saved between validations'):
    evaluate(runs.config('classifier'), tmp_path / 'run')


@pytest.mark.parametrize(
  'name, variant', [('report', 'proposed'), ('classifier', 'classifier')]
)
def test_a_run_of_changed_fields_needs_none_of_them_again(
  runs, tmp_path, name, variant
):
  workdir = shutil.copytree(runs.root / name, tmp_path / name)
  results = run(_bare(runs, variant), workdir, mode='evaluate')
  expected = runs.results(name)
  assert _scores(results) == _scores(expected)
  assert results['config'] == expected['config']
  selected = {'report': 'val rouge_l', 'classifier': 'val f1_macro'}
  assert results['selected_on'] == selected[name]


def test_another_task_is_refused(runs):
  with pytest.raises(CheckpointError, match=r"task 'report' trained.*proposed"):
    evaluate(runs.config('classifier'), runs.report)
  with pytest.raises(CheckpointError, match="task 'classify' trained"):
    evaluate(runs.config(), runs.classifier)


def test_a_renamed_classifier_stays_a_classifier(runs):
  test = runs.results('classifier')
  assert (test['task'], test['name']) == ('classify', CLASSIFIER['name'])
  assert Loaded.load(runs.classifier).task == 'classify'
  assert Reporter.load(runs.classifier).classifier
  for config in (runs.config('classifier'), runs.config()):
    other = {'classify': 'report', 'report': 'classify'}[config.task]
    with config.unlocked():
      config.task = other
    with pytest.raises(UserError, match=f"task is '{other}', but"):
      open_task(config)


@pytest.mark.parametrize(
  'name, variant', [('report', 'proposed'), ('classifier', 'classifier')]
)
def test_checkpoints_of_before_are_resumed_evaluated_and_asked(
  runs, tmp_path, name, variant
):
  """Of format 2, without fields that came later: these have their defaults."""
  workdir = shutil.copytree(runs.root / name, tmp_path / name)
  config = runs.config(variant)
  missing = (('data', 'crop_margin'), ('decode', 'top_p'), ('model', 'remat'))

  def older(meta):
    saved = meta['config']
    for section, field in missing:
      assert config[section][field] == phantom.get_config()[section][field]
      del saved[section][field]
    saved['variant'] = saved.pop('named').partition(':')[2]
    del saved['task'], saved['name'], meta['task'], meta['score']
    if 'classifier' in meta:
      report = meta['classifier']['report_model']
      meta['classifier']['report_model'] = older({'score': 0, **report})
    return {**meta, 'format': 2}

  edit_meta(workdir, older)
  before = sorted((workdir / 'checkpoints').iterdir())
  results = run(config, workdir)
  assert sorted((workdir / 'checkpoints').iterdir()) == before
  expected = runs.results(name)
  assert _scores(results) == _scores(expected)
  for key in ('named_config', 'config'):
    assert results[key] == expected[key]
  said = []
  for folder in (workdir, runs.root / name):
    films = sorted((runs.root / 'data' / 'images').rglob('*.png'))[:1]
    said.append(Reporter.load(folder).report(films).text)
  assert said[0] == said[1]


@pytest.mark.parametrize(
  'name, variant', [('report', 'proposed'), ('classifier', 'classifier')]
)
def test_a_test_split_of_one_study(runs, tmp_path, name, variant):
  """No study is there to shuffle with, or to draw intervals from."""
  data = tmp_path / 'data'
  shutil.copytree(runs.root / 'data', data)
  annotation = json.loads((data / 'annotation.json').read_text())
  annotation['test'] = annotation['test'][:1]
  (data / 'annotation.json').write_text(json.dumps(annotation))
  workdir = shutil.copytree(runs.root / name, tmp_path / name)
  config = runs.config(variant, **{'data.dir': str(data)})
  test = run(config, workdir, mode='evaluate')
  assert test['studies'] == 1
  assert 'shuffled_images' not in test.get('controls', {})
  assert (workdir / 'report.html').exists()
