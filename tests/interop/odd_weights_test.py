"""Weights and metas that claim what they do not hold."""

import json

import numpy as np
import pytest

from cmn_jax.interop.files import (
  read_pth,
  read_safetensors,
  tensors_of,
  whole_number,
)
from cmn_jax.interop.names import ConversionError
from cmn_jax.training import hub
from cmn_jax.training.checkpoints import CheckpointError, load_meta, make_meta
from configs import phantom
from input_pipeline.errors import UserError

torch = pytest.importorskip('torch')


def saved(tmp_path, content):
  torch.save(content, tmp_path / 'a.pth')
  return read_pth(tmp_path / 'a.pth')


@pytest.mark.parametrize('kind', ['half', 'float', 'double'])
def test_a_stride_of_0_is_not_made_dense(tmp_path, kind):
  one = getattr(torch.ones(1), kind)()
  content = saved(tmp_path, {'a': one.expand(1 << 30), 'b': torch.ones(3)})
  with pytest.raises(ConversionError, match='claims arrays of'):
    tensors_of(content, 'a.pth')


def test_names_of_one_array_are_converted_once(tmp_path):
  array = torch.ones(1000, 2).half()
  content = saved(tmp_path, {f'a{n}': array for n in range(100)})
  arrays = tensors_of(content, 'a.pth')
  assert len({id(value) for value in arrays.values()}) == 1
  np.testing.assert_array_equal(arrays['a7'], np.ones((1000, 2), np.float32))


@pytest.mark.parametrize(
  'content',
  [
    {'a': torch.ones(2, 2).to_sparse()},
    {'a': torch.ones(2, dtype=torch.complex64)},
    {3: torch.ones(2)},
    {'a': 1.0},
    torch.ones(2),
    None,
    {},
  ],
)
def test_what_is_no_state_dict(content):
  with pytest.raises(ConversionError, match='no state dict'):
    tensors_of(content, 'a.pth')


@pytest.mark.parametrize(
  'value', [None, 'two', float('nan'), [1], torch.ones(2)]
)
def test_an_epoch_that_is_no_number(value):
  with pytest.raises(ConversionError, match='its epoch is'):
    whole_number({'epoch': value}, 'epoch', 'a.pth')


def test_types_that_numpy_has_not(tmp_path):
  head = {'a': {'dtype': 'F8_E4M3', 'shape': [2], 'data_offsets': [0, 2]}}
  text = json.dumps(head).encode()
  path = tmp_path / 'a.safetensors'
  path.write_bytes(len(text).to_bytes(8, 'little') + text + b'\0\0')
  with pytest.raises(ConversionError, match='float32 or float16'):
    read_safetensors(path)


def meta():
  about = {'tokenizer': {'words': ['a']}, 'dataset': 'x', 'label_source': None}
  return make_meta(phantom.get_config('cmn'), [], 0.5, about)


def read(folder, content):
  (folder / 'meta').mkdir()
  (folder / 'meta' / 'metadata').write_text(json.dumps(content))
  return load_meta(folder)


def test_a_good_meta_is_what_was_written(tmp_path):
  found = read(tmp_path, meta())
  assert found == json.loads(json.dumps(meta()))
  with pytest.raises(UserError, match="meta, has no field 'finding_targets'"):
    found['finding_targets']
  with pytest.raises(UserError, match="tokenizer, has no field 'clean'"):
    found['tokenizer']['clean']


@pytest.mark.parametrize('content', ['[]', '"a"', '[' * 5_000, '{"a": 1}'])
def test_a_hub_folder_of_others(tmp_path, content):
  hub.write_hub_folder(tmp_path, {'params': {'a': np.ones(2)}}, meta(), 'A.')
  assert hub.read_hub_folder(tmp_path)[1]['task'] == 'report'
  (tmp_path / hub.CONFIG).write_text(content)
  with pytest.raises(CheckpointError, match='cannot read the checkpoint'):
    hub.read_hub_folder(tmp_path)


@pytest.mark.parametrize(
  ('path', 'value', 'message'),
  [
    ('', [2], 'of format None'),
    ('', 'text', 'of format None'),
    ('config', [], 'no meta of a checkpoint'),
    ('config.model', 3, 'no meta of a checkpoint'),
    ('config.data.max_length', 10**9, 'more than 10,000'),
    ('config.model.layers', 10**5, 'more than 200'),
    ('config.model.width', 10**6, 'more than 20,000'),
    ('config.model.width', 12.5, 'config.model.width is'),
    ('config.model.width', True, 'config.model.width is'),
    ('config.model.encoder', None, 'config.model.encoder is'),
    ('config.optim.rate', 'fast', 'config.optim.rate is'),
    ('config.optim.rate', float('nan'), 'config.optim.rate is nan'),
    ('history', {}, 'history is'),
    ('history', [3], 'history holds'),
    ('score', 'best', 'score is'),
    ('tokenizer', None, 'tokenizer is'),
    ('finding_targets', [1], 'finding_targets holds'),
    ('task', None, 'task is'),
    ('film_statistics', {'centre_D': [1]}, 'film_statistics are not'),
  ],
)
def test_metas_of_other_types_and_sizes(tmp_path, path, value, message):
  content = json.loads(json.dumps(meta()))
  part = content
  *sections, name = path.split('.')
  for section in sections:
    part = part[section]
  if name:
    part[name] = value
  with pytest.raises(CheckpointError, match=message):
    read(tmp_path, content if name else value)
