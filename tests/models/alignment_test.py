"""Alignment of films and reports against numpy, and where it could break."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cmn_jax.losses.contrastive import contrastive_loss
from cmn_jax.models.alignment import (
  FORMS,
  AlignmentConfig,
  project_and_pool,
  unit,
)
from cmn_jax.models.report_generator import ReportGenerator
from input_pipeline.errors import UserError
from tests.made import small

B, T, V, F = 5, 7, 30, 6
TEMPERATURE = 0.2


def _pool_inputs():
  rng = np.random.default_rng(0)
  real_BxT = np.arange(T) < np.array([7, 3, 1, 5, 0])[:, None]
  sizes = (B, T, V), (V, F), (F,), (F,)
  text, kernel, bias, query = (
    0.4 * rng.normal(size=s).astype(np.float32) for s in sizes
  )
  return text, real_BxT, kernel, bias, query


def test_pooling_equals_projecting_every_token():
  text_BxTxV, real_BxT, kernel_VxF, bias_F, query_F = _pool_inputs()
  got = project_and_pool(text_BxTxV, real_BxT, kernel_VxF, bias_F, query_F)
  for b in range(B - 1):
    projected_TxF = text_BxTxV[b, real_BxT[b]] @ kernel_VxF + bias_F
    score_T = np.exp(projected_TxF @ query_F)
    want_F = (score_T / score_T.sum()) @ projected_TxF
    np.testing.assert_allclose(got[b], want_F, rtol=1e-4, atol=1e-4)
  assert np.isfinite(got[-1]).all()  # of padding alone


def test_padding_is_not_pooled():
  text_BxTxV, real_BxT, *weights = _pool_inputs()
  other = np.where(real_BxT[..., None], text_BxTxV, 99.0).astype(np.float32)
  before = project_and_pool(text_BxTxV, real_BxT, *weights)
  after = project_and_pool(other, real_BxT, *weights)
  np.testing.assert_array_equal(before[:-1], after[:-1])


def _batch(reports, real):
  """Unit vectors and ids; equal numbers in `reports` are equal reports."""
  rng = np.random.default_rng(1)
  n = len(reports)
  vectors = rng.normal(size=(2, n, F)).astype(np.float32)
  vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
  ids_BxT = np.zeros((n, T), np.int32)
  ids_BxT[:, 1] = reports
  return (*vectors, ids_BxT, np.array(real))


def _loss(contrast, films, texts, ids_BxT, mask_B, temperature=TEMPERATURE):
  aligned = {
    'films_BxF': films,
    'text_BxF': texts,
    'temperature': temperature,
  }
  return contrastive_loss(contrast, aligned, ids_BxT, mask_B)


def _objective(*args):
  pairs = _loss(*args).values()
  return sum(value / jnp.maximum(count, 1.0) for value, count in pairs)


def _in_numpy(contrast, films, texts, ids_BxT, mask_B):
  """Loops over pairs, nothing masked but left out."""
  real = np.flatnonzero(mask_B)

  def negatives(i):
    return [
      j
      for j in real
      if j != i
      and not (
        contrast.mask_identical and np.array_equal(ids_BxT[i], ids_BxT[j])
      )
    ]

  if contrast.form == 'cosine':
    own = [1 - films[i] @ texts[i] for i in real]
    others = [
      max(0, films[i] @ texts[j] - contrast.margin)
      for i in real
      for j in negatives(i)
    ]
    return np.mean(own) + (np.mean(others) if others else 0)
  total = 0
  for queries, keys in ((films, texts), (texts, films)):
    for i in real:
      own = np.exp(queries[i] @ keys[i] / TEMPERATURE)
      rest = [np.exp(queries[i] @ keys[j] / TEMPERATURE) for j in negatives(i)]
      total -= np.log(own / (own + sum(rest)))
  return total / (2 * len(real))


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('mask_identical', [True, False])
def test_loss_equals_loops_over_pairs(form, mask_identical):
  contrast = AlignmentConfig(
    form=form, margin=0.1, mask_identical=mask_identical
  )
  batch = _batch([4, 9, 4, 2, 9, 9], [True, True, True, True, True, False])
  np.testing.assert_allclose(
    _objective(contrast, *batch), _in_numpy(contrast, *batch), rtol=1e-5
  )


@pytest.mark.parametrize('form', FORMS)
def test_gradient_equals_differences_of_numpy(form):
  contrast = AlignmentConfig(form=form, margin=0.1)
  films, texts, *rest = _batch([4, 9, 4, 2], [True, True, True, False])
  got = jax.grad(lambda f, t: _objective(contrast, f, t, *rest), (0, 1))(
    films, texts
  )
  both = np.stack([films, texts]).astype(np.float64)
  for place in [(0, 0, 1), (0, 2, 3), (1, 1, 0), (1, 3, 2)]:
    step = np.zeros_like(both)
    step[place] = 1e-5
    up, down = (_in_numpy(contrast, *(both + s), *rest) for s in (step, -step))
    np.testing.assert_allclose(
      got[place[0]][place[1:]], (up - down) / 2e-5, rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize('form', FORMS)
def test_identical_reports_do_not_push_each_other(form):
  films, texts, ids_BxT, mask_B = _batch([4, 4, 4], [True, True, True])

  def pull_on_texts(mask_identical):
    contrast = AlignmentConfig(
      form=form, margin=-1.0, mask_identical=mask_identical
    )
    return jax.grad(
      lambda texts: _objective(contrast, films, texts, ids_BxT, mask_B)
    )(texts)

  masked, pushed = pull_on_texts(True), pull_on_texts(False)
  if form == 'cosine':  # each report is drawn to its own films and no more
    np.testing.assert_allclose(masked, -films / 3, rtol=1e-5)
  else:  # without a negative there is nothing to learn
    assert not np.any(masked)
  assert np.abs(masked - pushed).max() > 1e-3


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize(
  'reports, real',
  [
    ([3], [True]),
    ([3], [False]),
    ([3, 3, 3], [True] * 3),
    ([3, 0, 5], [False] * 3),
  ],
  ids=['one study', 'only padding', 'all identical', 'padding of three'],
)
def test_extreme_batches_are_finite(form, reports, real):
  films, texts, *rest = _batch(reports, real)
  contrast = AlignmentConfig(form=form)

  def loss(films, texts, temperature):
    return _objective(contrast, unit(films), unit(texts), *rest, temperature)

  for scale in (1.0, 0.0):  # vectors of zeros, too
    value, grads = jax.value_and_grad(loss, (0, 1, 2))(
      films * scale, texts * scale, 0.07
    )
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in grads)


@pytest.fixture(scope='module')
def aligned():
  """(text, method, films' seed) -> vectors of three studies, one empty."""
  shape = small.tiny(alignment=AlignmentConfig())
  variables = small.variables(ReportGenerator(shape))
  data = small.batch(3)
  data['ids_BxT'][1, 1:] = 0
  compiled = {}

  def run(text, method, seed):
    if (text, method) not in compiled:
      shape = small.tiny(alignment=AlignmentConfig(text=text))
      compiled[text, method] = jax.jit(
        lambda images: ReportGenerator(shape).apply(
          variables, {**data, 'images_BxIxHxW': images}, method=method
        )
      )
    outputs = compiled[text, method](small.images(3, seed))
    return outputs.get('alignment', outputs)

  return run


def test_a_report_is_read_without_films(aligned):
  trained, other = (aligned('report', '__call__', seed) for seed in (1, 2))
  np.testing.assert_array_equal(trained['text_BxF'], other['text_BxF'])
  assert np.abs(trained['films_BxF'] - other['films_BxF']).max() > 1e-3
  alone = aligned('report', 'align', 1)
  for name in ('films_BxF', 'text_BxF'):
    np.testing.assert_allclose(alone[name], trained[name], rtol=1e-4, atol=1e-5)
    lengths = np.linalg.norm(alone[name], axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)


def test_or_by_a_decoder_that_sees_them(aligned):
  one, two = (aligned('report+films', '__call__', seed) for seed in (1, 2))
  assert np.abs(one['text_BxF'] - two['text_BxF']).max() > 1e-4


def test_the_weight_rises_over_its_warm_up():
  contrast = AlignmentConfig(weight=0.5, warmup_steps=4)
  weights = [contrast.weight_at(step) for step in range(6)]
  np.testing.assert_allclose(weights, [0.125, 0.25, 0.375, 0.5, 0.5, 0.5])
  assert AlignmentConfig(weight=0.5).weight_at(0) == 0.5


@pytest.mark.parametrize(
  'changes, says',
  [
    ({'form': 'cos'}, r"alignment.form is 'cos'.*infonce"),
    ({'weight': -1.0}, r'alignment.weight is -1.0'),
    ({'weight': float('nan')}, r'alignment.weight is nan'),
    ({'margin': 3}, r'alignment.margin is 3'),
    ({'warmup_steps': -5}, r'alignment.warmup_steps is -5'),
    ({'form': 'infonce', 'temperature': 0.0}, r'temperature is 0.0'),
    ({'text': 'film'}, r"alignment.text is 'film'.*report"),
  ],
)
def test_wrong_fields_are_named(changes, says):
  with pytest.raises(UserError, match=says):
    AlignmentConfig(**changes)
