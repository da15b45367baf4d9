"""Every field is read, every variant builds, wrong fields are named."""

from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from cmn_jax.decoding.generate import Decoding, make_writer
from cmn_jax.models.alignment import AlignmentConfig
from cmn_jax.models.classifier import ClassifierConfig
from cmn_jax.models.config import ModelConfig
from cmn_jax.models.ekagen_config import EkagenConfig
from cmn_jax.models.film_features import OpinionConfig
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.opening import runs_of
from cmn_jax.training.optimizer import OptimConfig, make_optimizer
from cmn_jax.training.state import study_batch, variable_shapes
from configs import (
  base,
  difference,
  iu_xray,
  iu_xray_cpu,
  mimic_cxr,
  phantom,
)
from input_pipeline.augmentation import DRAWS, augment_film
from input_pipeline.config import Augmentation, DataConfig
from input_pipeline.data import open_data
from input_pipeline.errors import UserError
from input_pipeline.tensorflow_cpu import tf
from tests.made import small
from tests.made.reads import recorded

CONFIGS = {'iu_xray': iu_xray, 'mimic_cxr': mimic_cxr, 'phantom': phantom}


def _fields(config: ConfigDict, prefix=''):
  for key, value in config.items():
    if isinstance(value, ConfigDict):
      yield from _fields(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}'


@pytest.mark.parametrize('name', CONFIGS)
def test_all_configs_have_the_same_fields(name):
  assert list(_fields(CONFIGS[name].get_config())) == list(
    _fields(iu_xray.get_config())
  )


def test_every_field_is_read(runs):
  """By lines of the program, when small models train and are evaluated."""
  config = phantom.get_config()
  model = ReportGenerator(
    small.shape(alignment=AlignmentConfig(form='infonce'))
  )
  shapes = variable_shapes(model, study_batch(2, small.SIZE, 10))
  with recorded() as reads:
    # What those two runs, of the authors' recipe and our own, do not do.
    OptimConfig(**iu_xray.get_config().optim).schedules(10, 1)[1](0)
    write = make_writer(model, Decoding('sample', 1, 0.7, 0.9, 0))
    jax.eval_shape(write, shapes, small.images(1), np.ones(1, bool))
    jax.eval_shape(lambda v: model.apply(v, small.batch(1)), shapes)
    pieces = {'data.tokenizer': 'unigram', 'data.pieces': 60}
    open_data(DataConfig(**runs.config(**pieces).data))
    runs_of(config, 'runs/x')
    # As it stands: in a pipeline TensorFlow runs a translation of it.
    image = tf.zeros((40, 40), tf.uint8)
    more = Augmentation(crop=True, rotate=5.0, brightness=0.1, contrast=0.1)
    draws = tf.fill([DRAWS], tf.constant(0.5, tf.float64))
    augment_film(image, 32, draws, tf.constant(False), more)
  unread = set(_fields(config)) - runs.reads - reads
  # That section has a test of its own, in tests/tasks/ekagen_task_test.py.
  unread = {field for field in unread if not field.startswith('ekagen.')}
  assert not unread


def test_unpacking_and_checking_a_section_reads_no_field():
  config = phantom.get_config()
  with recorded() as reads:
    assert DataConfig(**config.data) == DataConfig(**config.data)
    Decoding(**config.decode, seed=1)
  assert not reads


def _params(config, vocabulary=761):
  """Shapes of the report model's parameters."""
  model = ReportGenerator(ModelConfig.of(config, vocabulary))
  c = config.data
  batch = study_batch(c.views, c.image_size, c.max_length)
  return variable_shapes(model, batch)['params']


@pytest.mark.parametrize('variant', base.VARIANTS)
@pytest.mark.parametrize('name', CONFIGS)
def test_every_variant_builds(name, variant):
  config = CONFIGS[name].get_config(variant)
  task, _ = base.VARIANTS[variant]
  assert (config.task, config.name) == (task, variant)
  assert config.named == f'{name}.py:{variant}'
  assert difference.changes(config) == {}
  DataConfig(**config.data)
  make_optimizer(OptimConfig(**config.optim), 10, 1)
  Decoding(**config.decode, seed=config.seed)
  EkagenConfig.of(config.ekagen)
  ClassifierConfig(**config.classifier)
  if task == 'report':
    params = _params(config)
    assert ('memory' in params) == (variant != 'base')
    assert ('text_memory' in params) == (variant == 'mem')
    assert ('alignment' in params) == (variant == 'proposed')


