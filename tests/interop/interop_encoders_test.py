"""Pretrained encoders from files and from the hub, without torch."""

import huggingface_hub
import numpy as np
import pytest
import safetensors.numpy

from benchmarks.speed.ekagen_sizes import SMALL_RESNET
from cmn_jax.convert_r2gencmn import convert_encoder
from cmn_jax.interop.encoders import (
  IMAGENET,
  encoder_shapes,
  load_encoder,
  put_encoder,
)
from cmn_jax.interop.names import ConversionError, flatten, shapes_of
from cmn_jax.interop.resnets import TORCHVISION, resnet_rows
from cmn_jax.models.encoders import ENCODERS
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.tasks.encoder import pretrained_encoder
from cmn_jax.training.checkpoints import META_FORMAT, save_model
from configs import iu_xray
from tests.made import small

ARCH = 'resnet18'


def _write(path, width=64, **changes):
  """A torchvision file of random weights; `changes` replace arrays."""
  rng = np.random.default_rng(0)
  shapes = shapes_of(encoder_shapes(ARCH, width))
  tensors = {
    row.theirs: rng.normal(size=row.shape_there(shapes[row.ours]))
    for row in resnet_rows(ARCH, TORCHVISION, root='')
  }
  tensors |= {'fc.weight': np.zeros((1000, 512)), 'fc.bias': np.zeros(1000)}
  tensors = {k: v.astype(np.float32) for k, v in (tensors | changes).items()}
  tensors['bn1.num_batches_tracked'] = np.array(0)
  safetensors.numpy.save_file(tensors, path)
  return tensors


def test_safetensors_file(tmp_path):
  path = tmp_path / 'model.safetensors'
  tensors = _write(path)
  encoder = load_encoder(str(path), ARCH)
  kernel = encoder['params']['layer2_0']['downsample_conv']['kernel']
  expected = tensors['layer2.0.downsample.0.weight'].transpose(2, 3, 1, 0)
  np.testing.assert_array_equal(kernel, expected)
  variance = encoder['batch_stats']['layer4_1']['bn2']['var']
  np.testing.assert_array_equal(variance, tensors['layer4.1.bn2.running_var'])


def test_convert_and_load_again(tmp_path):
  _write(tmp_path / 'model.safetensors')
  file, folder = str(tmp_path / 'model.safetensors'), str(tmp_path / 'encoder')
  convert_encoder(file, ARCH, folder)
  once, again = flatten(load_encoder(file, ARCH)), load_encoder(folder, ARCH)
  assert once.keys() == flatten(again).keys()
  for path, array in flatten(again).items():
    np.testing.assert_array_equal(array, once[path])
  with pytest.raises(ConversionError, match='holds resnet18, not resnet34'):
    load_encoder(folder, 'resnet34')


def test_encoder_of_an_earlier_run(tmp_path):
  variables = small.variables(ReportGenerator(small.shape()))
  model = {'encoder': ARCH, 'encoder_width': 4}
  meta = {'format': META_FORMAT, 'config': {'model': model}}
  save_model(tmp_path / 'run', variables, meta)
  encoder = load_encoder(str(tmp_path / 'run'), ARCH, 4)
  for kind in ('params', 'batch_stats'):
    wanted = flatten({'params': variables[kind]['visual_encoder']})
    for path, array in flatten({'params': encoder[kind]}).items():
      np.testing.assert_array_equal(array, wanted[path])
  with pytest.raises(ConversionError, match='of another width than 64'):
    load_encoder(str(tmp_path / 'run'), ARCH)


@pytest.mark.parametrize('part', ['report', 'captioner'])
def test_encoder_of_a_part_of_an_earlier_run(tmp_path, part):
  variables = small.variables(ReportGenerator(small.shape()))
  inside = {kind: {part: tree} for kind, tree in variables.items()}
  inside['params']['head'] = {'bias': np.zeros(1)}
  model = {'encoder': ARCH, 'encoder_width': 4}
  meta = {'format': META_FORMAT, 'config': {'model': model}}
  if part == 'report':
    other = {'config': {'model': {'encoder': 'resnet34'}}}
    meta = {**meta, **other, 'classifier': {'report_model': meta}}
  save_model(tmp_path / 'run', inside, meta)
  found = flatten(load_encoder(str(tmp_path / 'run'), ARCH, 4)['params'])
  wanted = flatten(variables['params']['visual_encoder'])
  assert found.keys() == wanted.keys()
  for path, array in found.items():
    np.testing.assert_array_equal(array, wanted[path])


