"""The ViT encoder: torch's numbers, both layouts of names, and in a model."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors.numpy

from cmn_jax.interop.encoders import encoder_shapes, load_encoder, put_encoder
from cmn_jax.interop.names import ConversionError, flatten, shapes_of
from cmn_jax.interop.r2gencmn import to_r2gencmn
from cmn_jax.interop.vits import vit_tensors
from cmn_jax.losses.report import ReportObjective
from cmn_jax.models.encoders import ENCODERS
from cmn_jax.models.images import normalise_images
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.models.vit import ViT
from cmn_jax.training.checkpoints import META_FORMAT as FORMAT
from cmn_jax.training.checkpoints import find_step, load_model, save_model
from cmn_jax.training.state import init_state
from cmn_jax.training.step import make_train_step
from tests.made import small
from tests.parity.draw import draw_films

ARCH, WIDTH = 'vit_b16', 4
_SCALE = {'mean': [0.5, 0.4, 0.5], 'std': [0.5, 0.5, 0.3]}


def _tensors() -> dict:
  """timm's state dict of random weights, its classifier included."""
  rng = np.random.default_rng(0)
  _, rows, _ = vit_tensors({})
  shapes = shapes_of(encoder_shapes(ARCH, WIDTH))
  tensors = {}
  for row in rows:
    size = row.shape_there(shapes[row.ours])
    scale = 1.5 / np.sqrt(np.prod(size[1:]) if len(size) > 1 else 20)
    tensors[row.theirs] = rng.normal(size=size).astype(np.float32) * scale
  for layer in range(12):
    for kind in ('weight', 'bias'):
      parts = [tensors.pop(f'blocks.{layer}.attn.{n}.{kind}') for n in 'qkv']
      tensors[f'blocks.{layer}.attn.qkv.{kind}'] = np.concatenate(parts)
  tensors['cls_token'] = tensors['cls_token'][None, None]
  tensors['pos_embed'] = tensors['pos_embed'][None]
  tensors['patch_embed.proj.weight'] *= 20
  tensors['head.weight'] = np.zeros((1000, 12 * WIDTH), np.float32)
  tensors['head.bias'] = np.zeros(1000, np.float32)
  return tensors


def _hugging_face(tensors: dict) -> dict:
  """The same under the names of google/vit-base-patch16-224."""
  names = [
    ('cls_token', 'embeddings.cls_token'),
    ('pos_embed', 'embeddings.position_embeddings'),
    ('patch_embed.proj', 'embeddings.patch_embeddings.projection'),
    ('blocks.', 'encoder.layer.'),
    ('attn.proj', 'attention.output.dense'),
    ('mlp.fc1', 'intermediate.dense'),
    ('mlp.fc2', 'output.dense'),
    ('norm1', 'layernorm_before'),
    ('norm2', 'layernorm_after'),
  ]
  renamed = {}
  for name, array in tensors.items():
    if name.startswith('norm.'):
      name = f'layer{name}'
    for old, new in names:
      name = name.replace(old, new)
    if 'attn.qkv' in name:
      for part, third in zip(
        ('query', 'key', 'value'), np.split(array, 3), strict=True
      ):
        new = name.replace('attn.qkv', f'attention.attention.{part}')
        renamed[f'vit.{new}'] = third
    elif name.startswith('head'):
      renamed[name.replace('head', 'classifier')] = array
    else:
      renamed[f'vit.{name}'] = array
  return renamed


def _write(folder, tensors, config='config.json', content=None):
  folder.mkdir(exist_ok=True)
  safetensors.numpy.save_file(tensors, folder / 'model.safetensors')
  if content is None:
    content = {'architecture': 'vit', 'pretrained_cfg': _SCALE}
  (folder / config).write_text(json.dumps(content))
  return str(folder / 'model.safetensors')


@pytest.fixture(scope='module')
def timm_file(tmp_path_factory):
  """A file as timm's hub has it, random."""
  return _write(tmp_path_factory.mktemp('timm'), _tensors())


