"""Every config field is read, and every variant builds."""

import ast
from pathlib import Path

import jax
import pytest
from ml_collections import ConfigDict

from cmn_jax.models.config import ModelConfig
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.training.state import variable_shapes
from configs import iu_xray, mimic_cxr, phantom

ROOT = Path(__file__).parent.parent
CONFIGS = {'iu_xray': iu_xray, 'mimic_cxr': mimic_cxr, 'phantom': phantom}


def _read_names() -> set[str]:
  """Attributes that the program reads anywhere."""
  return {
    node.attr
    for path in ROOT.glob('cmn_jax/**/*.py')
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.Attribute)
  }


def _fields(config: ConfigDict, prefix=''):
  for key, value in config.items():
    if isinstance(value, ConfigDict):
      yield from _fields(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}'


@pytest.mark.parametrize('name', CONFIGS)
def test_every_field_is_read(name):
  read = _read_names()
  for field in _fields(CONFIGS[name].get_config()):
    assert field.split('.')[-1] in read, f'{field} of {name} is never read'


@pytest.mark.parametrize('name', CONFIGS)
def test_all_configs_have_the_same_fields(name):
  assert list(_fields(CONFIGS[name].get_config())) == list(
    _fields(iu_xray.get_config())
  )


@pytest.mark.parametrize('variant', iu_xray.VARIANTS)
@pytest.mark.parametrize('name', CONFIGS)
def test_every_variant_builds(name, variant):
  config = CONFIGS[name].get_config(variant)
  model = ReportGenerator(ModelConfig.of(config, 761))
  shapes = variable_shapes(model, config.data.views, config.data.image_size)
  has_memory = 'memory' in shapes['params']
  assert has_memory == (variant != 'base')
  assert ('text_memory' in shapes['params']) == (variant == 'mem')
  assert ('alignment' in shapes['params']) == (variant == 'proposed')
  make_optimizer(OptimConfig(**config.optim), 10, 1)
  Decoding(**config.decode, seed=config.seed)


def test_published_sizes():
  model = ReportGenerator(ModelConfig.of(iu_xray.get_config('cmn'), 761))
  shapes = variable_shapes(model, 2, 224)
  params = shapes['params']
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
  model = ReportGenerator(ModelConfig.of(config, 400))
  shapes = variable_shapes(model, 1, 224)
  assert shapes['params']['logits']['kernel'].shape == (512, 400)


def test_one_command_runs_several_seeds():
  config = phantom.get_config().lock()
  assert runs_of(config, 'runs/x') == [(config, 'runs/x')]
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
  with pytest.raises(ValueError, match='seeds is 0'):
    runs_of(config, 'runs/x')


def test_an_unknown_variant_is_named():
  with pytest.raises(ValueError, match=r'cmm.*base, mem, cmn, proposed'):
    iu_xray.get_config('cmm')


@pytest.mark.parametrize(
  'field, value, says',
  [
    ('model.dtype', 'float16', 'float32, bfloat16'),
    ('decode.method', 'best', 'beam, greedy, sample'),
    ('decode.beam_size', 0, 'at least 1'),
  ],
)
def test_wrong_values_are_named(field, value, says):
  config = phantom.get_config()
  config.update_from_flattened_dict({field: value})
  with pytest.raises(ValueError, match=says):
    ReportGenerator(ModelConfig.of(config, 100))
    Decoding(**config.decode, seed=config.seed)