def test_published_sizes():
  params = _params(iu_xray.get_config('cmn'))
  assert params['memory'].shape == (2048, 512)
  assert params['logits']['kernel'].shape == (512, 761)
  encoder = sum(x.size for x in jax.tree.leaves(params['visual_encoder']))
  assert encoder == 42_500_160  # torchvision's resnet101 without its classifier


def test_the_recipe_of_mimic_cxr():
  config = mimic_cxr.get_config('cmn')
  assert config.data.views == 1
  assert (config.data.max_length, config.data.min_count) == (100, 10)
  assert (config.optim.step_epochs, config.optim.gamma) == (3, 0.8)
  assert (config.optim.visual_rate, config.optim.rate) == (1e-4, 5e-4)
  assert (config.train.epochs, config.train.batch_size) == (30, 16)
  assert _params(config, 400)['logits']['kernel'].shape == (512, 400)


def test_a_field_that_came_later_changes_no_saved_run():
  """Though the config that the run names has another value of it today."""
  saved = phantom.get_config('ekagen_rn101').to_dict()
  assert saved['ekagen'].pop('placed_tokens')
  completed = difference.completed(saved)
  assert completed['ekagen'].pop('placed_tokens') is False
  assert completed == saved


def test_the_laptop_recipe_has_prompts():
  config = iu_xray_cpu.get_config('prompted')
  assert difference.changes(config) == {}
  assert config.train.freeze == 'visual_encoder'
  model = ModelConfig.of(config, 100, prompted=['edema', 'nodule'])
  # Four stages of 80 to 320 channels, three poolings, two films.
  features = 6 * (80 + 112 + 192 + 320)
  assert model.opinion == OpinionConfig(features, 2, 0.16, 0.22)
  assert ModelConfig.of(iu_xray_cpu.get_config('cmn'), 100).opinion is None


def test_the_laptop_recipe_has_both_encoders_of_ekagen():
  frozen = iu_xray_cpu.get_config('ekagen_rn101')
  assert frozen.model.encoder == 'efficientnet_lite0'
  assert frozen.train.freeze == 'visual_encoder'
  vit = iu_xray_cpu.get_config('ekagen_vitb16')
  assert (vit.model.encoder, vit.model.encoder_width) == ('vit_b16', 8)
  assert vit.train.freeze == '' and vit.model.pretrained == ''


def test_one_command_runs_several_seeds():
  config = phantom.get_config().lock()
  assert runs_of(config, 'runs/x') == [(config, Path('runs/x'))]
  config.seeds = 3
  runs = runs_of(config, 'runs/x')
  assert [str(workdir) for _, workdir in runs] == [
    f'runs/x/seed_{config.seed + n}' for n in range(3)
  ]
  # Each run goes on as one of a single seed.
  assert [(c.seed, c.seeds) for c, _ in runs] == [
    (config.seed + n, 1) for n in range(3)
  ]
  assert config.seeds == 3
  config.seeds = 0
  with pytest.raises(UserError, match='seeds is 0'):
    runs_of(config, 'runs/x')


def test_an_unknown_variant_is_named():
  with pytest.raises(ValueError, match=r'cmm.*base, mem, cmn, proposed'):
    iu_xray.get_config('cmm')


@pytest.mark.parametrize(
  'field, value, says',
  [
    ('model.dtype', 'float16', 'float32, bfloat16'),
    ('model.prompts', 'words', "choose from '' and 'findings'"),
    ('decode.method', 'best', 'beam, greedy, sample'),
    ('decode.beam_size', 0, 'at least 1'),
  ],
)
def test_wrong_values_are_named(field, value, says):
  config = phantom.get_config()
  config.update_from_flattened_dict({field: value})
  with pytest.raises(UserError, match=says):
    ReportGenerator(ModelConfig.of(config, 100))
    Decoding(**config.decode, seed=config.seed)
