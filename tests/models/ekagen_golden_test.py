"""Our EKAGen against numbers that its authors' code gave (tests/parity)."""

import json

import jax
import numpy as np
import pytest

from cmn_jax.decoding.ekagen import make_writer
from cmn_jax.interop.ekagen import captioner_rows, join_packed, split_packed
from cmn_jax.interop.names import to_state_dict
from cmn_jax.losses.distillation import distillation_loss, word_loss
from cmn_jax.models.attention_masks import attention_mask, class_maps
from cmn_jax.models.ekagen_names import JET
from tests.parity import ekagen_classifiers, ekagen_golden

_GOLDEN = json.loads(ekagen_golden.PATH.read_text())
_ALL = np.ones(ekagen_golden.STUDIES, bool)


@pytest.fixture(scope='module')
def captioner():
  """The model and its variables, and the golden inputs."""
  model, variables, _ = ekagen_golden.captioner()
  return model, variables, ekagen_golden.inputs()


def test_log_probs_and_losses(captioner):
  model, variables, (films, ids, knowledge, teacher) = captioner

  @jax.jit
  def run(params):
    log_probs = model.apply(
      {**variables, 'params': params},
      films,
      ids,
      _ALL,
      True,
      knowledge_BxTxD=knowledge,
    )
    words = word_loss(log_probs, ids, _ALL, True)
    kept = distillation_loss(log_probs, teacher, ids, _ALL, True)
    return words[0] / words[1], kept[0] / kept[1], log_probs

  def loss(params):
    words, kept, log_probs = run(params)
    return words + 0.01 * kept, (words, kept, log_probs)

  grads, (words, kept, log_probs) = jax.grad(loss, has_aux=True)(
    variables['params']
  )
  expected = np.array(_GOLDEN['log_probs'])
  found = np.asarray(log_probs)[ekagen_golden.KEPT]
  assert np.max(np.abs(found - expected)) < 1e-4
  assert expected.std() > 1  # A flat distribution would prove nothing.
  assert float(words) == pytest.approx(_GOLDEN['CE'], rel=1e-5)
  assert float(kept) == pytest.approx(_GOLDEN['KD'], rel=1e-5)
  rows = [r for r in captioner_rows(model.shape) if r.ours.startswith('params')]
  arrays = to_state_dict(rows, {'params': grads})
  norms = _GOLDEN['gradient_norms']
  rounding = 1e-6 * max(norms.values())
  for name, norm in norms.items():
    found = np.linalg.norm(arrays.pop(name))
    assert found == pytest.approx(norm, rel=1e-3, abs=rounding), name
  # What the authors freeze has no gradient here.
  assert all(not np.any(array) for array in arrays.values())


def test_greedy_ids(captioner):
  model, variables, (films, _, knowledge, _) = captioner
  expected = np.array(_GOLDEN['greedy'])
  length = expected.shape[1]
  for stop in (False, True):
    write = jax.jit(make_writer(model, 1, length, stop))
    ids, _ = write(variables, films, _ALL, None, knowledge)
    if stop:
      after = np.cumsum(expected == 2, axis=1) - (expected == 2) > 0
      expected = np.where(after, 0, expected)
    np.testing.assert_array_equal(ids, expected)


def test_golden_reports_end_early_and_at_the_limit():
  ended = (np.array(_GOLDEN['greedy']) == 2).any(axis=1)
  assert ended.any() and not ended.all()


@pytest.mark.parametrize(
  'encoder', [ekagen_classifiers.BOT, ekagen_classifiers.LOCATOR]
)
def test_classifiers(encoder):
  model, variables = ekagen_classifiers.classifier(encoder)
  films = ekagen_classifiers.classifier_films(encoder, 2)
  _, logits = ekagen_classifiers.logits_of(model, variables, films)
  found = np.asarray(jax.nn.sigmoid(logits))
  assert np.max(np.abs(found - np.array(_GOLDEN[encoder]))) < 1e-5


def test_masks():
  maps, gradients, present = ekagen_golden.mask_inputs()
  side = ekagen_golden.MASK_SIDE
  heat = class_maps(maps, gradients, (side, side))
  found = np.asarray(attention_mask(heat, present, JET))
  expected = ekagen_golden.unpacked(_GOLDEN['masks'])
  np.testing.assert_array_equal(found, expected)
  assert 0.1 < expected.mean() < 0.9


def test_packed_matrices_are_split_and_joined():
  _, _, packed = ekagen_golden.captioner()
  again = join_packed(split_packed(packed))
  assert again.keys() == packed.keys()
  assert all(np.array_equal(again[k], packed[k]) for k in packed)
