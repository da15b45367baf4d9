"""Tables of names: shapes checked, all faults at once, there and back."""

import numpy as np
import pytest

from cmn_jax.interop.names import (
  ConversionError,
  Row,
  check_fit,
  shapes_of,
  to_state_dict,
  to_variables,
)
from cmn_jax.interop.r2gencmn import (
  POSITION_NAMES,
  expected_variables,
  from_r2gencmn,
  r2gencmn_rows,
  to_r2gencmn,
)
from cmn_jax.interop.resnets import TORCHVISION, resnet_rows
from cmn_jax.models.layers import sinusoids
from cmn_jax.models.report_generator import ReportGenerator
from tests.made.small import shape
from tests.parity import draw, golden

_CMN = 'encoder_decoder.cmn.linears.0.weight'
_COPY = 'encoder_decoder.model.cmn.linears.0.weight'
_MEMORY = 'encoder_decoder.memory_matrix'


@pytest.fixture
def tensors():
  """The authors' state dict of a tiny model."""
  table = r2gencmn_rows(golden.SHAPE)
  return draw.draw_state_dict(golden.SHAPE, table, seed=1)


def _convert(tensors):
  return from_r2gencmn(ReportGenerator(golden.SHAPE), tensors, 'model.pth')


@pytest.mark.parametrize('encoder', ['resnet18', 'resnet34', 'resnet50'])
def test_the_table_names_every_array_once(encoder):
  small = shape(encoder=encoder)
  rows = r2gencmn_rows(small)
  names = [name for row in rows for name in row.names]
  assert len(names) == len(set(names))
  expected = shapes_of(expected_variables(ReportGenerator(small)))
  assert sorted(row.ours for row in rows) == sorted(expected)


def test_torchvisions_resnet101_has_these_arrays():
  rows = resnet_rows('resnet101', TORCHVISION)
  # 104 convolutions, 104 norms of four arrays each; known from torchvision.
  assert len(rows) == 104 + 4 * 104
  names = {row.theirs for row in rows}
  assert {'layer3.22.bn3.running_var', 'layer1.0.downsample.1.bias'} <= names


def test_axes():
  conv, linear = Row('a', 'b', 'conv'), Row('a', 'b', 'linear')
  array = np.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7)
  assert conv.to_ours(array)[4, 6, 2, 1] == array[1, 2, 4, 6]
  assert conv.shape_there((5, 7, 3, 2)) == array.shape
  np.testing.assert_array_equal(conv.to_theirs(conv.to_ours(array)), array)
  np.testing.assert_array_equal(linear.to_ours(array[0, 0]), array[0, 0].T)


def test_there_and_back_is_exact(tensors):
  back = to_r2gencmn(golden.SHAPE, _convert(tensors), {})
  assert tensors.keys() == {k for k in back if 'num_batches' not in k}
  for name, tensor in tensors.items():
    np.testing.assert_array_equal(back[name], tensor)


def test_names_of_several_gpus(tensors):
  parallel = {f'module.{k}': v for k, v in tensors.items()}
  np.testing.assert_array_equal(
    _convert(parallel)['params']['memory'], tensors[_MEMORY]
  )


def test_all_faults_are_listed_at_once(tensors):
  del tensors[_MEMORY]
  tensors['visual_extractor.model.0.weight'] = np.zeros((4, 3, 5, 5), 'f')
  tensors['encoder_decoder.extra'] = np.zeros(1, np.float32)
  tensors['encoder_decoder.logit.bias'] = np.zeros(30, np.int64)
  with pytest.raises(ConversionError) as error:
    _convert(tensors)
  message = str(error.value)
  assert f'{_MEMORY} is missing' in message
  assert 'model.0.weight is (4, 3, 5, 5), not (4, 3, 7, 7)' in message
  assert 'encoder_decoder.extra is surplus' in message
  assert 'logit.bias holds int64' in message
  assert 'in 4 arrays' in message


def test_a_long_list_is_cut(tensors):
  short = {k: v for k, v in tensors.items() if 'decoder.layers' not in k}
  with pytest.raises(ConversionError, match='and 40 more'):
    _convert(short)


def test_unequal_copies(tensors):
  tensors[_COPY] = tensors[_CMN] + 1
  with pytest.raises(ConversionError, match='twice with different numbers'):
    _convert(tensors)


def test_another_vocabulary_says_both_sizes(tensors):
  tensors['encoder_decoder.logit.weight'] = np.zeros((40, 32), np.float32)
  with pytest.raises(ConversionError, match=r'40 logits.* gives 30 \(29 words'):
    _convert(tensors)


def test_positions_are_checked(tensors):
  for name in POSITION_NAMES:
    tensors[name] = sinusoids(5000, 32)[None]
  _convert(tensors)
  tensors[POSITION_NAMES[0]] = sinusoids(5000, 32)[None] + 0.01
  with pytest.raises(ConversionError, match='other positions'):
    _convert(tensors)


@pytest.mark.parametrize('memory', ['none', 'separate'])
def test_variants_that_the_authors_have_not(memory):
  with pytest.raises(ConversionError, match='one memory'):
    to_r2gencmn(shape(memory=memory), {}, {})


def test_half_precision_becomes_float32():
  rows = [Row('params/x', 'x')]
  half = {'x': np.array([0.5], np.float16)}
  check_fit(rows, {'params/x': (1,)}, half, (), 'a file')
  variables = to_variables(rows, half)
  assert variables['params']['x'].dtype == np.float32
  assert to_state_dict(rows, variables)['x'] == 0.5
