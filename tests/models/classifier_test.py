"""The classifier's features and logits: what they see, and what they do not."""

import jax
import numpy as np
import pytest

from cmn_jax.models.classifier import (
  Classifier,
  ClassifierConfig,
  mean_and_maximum,
)
from cmn_jax.models.report_generator import ReportGenerator
from input_pipeline.errors import UserError
from tests.made import small


def _classifier(inputs):
  config = ClassifierConfig(inputs=inputs, hidden=8, dropout=0.5)
  return Classifier(ReportGenerator(small.tiny()), config, classes=5)


@pytest.fixture(scope='module')
def reading():
  """(ids, mask) -> logits and features of a classifier that reads reports."""
  model = _classifier('image+generated')
  report = small.variables(model.report)
  batch = {**small.batch(3), 'images_BxIxHxW': small.images(3)}

  def features(variables, ids_BxT, mask_B):
    read = {**batch, 'ids_BxT': ids_BxT, 'mask_B': mask_B}
    return model.apply(variables, read, method='features')

  inside = {kind: {'report': tree} for kind, tree in report.items()}
  start = jax.eval_shape(features, inside, batch['ids_BxT'], batch['mask_B'])
  blank = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), start)
  head = model.init(jax.random.key(0), blank)['params']
  variables = {**inside, 'params': {**inside['params'], **head}}

  @jax.jit
  def read(variables, ids_BxT, mask_B):
    found = features(variables, ids_BxT, mask_B)
    return model.apply(variables, found)['logits'], found

  return read, variables


def test_shapes_and_parts(reading):
  read, variables = reading
  assert set(variables['params']) == {'report', 'head'}
  logits, found = read(variables, small.batch(3)['ids_BxT'], np.ones(3, bool))
  assert logits.shape == (3, 5)
  # Mean and maximum: of the visual encoder's 2 x 4 channels, of the width 16.
  shapes = {name: x.shape for name, x in found.items()}
  assert shapes == {'visual': (3, 16), 'encoded': (3, 32), 'textual': (3, 32)}


def test_without_a_report_there_is_no_textual_branch(reading):
  _, variables = reading
  model = _classifier('image')
  found = jax.eval_shape(
    lambda v: model.apply(v, small.batch(1), method='features'), variables
  )
  assert sorted(found) == ['encoded', 'visual']


def test_features_computed_before_give_the_logits_of_the_images(reading):
  read, variables = reading
  batch = {**small.batch(3), 'images_BxIxHxW': small.images(3)}
  whole = jax.jit(_classifier('image+generated').apply)(variables, batch)
  logits, _ = read(variables, batch['ids_BxT'], batch['mask_B'])
  np.testing.assert_allclose(whole['logits'], logits, rtol=1e-4, atol=1e-5)


def test_the_report_moves_the_textual_features_alone(reading):
  read, variables = reading
  ids = small.batch(3)['ids_BxT']
  # A copy: JAX may still be reading what it was given.
  changed = ids.copy()
  changed[0, 1] = ids[0, 1] % 29 + 1
  _, before = read(variables, ids, np.ones(3, bool))
  _, after = read(variables, changed, np.ones(3, bool))
  for name in ('visual', 'encoded'):
    np.testing.assert_array_equal(before[name], after[name])
  moved = np.abs(before['textual'] - after['textual']).max(axis=1)
  assert moved[0] > 1e-3 and moved[1] == moved[2] == 0


def test_an_empty_report_is_zeros_and_its_slope_finite(reading):
  read, variables = reading
  ids = np.zeros((3, 10), np.int32)
  for mask_B in (np.ones(3, bool), np.zeros(3, bool)):
    logits, found = read(variables, ids, mask_B)
    assert not np.any(found['textual']) and np.isfinite(logits).all()
  slope = jax.jit(jax.grad(lambda v: read(v, ids, np.zeros(3, bool))[0].sum()))
  gradient = slope({**variables})
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))


def test_mean_and_maximum_leave_out_what_is_not_real():
  x = np.array([[[1.0, -5.0], [3.0, -7.0], [99.0, 99.0]]])
  pooled = mean_and_maximum(x, np.array([[True, True, False]]))
  np.testing.assert_allclose(pooled, [[2.0, -6.0, 3.0, -5.0]])
  nothing = mean_and_maximum(x, np.zeros((1, 3), bool))
  np.testing.assert_array_equal(nothing, np.zeros((1, 4)))


@pytest.mark.parametrize(
  'changes, says',
  [
    ({'inputs': 'report'}, r'image, image\+reference, image\+generated'),
    ({'hidden': 0}, 'classifier.hidden is 0'),
    ({'task': 'multi'}, 'multi_label, single_label'),
    ({'gamma': -1.0}, 'classifier.gamma is -1.0'),
    ({'alpha': 2.0}, 'between 0 and 1'),
    ({'ce_weight': 0.0, 'focal_weight': 0.0}, 'one above'),
  ],
)
def test_wrong_fields_are_named(changes, says):
  with pytest.raises(UserError, match=says):
    ClassifierConfig(**changes)
