"""The generator: causality, caching, views, memories, batch independence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cmn_jax.decoding.generate import (
  BucketedWriter,
  Decoding,
  attention_of_words,
  make_writer,
)
from cmn_jax.losses.words import findings_loss
from cmn_jax.models.config import MEMORIES
from cmn_jax.models.report_generator import ReportGenerator
from tests.made import small


def _log_probs(model, variables, images, ids):
  mask = np.ones(len(ids), bool)
  return jax.jit(lambda v, x: model.apply(v, x, ids, mask, method='log_probs'))(
    variables, images
  )


@pytest.mark.parametrize('memory', MEMORIES)
def test_cached_decoding_equals_full_decoding(memory):
  model = ReportGenerator(small.tiny(memory=memory))
  variables, images = small.variables(model), small.images(3)
  # No inner zeros: full decoding would hide them as padding.
  ids = np.random.default_rng(0).integers(1, 30, (3, 10))
  ids[:, 0] = 0

  def begin(module, images):
    patches, mask = module.encode(images, np.ones(3, bool))
    return module.start_decoding(patches, mask, 1)

  shared, cache = jax.jit(lambda v, x: model.apply(v, x, method=begin))(
    variables, images
  )
  step = jax.jit(lambda v, *state: model.apply(v, *state, method='decode_step'))
  rows = []
  for t in range(9):
    row, cache, _ = step(variables, ids[:, t : t + 1], t, cache, shared)
    rows.append(row[:, 0])
  cached = jnp.stack(rows, 1)
  full = _log_probs(model, variables, images, ids)
  np.testing.assert_allclose(cached, full, atol=3e-5)
  np.testing.assert_allclose(np.exp(full).sum(-1), 1, atol=1e-5)


def test_the_findings_head_alone_says_the_same():
  model = ReportGenerator(small.tiny(findings=3))
  variables, batch = small.variables(model), small.batch(2)
  batch['mask_BxI'][0, 1] = False
  heads = jax.jit(
    lambda v, b: (
      model.apply(v, b)['findings'],
      model.apply(v, b, method='find'),
    )
  )
  np.testing.assert_allclose(*heads(variables, batch), atol=1e-5)


def test_a_study_without_any_image_spoils_no_gradient():
  """As a film that cannot be read leaves it; the loss masks it."""
  model = ReportGenerator(small.tiny(findings=3))
  variables, batch = small.variables(model), small.batch(2)
  batch['mask_BxI'][0] = batch['mask_B'][0] = False

  def loss(params):
    found = model.apply({**variables, 'params': params}, batch, method='find')
    return findings_loss(found, np.ones((2, 3)), batch['mask_B'])[0]

  for value in jax.tree.leaves(jax.value_and_grad(loss)(variables['params'])):
    assert np.isfinite(value).all()


def test_words_do_not_see_later_words():
  model = ReportGenerator(small.tiny())
  variables, images = small.variables(model), small.images(1)
  ids = np.full((1, 10), 5)
  ids[:, 0] = 0

  patches, mask = jax.jit(
    lambda v, x: model.apply(v, x, np.ones(1, bool), method='encode')
  )(variables, images)

  def rows(table):
    params = {**variables['params'], 'word_embed': table}
    changed = {**variables, 'params': params}
    return model.apply(changed, ids[:, :-1], patches, mask, method='decode')

  # Only position 6 holds word 7, so its row's gradient shows who sees it.
  ids[0, 6] = 7
  jacobian = jax.jit(jax.jacrev(lambda t: rows(t)[0].sum(-1)))(
    variables['params']['word_embed']
  )
  seen = np.abs(jacobian[:, 7]).max(-1) > 0
  np.testing.assert_array_equal(seen, np.arange(9) >= 6)


def test_padding_does_not_change_what_stands_before():
  model = ReportGenerator(small.tiny())
  variables, images = small.variables(model), small.images(2)
  ids = small.batch(2)['ids_BxT']
  ids[:, 5:] = 0
  short = _log_probs(model, variables, images, ids[:, :6])
  np.testing.assert_allclose(
    short, _log_probs(model, variables, images, ids)[:, :5], atol=1e-5
  )


def test_a_report_depends_on_its_own_films_alone():
  model = ReportGenerator(small.tiny())
  variables, images = small.variables(model), small.images(3)
  ids = small.batch(3)['ids_BxT']
  together = _log_probs(model, variables, images, ids)
  alone = _log_probs(model, variables, images[1:2], ids[1:2])
  np.testing.assert_allclose(together[1:2], alone, atol=1e-5)


def test_one_view_from_the_weights_of_two():
  model = ReportGenerator(small.tiny())
  variables = small.variables(model)
  ids = small.batch(2)['ids_BxT']
  one = _log_probs(model, variables, small.images(2, views=1), ids)
  assert one.shape == (2, 9, 30)
  assert np.isfinite(one).all()


def test_memory_changes_what_is_written():
  model = ReportGenerator(small.tiny(memory='separate'))
  variables, images = small.variables(model), small.images(1)
  ids = small.batch(1)['ids_BxT']
  before = _log_probs(model, variables, images, ids)
  for name in ('memory', 'text_memory'):
    params = {**variables['params']}
    params[name] = -params[name]
    after = _log_probs(model, {**variables, 'params': params}, images, ids)
    assert np.abs(after - before).max() > 1e-4, name


def test_attention_of_words_sums_to_one_over_patches():
  model = ReportGenerator(small.tiny())
  variables = small.variables(model)
  ids = np.random.default_rng(0).integers(1, 30, (2, 10))
  look = jax.jit(attention_of_words(model))
  weights = look(variables, small.images(2), ids)
  assert weights.shape == (2, 10, 2 * 8 * 8)
  np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)


def test_bfloat16_stays_close_and_remat_is_the_same():
  images, ids = small.images(2), small.batch(2)['ids_BxT']
  model = ReportGenerator(small.tiny())
  variables = small.variables(model)
  exact = _log_probs(model, variables, images, ids)
  half = _log_probs(
    ReportGenerator(small.tiny(dtype='bfloat16')), variables, images, ids
  )
  assert half.dtype == jnp.float32
  assert 0 < np.abs(half - exact).mean() < 0.1
  remat = _log_probs(
    ReportGenerator(small.tiny(remat=True)), variables, images, ids
  )
  np.testing.assert_allclose(remat, exact, atol=1e-6)


@pytest.mark.parametrize(
  'field, value, says',
  [
    ('encoder', 'resnet19', 'resnet19'),
    ('memory', 'both', 'separate'),
    ('heads', 3, '16 is not divisible by 3'),
    ('memory_top_k', 25, '24'),
  ],
)
def test_wrong_sizes_are_named(field, value, says):
  with pytest.raises(ValueError, match=says):
    small.shape(**{field: value})


def test_a_bucketed_writer_pads_little_and_changes_nothing():
  model = ReportGenerator(small.tiny())
  variables, images = small.variables(model), small.images(7)
  write = make_writer(model, Decoding('greedy', 1, 1.0, 1.0, 0))
  want, _ = jax.jit(write)(variables, images, np.ones(7, bool))
  traced = []

  def traced_write(variables, images, mask_B):
    traced.append((len(images), mask_B.shape))
    return write(variables, images, mask_B)

  bucketed = BucketedWriter(traced_write, largest=4, jit=jax.jit)
  for studies in (1, 3, 4, 7, 5):
    ids, sums = bucketed(variables, images[:studies], np.ones(studies, bool))
    np.testing.assert_array_equal(ids, want[:studies])
    assert sums.shape == (studies,)
  assert [size for size, _ in traced] == [1, 4]  # 7 is 4 and 3, 5 is 4 and 1.