def test_a_run_without_an_encoder_is_told(tmp_path):
  meta = {'format': META_FORMAT, 'task': 'ekagen_knowledge'}
  save_model(tmp_path / 'run', {'params': {'table': np.zeros(1)}}, meta)
  with pytest.raises(ConversionError, match='run holds no visual encoder'):
    load_encoder(str(tmp_path / 'run'), ARCH)


def test_put_encoder():
  variables = {
    'params': {'visual_encoder': 1, 'logits': 2},
    'batch_stats': {'visual_encoder': 3},
  }
  assert put_encoder(variables, {'params': 4, 'batch_stats': 5}) == {
    'params': {'visual_encoder': 4, 'logits': 2},
    'batch_stats': {'visual_encoder': 5},
  }


def test_another_architecture(tmp_path):
  _write(tmp_path / 'model.safetensors')
  with pytest.raises(ConversionError, match=r'as resnet50 .*is missing'):
    load_encoder(str(tmp_path / 'model.safetensors'), 'resnet50')


def test_unknown_architecture():
  with pytest.raises(ConversionError, match='choose from resnet18'):
    load_encoder('x', 'vgg16')


@pytest.mark.parametrize('source', ['no/such/file.safetensors', 'missing.pth'])
def test_no_such_file(source):
  with pytest.raises(ConversionError, match='no such file'):
    load_encoder(source, ARCH)


def test_truncated_file(tmp_path):
  path = tmp_path / 'model.safetensors'
  _write(path)
  path.write_bytes(path.read_bytes()[:5000])
  with pytest.raises(ConversionError, match='damaged'):
    load_encoder(str(path), ARCH)


def test_hub_is_asked_for_the_safetensors(tmp_path, monkeypatch):
  path = tmp_path / 'model.safetensors'
  _write(path)
  asked = []

  def download(*arguments):
    asked.append(arguments)
    return str(path)

  monkeypatch.setattr(huggingface_hub, 'hf_hub_download', download)
  load_encoder('timm/resnet18.tv_in1k', ARCH)
  assert asked == [('timm/resnet18.tv_in1k', 'model.safetensors')]


def test_offline_says_how_to_bring_the_file(monkeypatch):
  monkeypatch.setattr(huggingface_hub, 'hf_hub_download', _offline)
  with pytest.raises(ConversionError) as error:
    load_encoder('timm/resnet101.tv_in1k', 'resnet101')
  assert 'hf download timm/resnet101.tv_in1k model.safetensors' in str(
    error.value
  )


def _offline(*arguments):
  raise OSError('no network')


@pytest.fixture
def section():
  """config.model as published, with a small encoder."""
  section = iu_xray.get_config('cmn').model
  section.encoder = ARCH
  return section


def test_imagenet_is_the_default(section, tmp_path, monkeypatch, capsys):
  path = tmp_path / 'model.safetensors'
  tensors = _write(path)
  monkeypatch.setattr(huggingface_hub, 'hf_hub_download', lambda *a: str(path))
  encoder, start = pretrained_encoder(section)
  np.testing.assert_array_equal(
    encoder['params']['bn1']['scale'], tensors['bn1.weight']
  )
  assert start == 'timm/resnet18.tv_in1k'
  assert f'starts from {start}' in capsys.readouterr().err


def test_imagenet_out_of_reach_is_said_loudly(section, monkeypatch, capsys):
  monkeypatch.setattr(huggingface_hub, 'hf_hub_download', _offline)
  assert pretrained_encoder(section) == (None, 'random weights')
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith('WARNING') and 'RANDOM weights' in line
  assert 'hf download timm/resnet18.tv_in1k model.safetensors' in line
  section.encoder_width = 16
  assert pretrained_encoder(section) == (None, 'random weights')
  assert 'encoder_width=64, not 16' in capsys.readouterr().err


def test_a_name_that_was_given_must_be_there(section, monkeypatch):
  monkeypatch.setattr(huggingface_hub, 'hf_hub_download', _offline)
  for name in ('timm/resnet18.tv_in1k', 'missing.pth'):
    section.pretrained = name
    with pytest.raises(ConversionError):
      pretrained_encoder(section)


def test_random_weights_where_they_are_asked_for(section, capsys):
  section.pretrained = ''
  assert pretrained_encoder(section) == (None, 'random weights')
  assert 'WARNING' not in capsys.readouterr().err


def test_every_encoder_has_imagenet_weights():
  added = {small.TINY, SMALL_RESNET}  # by tests and benchmarks
  assert IMAGENET.keys() == ENCODERS.keys() - added
