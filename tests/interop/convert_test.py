"""The commands of cmn_jax.convert: there, back, and all that is refused."""

import dataclasses
import json
import pickle

import jax
import numpy as np
import pytest

from cmn_jax.convert import main
from cmn_jax.interop.names import ConversionError, flatten
from cmn_jax.interop.r2gencmn import (
  expected_variables,
  from_r2gencmn,
  r2gencmn_rows,
)
from cmn_jax.models.alignment import AlignmentConfig
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.training.checkpoints import find_step, load_model, save_model
from tests.made import small
from tests.parity import draw

pytestmark = [
  pytest.mark.torch,
  # ml_collections loads config files in the old way.
  pytest.mark.filterwarnings('ignore:.*load_module:DeprecationWarning'),
]
torch = pytest.importorskip('torch')

SHAPE = small.shape(layers=1, vocabulary=6, max_length=60)
CONFIG = ['--config=configs/iu_xray.py:cmn', *small.flags(SHAPE)]
REPORTS = ['Lungs clear heart.', 'lungs clear. heart', 'Heart lungs clear']


@pytest.fixture
def tensors():
  """The authors' state dict, with its counters."""
  drawn = draw.draw_state_dict(SHAPE, r2gencmn_rows(SHAPE), seed=1)
  drawn = {k: torch.from_numpy(v) for k, v in drawn.items()}
  for name in [k for k in drawn if k.endswith('.running_mean')]:
    counter = name.replace('running_mean', 'num_batches_tracked')
    drawn[counter] = torch.tensor(34)
  position = torch.arange(5000).float()[:, None]
  rate = torch.exp(torch.arange(0, 16, 2).float() * -(np.log(10000.0) / 16))
  table = torch.stack([torch.sin(position * rate), torch.cos(position * rate)])
  table = table.permute(1, 2, 0).flatten(1)[None]
  for name in ('src_embed.0.pe', 'tgt_embed.1.pe'):
    drawn[f'encoder_decoder.model.{name}'] = table.contiguous()
  return drawn


@pytest.fixture
def files(tmp_path, tensors):
  """A folder with model.pth and annotation.json."""
  _save(tmp_path, tensors)
  entries = [{'id': str(n), 'report': r} for n, r in enumerate(REPORTS)]
  (tmp_path / 'annotation.json').write_text(json.dumps({'train': entries}))
  return tmp_path


def _save(folder, tensors):
  content = {
    'epoch': 17,
    'state_dict': tensors,
    'optimizer': {'state': {0: {'step': torch.tensor(1.0)}}},
    'monitor_best': np.float64(0.17),
  }
  torch.save(content, folder / 'model.pth')


def _convert(files, *more, name='model.pth'):
  main(
    [
      'r2gencmn',
      str(files / name),
      *('--annotation', str(files / 'annotation.json')),
      *('--out', str(files / 'out')),
      *CONFIG,
      *more,
    ]
  )


def _refused(files, *more, **name) -> str:
  """The one line that is said; nothing is written."""
  before = sorted(path.name for path in files.iterdir())
  with pytest.raises(SystemExit) as error:
    _convert(files, *more, **name)
  message = str(error.value)
  assert message.startswith('error: ') and '\n' not in message
  assert sorted(path.name for path in files.iterdir()) == before
  return message


def test_r2gencmn(files, tensors):
  _convert(files)
  variables, meta = load_model(find_step(files / 'out'))
  arrays = {k: v.numpy() for k, v in tensors.items()}
  expected = from_r2gencmn(ReportGenerator(SHAPE), arrays, 'x')
  for path, array in flatten(expected).items():
    np.testing.assert_array_equal(flatten(variables)[path], array)
  assert meta['tokenizer']['words'] == ['.', '<unk>', 'clear', 'heart', 'lungs']
  assert meta['config']['model']['memory_slots'] == 24
  assert meta['dataset'] == 'iu_xray'


def test_one_view(files):
  _convert(
    files,
    '--config.data.views=1',
    '--config.data.max_length=100',
    '--config.data.clean=mimic_cxr',
  )
  _, meta = load_model(find_step(files / 'out'))
  assert meta['config']['data']['views'] == 1
  assert meta['dataset'] == 'mimic_cxr'


def test_way_back_is_bit_exact(files, tensors):
  _convert(files)
  main(['to-r2gencmn', str(files / 'out'), '--out', str(files / 'back.pth')])
  back = torch.load(files / 'back.pth', weights_only=True)
  assert (back['epoch'], back['monitor_best']) == (17, 0.17)
  back = back['state_dict']
  assert back.keys() == tensors.keys()
  for name, tensor in tensors.items():
    assert back[name].dtype == tensor.dtype
    assert torch.equal(back[name], tensor), name
  first, second = (
    back[f'encoder_decoder.{name}cmn.linears.3.bias'] for name in ('', 'model.')
  )
  assert first.data_ptr() == second.data_ptr()