@pytest.mark.torch
@pytest.mark.parametrize('sides', [(224, 224), (96, 256)])
def test_features_are_torchs(timm_file, sides):
  torch = pytest.importorskip('torch')
  from tests.parity.torch_vit import TorchViT

  twin = TorchViT(WIDTH).eval()
  twin.load_state_dict({k: torch.from_numpy(v) for k, v in _tensors().items()})
  films = draw_films(4, 1, max(sides), seed=1)[..., : sides[0], : sides[1]]
  pixels = torch.from_numpy(films.reshape(4, 1, *sides)).float() / 255
  mean, std = (
    torch.tensor(_SCALE[k])[None, :, None, None] for k in ('mean', 'std')
  )
  with torch.no_grad():
    expected = twin((pixels - mean) / std).numpy()
  images = normalise_images(films.reshape(2, 2, *sides))
  encoder = ENCODERS[ARCH](width=WIDTH)
  got = jax.jit(encoder.apply, static_argnums=3)(
    load_encoder(timm_file, ARCH, WIDTH), images, np.ones((2, 2), bool), False
  )
  assert got.shape == (2, 2, sides[0] // 16, sides[1] // 16, 12 * WIDTH)
  assert np.max(np.abs(got.reshape(expected.shape) - expected)) < 1e-4
  assert expected.std(0).mean() > 0.1  # The films differ, and it shows.


def test_hugging_faces_names(tmp_path, timm_file):
  expected = flatten(load_encoder(timm_file, ARCH, WIDTH))
  scale = {'image_mean': _SCALE['mean'], 'image_std': _SCALE['std']}
  tensors = _hugging_face(_tensors())
  path = _write(tmp_path / 'a', tensors, 'preprocessor_config.json', scale)
  for name, array in flatten(load_encoder(path, ARCH, WIDTH)).items():
    np.testing.assert_array_equal(array, expected[name])
  # Without a classifier its names have no 'vit.' before them.
  bare = {k.removeprefix('vit.'): v for k, v in tensors.items()}
  bare['pooler.dense.bias'] = np.zeros(3, np.float32)
  path = _write(tmp_path / 'b', bare, 'preprocessor_config.json', scale)
  assert flatten(load_encoder(path, ARCH, WIDTH)).keys() == expected.keys()


def test_all_faults_are_listed(tmp_path):
  tensors = _tensors()
  del tensors['blocks.3.norm1.bias']
  tensors['pos_embed'] = tensors['pos_embed'][:, :50]
  tensors['blocks.0.ls1.gamma'] = np.ones(3, np.float32)
  with pytest.raises(ConversionError) as error:
    load_encoder(_write(tmp_path, tensors), ARCH, WIDTH)
  message = str(error.value)
  assert 'in 3 arrays' in message and 'blocks.3.norm1.bias is miss' in message
  assert 'pos_embed is (50, 48), not (197, 48)' in message


@pytest.mark.parametrize(
  ('content', 'said'),
  [
    ({'hidden_size': 768}, 'how its pixels'),
    ({'mean': [0], 'std': [1]}, 'three'),
  ],
)
def test_pixels_of_unknown_scale(tmp_path, content, said):
  path = _write(tmp_path, _tensors(), content=content)
  with pytest.raises(ConversionError, match=said):
    load_encoder(path, ARCH, WIDTH)


def test_films_that_do_not_divide():
  encoder, images = ENCODERS[ARCH](width=WIDTH), jnp.zeros((1, 1, 60, 64, 3))
  with pytest.raises(ValueError, match=r'60 x 64 .* patches of 16'):
    encoder.init(jax.random.key(0), images, np.ones((1, 1), bool), False)


def test_the_authors_have_none():
  with pytest.raises(ConversionError, match='ResNets alone'):
    to_r2gencmn(small.shape(encoder=ARCH), {}, {})


@pytest.fixture
def two_layers(monkeypatch):
  """A ViT that compiles quickly, under ARCH."""
  monkeypatch.setitem(ENCODERS, ARCH, partial(ViT, 2, 12, 16))


def test_every_array_has_a_gradient(two_layers):
  encoder = ENCODERS[ARCH](width=WIDTH)
  images, mask = small.images(1), np.ones((1, 2), bool)
  params = small.drawn(encoder_shapes(ARCH, WIDTH))
  weight = np.random.default_rng(1).normal(size=(1, 2, 4, 4, 12 * WIDTH))
  grads = jax.jit(
    jax.grad(lambda p: jnp.sum(weight * encoder.apply(p, images, mask, True)))
  )(params)
  for name, grad in flatten(grads).items():
    # The shift of all scores of a query is nothing to softmax.
    assert np.any(grad) or name.endswith('key/bias'), name


def test_in_a_model(tmp_path, two_layers):
  model = ReportGenerator(small.shape(encoder=ARCH, encoder_width=WIDTH))
  variables = small.variables(model)
  assert variables['batch_stats'] == {}
  optimizer = optax.sgd(0.1)
  state = init_state(variables, optimizer)
  step = make_train_step(ReportObjective(model), optimizer, 0, None)
  after, _ = jax.eval_shape(step, state, small.batch(2))
  assert jax.tree.structure(after) == jax.tree.structure(state)

  meta = {'format': FORMAT, 'config': {'model': {'encoder': ARCH}}}
  save_model(tmp_path / 'run', variables, meta)
  again, _ = load_model(find_step(tmp_path / 'run'))
  assert flatten(again).keys() == flatten(variables).keys()
  encoder = load_encoder(str(tmp_path / 'run'), ARCH, WIDTH)
  start = put_encoder(small.variables(model, seed=1), encoder)
  np.testing.assert_array_equal(
    start['params']['visual_encoder']['class_token'],
    variables['params']['visual_encoder']['class_token'],
  )
