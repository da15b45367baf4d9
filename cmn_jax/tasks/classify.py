"""Disease classification from a trained report model's features."""

from pathlib import Path

import jax
import numpy as np
from clu import parameter_overview
from ml_collections import ConfigDict

from cmn_jax.loaded import Loaded
from cmn_jax.losses.classification import (
  balanced_shares,
  class_weights,
  classification_losses,
)
from cmn_jax.models.classifier import (
  GENERATED,
  MULTI_LABEL,
  SINGLE_LABEL,
  Classifier,
  ClassifierConfig,
)
from cmn_jax.pages.classifier import classifier_sections
from cmn_jax.scores import catalogue
from cmn_jax.scores.decisions import choose_thresholds, decide
from cmn_jax.scores.multilabel import score_classification
from cmn_jax.tasks.classify_inputs import ReportFeatures
from cmn_jax.tasks.classify_results import class_predictions, class_results
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
from input_pipeline.labels import read_labels

REPORT = 'report'


def probabilities(task: str, logits_BxC: jax.Array) -> jax.Array:
  """Probability of each class, (B, C): a sigmoid, or a softmax."""
  squash = {MULTI_LABEL: jax.nn.sigmoid, SINGLE_LABEL: jax.nn.softmax}
  return squash[task](logits_BxC)


