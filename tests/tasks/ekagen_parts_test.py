"""Whose the labels of training studies are that a folder of knowledge keeps."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from cmn_jax.loaded import Loaded
from cmn_jax.models.ekagen_names import CLASSES
from cmn_jax.models.knowledge import KnowledgeBase
from cmn_jax.tasks.ekagen_knowledge import write_knowledge
from cmn_jax.tasks.ekagen_parts import load_knowledge
from cmn_jax.training.checkpoints import CheckpointError
from tests.tasks.mask_files_test import META

IDS = ['s1', 'längste\ud800', '']
LABELS = np.array([[True, False], [False, True], [True, True]])
BASE = KnowledgeBase(
  CLASSES,
  np.zeros((1, 3, 4)),
  np.ones((1, 2), np.int8),
  np.array([0]),
  np.array([1]),
  1,
)


def _written(folder):
  diagnosis = Loaded({'params': {'head': np.ones(2)}}, META, 'origin')
  about = {'captioner': {'origin': 'x', 'fingerprint': None}}
  write_knowledge(folder, BASE, diagnosis, about, LABELS, IDS)
  return load_knowledge(str(folder))


def _studies(ids):
  return [SimpleNamespace(id=name) for name in ids]


def test_labels_go_to_their_studies_in_any_order(tmp_path):
  parts = _written(tmp_path / 'knowledge')
  for order in ([0, 1, 2], [2, 0, 1], [1, 0]):
    studies = _studies(IDS[n] for n in order)
    np.testing.assert_array_equal(parts.labels_of(studies), LABELS[order])
  with pytest.raises(CheckpointError, match=r"of 1 of 2 .*\('s2'\)") as error:
    parts.labels_of(_studies(['s1', 's2']))
  assert '\n' not in str(error.value)


def test_knowledge_of_an_older_version_is_in_the_order_of_the_data(tmp_path):
  parts = _written(tmp_path / 'knowledge')
  parts = dataclasses.replace(parts, train_ids_Sxn=None)
  np.testing.assert_array_equal(parts.labels_of(_studies('abc')), LABELS)
  with pytest.raises(CheckpointError, match='of 3 training studies, there are'):
    parts.labels_of(_studies('ab'))