def test_heads_that_the_authors_do_not_have_stay_behind(files, tensors):
  _convert(files)
  variables, meta = load_model(find_step(files / 'out'))
  more = ReportGenerator(
    dataclasses.replace(SHAPE, alignment=AlignmentConfig(), findings=2)
  )
  heads = expected_variables(more)['params']
  for name in ('alignment', 'findings'):
    variables['params'][name] = jax.tree.map(
      lambda x: np.ones(x.shape, x.dtype), heads[name]
    )
  meta['config']['alignment']['weight'] = 1.0
  meta['finding_targets'] = ['edema', 'mass']
  save_model(files / 'more', variables, meta)
  main(['to-r2gencmn', str(files / 'more'), '--out', str(files / 'back.pth')])
  back = torch.load(files / 'back.pth', weights_only=True)['state_dict']
  assert back.keys() == tensors.keys()
  assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_way_back_of_another_variant(files):
  _convert(files)
  variables, meta = load_model(find_step(files / 'out'))
  for name in ('memory', 'memory_query'):
    del variables['params'][name]
  meta['config']['model']['memory'] = 'none'
  save_model(files / 'base', variables, meta)
  with pytest.raises(SystemExit, match='R2GenCMN has one memory'):
    main(['to-r2gencmn', str(files / 'base'), '--out', str(files / 'b.pth')])
  assert not (files / 'b.pth').exists()


def test_what_exists_is_left_alone(files):
  (files / 'out').mkdir()
  (files / 'out' / 'mine').touch()
  assert 'is not empty' in _refused(files)
  with pytest.raises(SystemExit, match='exists'):
    main(['to-r2gencmn', 'x', '--out', str(files / 'model.pth')])


class _Attack:
  """Creates a file when it is unpickled."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return open, (str(self.path), 'w')


@pytest.mark.parametrize('plain', [True, False])
def test_a_pickle_that_runs_code(files, plain):
  attack = {'state_dict': {}, 'epoch': _Attack(files / 'attacked')}
  if plain:
    (files / 'model.pth').write_bytes(pickle.dumps(attack))
  else:
    torch.save(attack, files / 'model.pth')
  message = _refused(files)
  assert 'run code' in message
  assert plain or 'io.open' in message


@pytest.mark.parametrize(
  'content, says',
  [
    (torch.nn.Linear(2, 2), 'run code'),
    ({'model': torch.ones(2)}, 'has no state_dict'),
    ({'state_dict': {'a': 3}}, 'no state dict: a'),
  ],
)
def test_another_content(files, content, says):
  torch.save(content, files / 'model.pth')
  assert says in _refused(files)


@pytest.mark.parametrize('size', [0, 100, 20_000])
def test_truncated(files, size):
  path = files / 'model.pth'
  path.write_bytes(path.read_bytes()[:size])
  assert 'damaged, cut short' in _refused(files)


def test_no_torch_file(files):
  (files / 'model.pth').write_text('a text')
  assert 'no file that torch.save wrote' in _refused(files)
  (files / 'model.pth').unlink()
  assert 'no such file' in _refused(files)
  message = _refused(files, name='model.safetensors')
  assert 'model.safetensors is a safetensors file' in message


@pytest.mark.parametrize(
  'argument, says',
  [
    ('--config.model.encoder=resnet50', ('does not fit', 'bn3.weight is mis')),
    (
      '--config.data.min_count=4',
      ('6 logits', 'gives 3 (2 words and the 0)', 'split', 'threshold'),
    ),
    ('--config.alignment.weight=1.0', ('no alignment', 'cmn')),
    ('--config.model.memory=none', ('one memory',)),
    ('--config=configs/none.py', ('config',)),
    ('--config.model.none=3', ('config',)),
    ('--wrong', ('unknown arguments',)),
  ],
)
def test_a_config_of_another_model(files, argument, says):
  message = _refused(files, argument)
  assert all(part in message for part in says)


@pytest.mark.parametrize(
  ('content', 'said'),
  [
    ('{', 'no annotation.json'),
    ('[]', 'no annotation.json'),
    ('{"train": [{"id": 1}]}', 'no annotation.json'),
    ('{"train": []}', 'no reports'),
    ('{"train": [{"report": 3}]}', 'no reports'),
    (None, 'cannot be read'),
  ],
)
def test_bad_annotation(files, content, said):
  (files / 'annotation.json').unlink()
  if content is not None:
    (files / 'annotation.json').write_text(content)
  assert said in _refused(files)


def test_pth_encoder(tmp_path):
  from cmn_jax.interop.encoders import encoder_shapes, load_encoder
  from cmn_jax.interop.names import shapes_of
  from cmn_jax.interop.resnets import TORCHVISION, resnet_rows

  shapes = shapes_of(encoder_shapes('resnet18', 64))
  tensors = {
    row.theirs: torch.rand(row.shape_there(shapes[row.ours]))
    for row in resnet_rows('resnet18', TORCHVISION, root='')
  }
  torch.save(tensors, tmp_path / 'resnet18.pth')
  encoder = load_encoder(str(tmp_path / 'resnet18.pth'), 'resnet18')
  np.testing.assert_array_equal(
    encoder['params']['conv1']['kernel'],
    tensors['conv1.weight'].numpy().transpose(2, 3, 1, 0),
  )
  torch.save({'conv1.weight': torch.ones(1)}, tmp_path / 'resnet18.pth')
  with pytest.raises(ConversionError, match='does not fit'):
    load_encoder(str(tmp_path / 'resnet18.pth'), 'resnet18')
