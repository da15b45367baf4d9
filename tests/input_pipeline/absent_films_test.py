"""Studies with fewer films than a model takes: what is masked is not seen."""

import jax
import numpy as np
import optax
import pytest
from PIL import Image

from cmn_jax.loaded import Loaded
from cmn_jax.losses.report import ReportObjective
from cmn_jax.models.alignment import AlignmentConfig
from cmn_jax.models.config import ModelConfig
from cmn_jax.models.images import normalise_images
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.predict import Reporter
from cmn_jax.training.state import init_state
from cmn_jax.training.step import make_train_step
from configs import phantom
from input_pipeline.images import prepare_films
from input_pipeline.tokenizers import WordTokenizer
from tests.made import small

FINDINGS = 5
OPTIMIZER = optax.sgd(0.1)


@pytest.fixture(scope='module')
def model():
  alignment = AlignmentConfig(form='infonce', temperature=0.1)
  return ReportGenerator(small.tiny(findings=FINDINGS, alignment=alignment))


@pytest.fixture(scope='module')
def variables(model):
  return small.variables(model)


@pytest.fixture(scope='module')
def step(model):
  contrast = AlignmentConfig(
    weight=1.0, form='infonce', margin=0.0, mask_identical=True
  )
  objective = ReportObjective(model, contrast, findings_weight=0.5)
  return jax.jit(make_train_step(objective, OPTIMIZER, 0, None))


def _batch():
  batch = small.batch(4)
  return batch | {'findings_BxL': np.eye(4, FINDINGS, dtype=np.float32)}


def _masked(images, content):
  """The films with `content` in the place of each second one, masked."""
  images = images.copy()
  images[:, 1] = content
  return images, np.array([[True, False]] * len(images))


def test_a_masked_film_is_no_film(model, variables):
  images, ids = small.images(3), small.batch(3)['ids_BxT']
  mask_B = np.ones(3, bool)

  @jax.jit
  def apply(images, mask_BxI):
    batch = {
      'images_BxIxHxW': images,
      'ids_BxT': ids,
      'mask_B': mask_B,
      'mask_BxI': mask_BxI,
    }
    outputs = model.apply(variables, batch)
    _, means_BxIxF = model.apply(
      variables, images, mask_B, False, mask_BxI, method='visual_features'
    )
    return outputs, means_BxIxF

  zeros, means_BxIxF = apply(*_masked(images, 0.0))
  assert zeros.keys() == {'log_probs', 'findings', 'alignment'}
  giant, _ = apply(*_masked(images, 1e6 * images[:, 0]))
  jax.tree.map(np.testing.assert_array_equal, zeros, giant)
  alone, mean_Bx1xF = apply(images[:, :1], mask_B[:, None])
  both, _ = apply(images, np.ones((3, 2), bool))

  def compare(masked, single, other):
    scale = np.abs(single).max()
    np.testing.assert_allclose(masked, single, rtol=0, atol=2e-5 * scale)
    assert np.abs(np.asarray(other) - masked).max() > 1e-4 * scale

  for outputs in (zeros, alone, both):
    outputs['alignment'] = outputs['alignment']['films_BxF']
  jax.tree.map(compare, zeros, alone, both)
  np.testing.assert_allclose(means_BxIxF[:, :1], mean_Bx1xF, rtol=1e-4)
  assert not np.any(means_BxIxF[:, 1])


@pytest.mark.parametrize('present', [(True, False, True, True), (False,) * 4])
def test_training_does_not_see_masked_films(step, variables, present):
  """The last row is every second film of the batch missing."""
  batch = _batch()
  batch['mask_BxI'][:, 1] = present
  after = []
  for content in (0, 255):
    films = batch['images_BxIxHxW'].copy()
    films[~batch['mask_BxI']] = content
    state, metrics = step(
      init_state(variables, OPTIMIZER), batch | {'images_BxIxHxW': films}
    )
    after.append((state.variables, metrics))
  jax.tree.map(np.testing.assert_array_equal, *after)
  for leaf in jax.tree.leaves(after[0]):
    assert np.isfinite(leaf).all()


def test_views_that_nobody_has_train_as_one_view_does(step, variables):
  batch = _batch()
  batch['mask_BxI'][:, 1] = False
  single = {
    name: value[:, :1] if name in ('images_BxIxHxW', 'mask_BxI') else value
    for name, value in batch.items()
  }
  masked, _ = step(init_state(variables, OPTIMIZER), batch)
  alone, _ = step(init_state(variables, OPTIMIZER), single)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
    masked.variables,
    alone.variables,
  )


def test_predict_masks_the_film_that_is_not_given(tmp_path):
  config = phantom.get_config('cmn')
  config.update_from_flattened_dict(
    {
      'data.image_size': small.SIZE,
      'data.max_length': 10,
      'model.encoder': small.add_tiny_encoder(),
      'model.encoder_width': 4,
      'model.memory_slots': 24,
      'model.memory_top_k': 4,
      'model.width': 16,
      'model.hidden': 20,
      'model.layers': 1,
    }
  )
  words = WordTokenizer(
    sorted(['<unk>', *(f'w{n}' for n in range(28))]), 'iu_xray'
  )
  model = ReportGenerator(ModelConfig.of(config, words.vocab_size + 1))
  meta = {
    'config': config.to_dict(),
    'tokenizer': words.to_json(),
    'finding_targets': [],
    'label_source': 'phantom',
  }
  reporter = Reporter(Loaded(small.variables(model), meta, 'a test'))
  rng = np.random.default_rng(0)
  path = tmp_path / 'film.png'
  Image.fromarray(rng.integers(0, 256, (80, 70), np.uint8)).save(path)
  report = reporter.report([path], beam_size=1)
  assert report.attention.shape[1:] == (1, 8, 8)
  np.testing.assert_allclose(report.attention.sum((1, 2, 3)), 1, atol=1e-5)
  film = prepare_films([path], small.SIZE)
  films = np.stack([film, rng.integers(0, 256, film.shape, np.uint8)], axis=1)
  ids = reporter.generate(
    np.asarray(normalise_images(films)), 1, np.array([[True, False]])
  )
  assert report.text == words.decode(ids[0]) != ''