class ClassifyTask:
  """Trains a classifier; see `training.task.Task` for the members.

  A frozen report model is in the state, and its features, which do not change,
  are computed once and cached. Fine-tuned, images and reports are read.

  Attributes:
    labels: what every study has.
    classes: their names.
    thresholds_C: of the last validation; None for a single label.
  """

  selectable = catalogue.selectable(catalogue.CLASS_SCORES)
  shown = {'micro_f1': 'F1 micro', 'f1_macro': 'macro', 'auroc_macro': 'AUROC'}
  unit = 'studies'

  def __init__(self, config: ConfigDict, data, loaded: Loaded | None = None):
    distributed.alone()
    self._config, self._data = config, data
    self.classifier = ClassifierConfig(**config.classifier)
    c = self.classifier
    about = loaded.meta['classifier'] if loaded else None
    self.thresholds_C = self._history = None
    if about:
      self._history = loaded.meta['history']
      if about['thresholds'] is not None:
        self.thresholds_C = np.array(about['thresholds'])
    self.reads_images = c.finetune
    self.frozen = () if c.finetune else (REPORT,)
    self._report = None
    if data is None:
      self.classes, self._report_meta = about['classes'], about['report_model']
    else:
      self._open(data, loaded)
    self.model = self.network(AXIS)

  def _open(self, data, loaded):
    """Labels, the report model, and what is computed with it."""
    c = self.classifier
    if self._config.data.flip_with_text and c.inputs == GENERATED:
      raise UserError(
        f'classifier.inputs {GENERATED!r} reads reports that were written for '
        'images as they are: set data.flip_with_text=False'
      )
    labels = read_labels(data, c.labels, c.left_out, self._config.data.skip_bad)
    self.labels = labels.single() if c.task == SINGLE_LABEL else labels
    self.classes = list(self.labels.classes)
    self._weights_C = class_weights(
      self.labels.present['train'], self.labels.known['train'], c.class_weights
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

  def targets(self, split: str, mirrored: bool = False) -> dict:
    """Labels, and what is read of the report model."""
    return (
      {
        'labels_BxC': self.labels.present[split].astype(np.float32),
        'known_BxC': self.labels.known[split],
        **self.inputs.arrays(split),
      }
      if not mirrored
      else {}
    )

  def sampling(self) -> np.ndarray | None:
    """So that all classes come up alike, where that is asked for."""
    if not self.classifier.balanced_sampling:
      return None
    return balanced_shares(
      self.labels.present['train'], self.labels.known['train']
    )

  def losses(self, outputs: dict, batch: dict, step: jax.Array) -> dict:
    """Their weighted sum is trained on; the two are logged."""
    del step
    pairs = classification_losses(
      self.classifier,
      self._weights_C,
      outputs['logits'],
      batch['labels_BxC'],
      batch['known_BxC'] & batch['mask_B'][:, None],
    )
    return {
      name: (1.0 if name == 'loss' else None, *pair)
      for name, pair in pairs.items()
    }

  def predict(self, variables: dict, batch: dict, full: bool) -> dict:
    """'probability', (B, C)."""
    del full
    logits_BxC = self.model.apply(variables, batch, False)['logits']
    return {'probability': probabilities(self.classifier.task, logits_BxC)}

  def score(self, split: str, rows: dict, full: bool, variables: dict) -> dict:
    """At the thresholds that are best on validation; see `Task.score`."""
    probability_SxC = rows['probability']
    if full:
      return class_results(
        self._config,
        self._data,
        self.labels,
        split,
        probability_SxC,
        self.thresholds_C,
        self._report_meta,
        self.inputs.ids(split) if self.classifier.reads_report else None,
      )
    present, known = self.labels.present[split], self.labels.known[split]
    if self.classifier.task == MULTI_LABEL:
      self.thresholds_C = choose_thresholds(present, known, probability_SxC)
    result = score_classification(
      present,
      known,
      decide(probability_SxC, self.thresholds_C),
      self.classes,
      probability_SxC=probability_SxC,
      bootstrap=0,
    )
    # An average over no class at all is no score.
    return {name: result[name] or 0.0 for name in self.selectable}

  def predictions(self, split: str, rows: dict) -> list[dict]:
    """Each study's labels and probabilities."""
    return class_predictions(
      self._data.studies[split],
      self.labels,
      split,
      rows['probability'],
      self.thresholds_C,
    )

  def page(self, results: dict, rows: dict, variables: dict) -> list:
    """Scores, curves, classes and calibration."""
    return classifier_sections(results, self._history)

  def lines(self, results: dict) -> list[str]:
    """The classifier beside its baselines."""
    names = {
      'always_no_finding': 'always No Finding',
      'report_by_rules': 'report by rules',
    }
    rows = {f'model ({self.classifier.inputs})': results}
    for key, scores in results['baselines'].items():
      rows[names[key]] = scores
    return catalogue.terminal_table(rows, catalogue.CLASS_SCORES)

  def describe(self, rows: dict, study: int) -> dict:
    """Probability of each class, and whether it is found."""
    probability_1xC = np.asarray(rows['probability'])[study][None]
    found_C = decide(probability_1xC, self.thresholds_C)[0]
    return {
      name: {'probability': float(p), 'found': bool(found)}
      for name, p, found in zip(
        self.classes, probability_1xC[0], found_C, strict=True
      )
    }

  def about(self, variables: dict) -> str:
    """Parameters, data and labels."""
    count = parameter_overview.count_parameters(variables['params']['head'])
    known = int(self.labels.known['train'].any(axis=1).sum())
    c = self.classifier
    return (
      f'{self._config.name}, inputs {c.inputs}: {count:,} parameters on a '
      f'report model that is {"fine-tuned" if c.finetune else "frozen"}\n'
      f'{self._data.name}: {known} of {len(self._data.studies["train"])} '
      f'training studies have labels of source {self.labels.source}, '
      f'{len(self.classes)} classes'
    )

  def meta(self) -> dict:
    """Words, data, labels, and the report model's own meta."""
    thresholds = self.thresholds_C
    return {
      'tokenizer': self._data.tokenizer.to_json(),
      'dataset': self._data.name,
      'label_source': self.labels.source,
      'finding_targets': self._report_meta['finding_targets'],
      'classifier': {
        'classes': self.classes,
        'inputs': self.classifier.inputs,
        'task': self.classifier.task,
        'thresholds': None if thresholds is None else thresholds.tolist(),
        'report_model': self._report_meta,
        'report_fingerprint': self._report.fingerprint,
      },
    }

  def check(self, meta: dict, where: Path) -> None:
    """Raises CheckpointError unless words, classes and report model fit."""
    saved = meta['classifier']['classes']
    if list(saved) != self.classes:
      lost = [name for name in saved if name not in self.classes]
      new = [name for name in self.classes if name not in saved]
      raise CheckpointError(
        f'{where} holds a classifier of {len(saved)} classes, the labels have '
        f'{len(self.classes)} (only there: {", ".join(lost) or "none"}; only '
        f'here: {", ".join(new) or "none"}): set classifier.labels and '
        'classifier.leave_out as they were'
      )


def _check_same_report(report: Loaded, meta: dict, where: str) -> None:
  """Raises CheckpointError unless a classifier was trained on `report`."""
  about = meta['classifier']
  if about['report_fingerprint'] != report.fingerprint:
    raise CheckpointError(
      f'{where} was trained on {about["report_model"]["origin"]}, '
      f'{report.origin} has other parameters: name the same report model with '
      'classifier.checkpoint'
    )
