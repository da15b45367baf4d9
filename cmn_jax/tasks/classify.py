"""Disease classification from a trained report model's features."""

from pathlib import Path

import numpy as np
from clu import parameter_overview
from ml_collections import ConfigDict

from cmn_jax.loaded import Loaded
from cmn_jax.models.classifier import GENERATED, Classifier
from cmn_jax.tasks.classify_inputs import ReportFeatures
from cmn_jax.tasks.labelled_studies import LabelledStudies
from cmn_jax.tasks.report_model import (
  inside,
  load_report_model,
  report_network_of,
)
from cmn_jax.training import distributed
from cmn_jax.training.checkpoints import CheckpointError
from cmn_jax.training.parallel import AXIS
from cmn_jax.training.state import init_variables
from input_pipeline.errors import UserError

REPORT = 'report'


class ClassifyTask(LabelledStudies):
  """Trains a classifier; see `training.task.Task` for the members.

  A frozen report model is in the state, and its features, which do not change,
  are computed once and cached. Fine-tuned, images and reports are read.
  """

  about_key = 'classifier'

  def __init__(self, config: ConfigDict, data, loaded: Loaded | None = None):
    distributed.alone()
    super().__init__(config, data, loaded)
    c = self.classifier
    self.reads_images = c.finetune
    self.frozen = () if c.finetune else (REPORT,)
    self._report = None
    if data is None:
      self._report_meta = loaded.meta['classifier']['report_model']
    else:
      self._open(data, loaded)
    self.model = self.network(AXIS)

  def _open(self, data, loaded):
    """The report model, and what is computed with it."""
    c = self.classifier
    if self._config.data.flip_with_text and c.inputs == GENERATED:
      raise UserError(
        f'classifier.inputs {GENERATED!r} reads reports that were written for '
        'images as they are: set data.flip_with_text=False'
      )
    if loaded and not c.finetune:
      # It may stand where the report model's own folder is gone.
      self._report = inside(loaded)
      if c.checkpoint and Path(c.checkpoint).exists():
        named = load_report_model(c.checkpoint)
        _check_same_report(named, loaded.meta, loaded.origin)
    else:
      self._report = load_report_model(c.checkpoint)
      if loaded:
        _check_same_report(self._report, loaded.meta, loaded.origin)
    self._report.check_reads(data)
    self._report_meta = self._report.meta
    self.inputs = ReportFeatures(self._config, data, self._report, c)

  def network(self, axis: str | None) -> Classifier:
    """The classifier, with batch statistics over a mapped axis or not."""
    report = report_network_of(self._report_meta, axis)
    return Classifier(report, self.classifier, len(self.classes))

  def variables(self, seed: int) -> dict:
    """A random head on the report model."""
    head = init_variables(self.network(None), seed, self.inputs.blank())
    report = self._report.variables
    return {
      'params': {'head': head['params']['head'], REPORT: report['params']},
      'batch_stats': {REPORT: report['batch_stats']},
    }

  def reports_read(self, split: str) -> np.ndarray | None:
    """See `LabelledStudies`."""
    return self.inputs.ids(split) if self.classifier.reads_report else None

  def report_meta(self) -> dict:
    """See `LabelledStudies`."""
    return self._report_meta

  def targets(self, split: str, mirrored: bool = False) -> dict:
    """Labels, and what is read of the report model."""
    labels = super().targets(split, mirrored)
    return {**labels, **self.inputs.arrays(split)} if labels else {}

  def about(self, variables: dict) -> str:
    """Parameters, data and labels."""
    count = parameter_overview.count_parameters(variables['params']['head'])
    c = self.classifier
    return (
      f'{self._config.name}, inputs {c.inputs}: {count:,} parameters on a '
      f'report model that is {"fine-tuned" if c.finetune else "frozen"}\n'
      f'{self.labelled()}'
    )

  def meta(self) -> dict:
    """Words, data, labels, and the report model's own meta."""
    return {
      'tokenizer': self._data.tokenizer.to_json(),
      'dataset': self._data.name,
      'label_source': self.labels.source,
      'finding_targets': self._report_meta['finding_targets'],
      'classifier': {
        **self.classes_meta(),
        'inputs': self.classifier.inputs,
        'task': self.classifier.task,
        'report_model': self._report_meta,
        'report_fingerprint': self._report.fingerprint,
      },
    }


def _check_same_report(report: Loaded, meta: dict, where: str) -> None:
  """Raises CheckpointError unless a classifier was trained on `report`."""
  about = meta['classifier']
  if about['report_fingerprint'] != report.fingerprint:
    raise CheckpointError(
      f'{where} was trained on {about["report_model"]["origin"]}, '
      f'{report.origin} has other parameters: name the same report model with '
      'classifier.checkpoint'
    )
