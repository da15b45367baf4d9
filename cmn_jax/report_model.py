"""A trained report model as the start of a classifier."""

import dataclasses
import functools
import hashlib
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from cmn_jax import experiment
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.training.checkpoints import (
  CheckpointError,
  check_same_shapes,
  find_step,
  load_model,
)
from cmn_jax.training.optimizer import VISUAL
from cmn_jax.training.state import variable_shapes
from input_pipeline.tokenizers import tokenizer_from_json

# What a classifier's checkpoint keeps of the meta of its report model.
_KEPT = (
  'config',
  'tokenizer',
  'dataset',
  'label_source',
  'history',
  'finding_targets',
)


@dataclasses.dataclass(frozen=True)
class ReportModel:
  """A report model with all that is known of it.

  Attributes:
    variables: its parameters and batch statistics.
    meta: of its checkpoint, and its folder as 'origin'.
  """

  variables: dict
  meta: dict

  @classmethod
  def load(cls, folder: str) -> 'ReportModel':
    """From a workdir (its best checkpoint), a step of it, or a converted one.

    Raises:
      CheckpointError: nothing there, or no report model.
    """
    if not folder:
      raise CheckpointError(
        'classifier.checkpoint is empty: name the workdir of a trained report '
        'model, --config.classifier.checkpoint=DIR'
      )
    step_folder = find_step(folder)
    variables, meta = load_model(step_folder)
    if 'classifier' in meta:
      raise CheckpointError(
        f'{step_folder} holds a classifier: a classifier starts from a report '
        'model, as main.py trains it with base, mem, cmn or proposed'
      )
    if VISUAL not in variables['params'] or 'tokenizer' not in meta:
      arrays = len(jax.tree.leaves(variables))
      names = ', '.join(sorted(variables['params'])[:6])
      raise CheckpointError(
        f'{step_folder} holds no report model with a visual encoder: its '
        f'{arrays} arrays are under {names}'
      )
    kept = {key: meta[key] for key in _KEPT}
    # A ViT has no batch statistics.
    variables = {'batch_stats': {}, **variables}
    report = cls(variables, {**kept, 'origin': str(step_folder)})
    report.check_shapes()
    return report

  @classmethod
  def of_classifier(cls, variables: dict, meta: dict) -> 'ReportModel':
    """The one inside a classifier, which may have been fine-tuned there."""
    inside = {
      'params': variables['params']['report'],
      'batch_stats': variables.get('batch_stats', {}).get('report', {}),
    }
    return cls(inside, meta['classifier']['report_model'])

  @functools.cached_property
  def config(self) -> ConfigDict:
    """That it was trained with."""
    return ConfigDict(self.meta['config'])

  @functools.cached_property
  def tokenizer(self):
    """Its words."""
    return tokenizer_from_json(self.meta['tokenizer'])

  def generator(self, axis_name: str | None) -> ReportGenerator:
    """The network that `variables` belong to."""
    return experiment.make_model(
      self.config,
      self.tokenizer.vocab_size + 1,
      axis_name,
      len(self.meta['finding_targets']),
    )

  def check_shapes(self):
    """Raises CheckpointError unless the arrays are those of the config."""
    model, data = self.generator(None), self.config.data
    expected = variable_shapes(model, data.views, data.image_size)
    check_same_shapes(self.variables, expected, self.meta['origin'])

  def check_fits(self, data):
    """Raises CheckpointError unless it knows the words and films of `data`."""
    if self.meta['tokenizer'] != data.tokenizer.to_json():
      raise CheckpointError(
        f'{self.meta["origin"]} knows {self.tokenizer.vocab_size} words, the '
        f'training reports of {data.name} give {data.tokenizer.vocab_size}, '
        'not the same ones: classify the data that it was trained on, with its '
        'data.clean, data.min_count and data.tokenizer'
      )
    c = self.config.data
    for field, mine, its in (
      ('views', data.views, c.views),
      ('image_size', data.image_size, c.image_size),
      ('max_length', data.max_length, c.max_length),
    ):
      if mine != its:
        raise CheckpointError(
          f'data.{field} is {mine}, but {self.meta["origin"]} was trained with '
          f'{its}: set --config.data.{field}={its}'
        )

  def check_same(self, classifier: dict, where: str | Path):
    """Raises CheckpointError unless a classifier's meta is of this model."""
    if classifier['report_fingerprint'] != self.fingerprint:
      raise CheckpointError(
        f'{where} was trained on {classifier["report_model"]["origin"]}, '
        f'{self.meta["origin"]} has other parameters: name the same report '
        'model with classifier.checkpoint'
      )

  @functools.cached_property
  def fingerprint(self) -> str:
    """Tells these parameters from all others."""
    digest = hashlib.sha256()
    for path, array in jax.tree_util.tree_leaves_with_path(self.variables):
      digest.update(jax.tree_util.keystr(path).encode())
      digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
