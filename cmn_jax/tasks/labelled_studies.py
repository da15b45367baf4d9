"""What every classifier of studies has in common: labels, loss, judgement."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from cmn_jax.loaded import Loaded
from cmn_jax.losses.classification import (
  balanced_shares,
  class_weights,
  classification_losses,
)
from cmn_jax.models.classifier import (
  MULTI_LABEL,
  SINGLE_LABEL,
  ClassifierConfig,
)
from cmn_jax.pages.classifier import classifier_sections
from cmn_jax.scores import catalogue
from cmn_jax.scores.decisions import THRESHOLDS, decide
from cmn_jax.scores.multilabel import score_classification
from cmn_jax.tasks.classify_results import class_predictions, class_results
from cmn_jax.training.checkpoints import CheckpointError
from input_pipeline.errors import check_choice
from input_pipeline.findings import NO_FINDING
from input_pipeline.labels import fold_of, read_labels


class LabelledStudies:
  """Labels, losses, scores, predictions, page and table of a classifier.

  Attributes:
    classifier: the section of the config.
    about_key: of what a checkpoint's meta says of classes and thresholds.
    labels: what every study has.
    classes: their names.
    thresholds_C: of the last validation; None for a single label.
  """

  sections = {'classifier': ClassifierConfig}
  selectable = catalogue.selectable(catalogue.CLASS_SCORES)
  shown = {'micro_f1': 'F1', 'f1_macro': 'macro', 'auroc_macro': 'AUROC'}
  unit = 'studies'
  about_key: str

  def __init__(self, config: ConfigDict, data, loaded: Loaded | None):
    self._config, self._data = config, data
    c = self.classifier = ClassifierConfig(**config.classifier)
    check_choice('classifier.thresholds', c.thresholds, THRESHOLDS)
    self.thresholds_C = self._history = self._origin = None
    if loaded:
      about = loaded.meta[self.about_key]
      self._history = loaded.meta['history']
      self.classes = about['classes']
      if about['thresholds'] is not None:
        self.thresholds_C = np.array(about['thresholds'])
      self._origin = loaded.origin
    if data is not None:
      self._read_labels()

  def _read_labels(self):
    c = self.classifier
    labels = read_labels(
      self._data, c.labels, c.left_out, self._config.data.skip_bad
    )
    labels = labels.single() if c.task == SINGLE_LABEL else labels
    if c.fold:
      number, folds = c.which_fold
      fold_S = fold_of(self._data.studies['train'], folds)
      kept = labels.known['train'] & (fold_S != number - 1)[:, None]
      labels = dataclasses.replace(
        labels, known={**labels.known, 'train': kept}
      )
    self.labels, self.classes = labels, list(labels.classes)
    self._weights_C = class_weights(
      self.labels.present['train'], self.labels.known['train'], c.class_weights
    )

  def reports_read(self, split: str) -> np.ndarray | None:
    """The reports that a classifier reads, (S, T); None where it reads none."""
    del split

  def report_meta(self) -> dict | None:
    """Of the report model that a classifier stands on; None without one."""

  def targets(self, split: str, mirrored: bool = False) -> dict:
    """'labels_BxC', and 'known_BxC' where anybody knows."""
    if mirrored:
      return {}
    return {
      'labels_BxC': self.labels.present[split].astype(np.float32),
      'known_BxC': self.labels.known[split],
    }

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
    """'probability', (B, C): a sigmoid of the logits, or a softmax."""
    del full
    squash = {MULTI_LABEL: jax.nn.sigmoid, SINGLE_LABEL: jax.nn.softmax}
    logits_BxC = self.model.apply(variables, batch, False)['logits']
    return {'probability': squash[self.classifier.task](logits_BxC)}

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
        self._chosen_thresholds(),
        self.report_meta(),
        self.reports_read(split),
      )
    present, known = self.labels.present[split], self.labels.known[split]
    if self.classifier.task == MULTI_LABEL:
      self.thresholds_C = self._choose(present, known, probability_SxC)
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

  def _chosen_thresholds(self) -> np.ndarray | None:
    """Those of a validation; None of a single label, which needs none."""
    if self.thresholds_C is None and self.classifier.task == MULTI_LABEL:
      raise CheckpointError(
        f'{self._origin} was saved between validations, and no thresholds were '
        'chosen for it: name a step that was validated, or the whole run'
      )
    return self.thresholds_C

  def _choose(self, present_SxC, known_SxC, probability_SxC) -> np.ndarray:
    """Thresholds; No Finding, which most have, is not one of the findings."""
    choose = THRESHOLDS[self.classifier.thresholds]
    thresholds_C = np.empty(len(self.classes))
    finding_C = np.array([name != NO_FINDING for name in self.classes])
    for kind_C in finding_C, ~finding_C:
      columns = (
        x[:, kind_C] for x in (present_SxC, known_SxC, probability_SxC)
      )
      thresholds_C[kind_C] = choose(*columns)
    return thresholds_C

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
    model = f'model ({self.classifier.inputs})'
    rows = {model: results, **catalogue.beside(results)}
    return catalogue.terminal_table(rows, catalogue.CLASS_SCORES)

  def describe(self, rows: dict, study: int) -> dict:
    """Probability of each class, and whether it is found."""
    probability_1xC = np.asarray(rows['probability'])[study][None]
    found_C = decide(probability_1xC, self._chosen_thresholds())[0]
    return {
      name: {'probability': float(p), 'found': bool(found)}
      for name, p, found in zip(
        self.classes, probability_1xC[0], found_C, strict=True
      )
    }

  def labelled(self) -> str:
    """How many studies have labels, and whose; for `about`."""
    known = int(self.labels.known['train'].any(axis=1).sum())
    return (
      f'{self._data.name}: {known} of {len(self._data.studies["train"])} '
      f'training studies have labels of source {self.labels.source}, '
      f'{len(self.classes)} classes'
    )

  def classes_meta(self) -> dict:
    """Classes and thresholds, as they stand in a checkpoint's meta."""
    thresholds = self.thresholds_C
    return {
      'classes': self.classes,
      'thresholds': None if thresholds is None else thresholds.tolist(),
    }

  def check(self, meta: dict, where: Path) -> None:
    """Raises CheckpointError unless the labels have a checkpoint's classes."""
    check_classes(meta[self.about_key]['classes'], self.classes, where)


def check_classes(
  saved: Sequence[str], classes: Sequence[str], where: Path | str
) -> None:
  """Raises CheckpointError unless classes are the same, in the same order.

  Args:
    saved: those of a checkpoint.
    classes: those at hand.
    where: the checkpoint.
  """
  if list(saved) == list(classes):
    return
  lost = [name for name in saved if name not in classes]
  new = [name for name in classes if name not in saved]
  order = '' if lost + new else ', the same in another order'
  raise CheckpointError(
    f'{where} holds a classifier of {len(saved)} classes where {len(classes)} '
    f'are wanted{order} (only there: {", ".join(lost) or "none"}; only here: '
    f'{", ".join(new) or "none"}): set classifier.labels and '
    'classifier.leave_out as they were'
  )
