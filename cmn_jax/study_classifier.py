"""A trained classifier for one study's films: what it finds, how surely."""

import dataclasses
from pathlib import Path

import jax
import numpy as np

from cmn_jax.models.classifier import (
  GENERATED,
  REFERENCE,
  Classifier,
  ClassifierShape,
)
from cmn_jax.report_model import ReportModel
from cmn_jax.scores.decisions import decide
from cmn_jax.training.checkpoints import (
  CheckpointError,
  find_step,
  load_model,
)
from cmn_jax.training.classifier_step import make_probabilities
from input_pipeline.findings_reader import findings_reader
from input_pipeline.labels import or_no_finding


@dataclasses.dataclass(frozen=True)
class Opinion:
  """One class, as the classifier and the report have it.

  Attributes:
    name: of the class.
    probability: that the classifier gives it.
    threshold: from which on it says so; None for a single label.
    said: whether it says so.
    in_report: whether the report states it, read by rules.
  """

  name: str
  probability: float
  threshold: float | None
  said: bool
  in_report: bool

  @property
  def disputed(self) -> bool:
    """Whether report and classifier disagree.

    A single label says nothing of the other classes that a report states.
    """
    if self.threshold is None:
      return self.said and not self.in_report
    return self.said != self.in_report


class StudyClassifier:
  """A classifier from its checkpoint, ready for films."""

  def __init__(self, variables: dict, meta: dict, origin: str):
    about = meta['classifier']
    self.origin = origin
    self.inputs, self.classes = about['inputs'], about['classes']
    self.label_source = meta['label_source']
    if self.inputs == REFERENCE:
      raise CheckpointError(
        f'{origin} reads the reference report too, and there is none for new '
        'films: train one with classifier.inputs=image or image+generated'
      )
    self.report_model = ReportModel.of_classifier(variables, meta)
    self._task, self._thresholds = about['task'], about['thresholds']
    c = meta['config']['classifier']
    self.finetuned = c['finetune']
    shape = ClassifierShape(
      self.inputs, len(self.classes), c['hidden'], c['dropout']
    )
    model = Classifier(self.report_model.generator(None), shape)
    self._variables = jax.device_put(variables)
    self._probabilities = jax.jit(make_probabilities(model, self._task))

  @classmethod
  def load(cls, folder: Path | str) -> 'StudyClassifier':
    """From a workdir (its best checkpoint), or a step of it.

    Raises:
      CheckpointError: nothing there, no classifier, or one of references.
    """
    step_folder = find_step(folder)
    variables, meta = load_model(step_folder)
    if 'classifier' not in meta:
      raise CheckpointError(
        f'{step_folder} holds a report model, no classifier: train one with '
        'the variant classifier'
      )
    return cls(variables, meta, str(step_folder))

  def check_fits(self, meta: dict):
    """Raises CheckpointError unless a report model takes the same films.

    Where the classifier reads generated reports, their words must be those
    that it knows.
    """
    own = self.report_model.meta
    differing = [
      f'data.{field} {its} where the classifier has {mine}'
      for field in ('views', 'image_size', 'max_length')
      for its, mine in [
        (meta['config']['data'][field], own['config']['data'][field])
      ]
      if its != mine
    ]
    if self.inputs == GENERATED and meta['tokenizer'] != own['tokenizer']:
      differing.append('other words')
    if differing:
      raise CheckpointError(
        f'the report model has {", ".join(differing)}: name the one that '
        f'{self.origin} was trained on, {own["origin"]}'
      )

  def opinions(
    self, films_1xIxHxW, mask_1xI, ids_T, report: str
  ) -> list[Opinion]:
    """What it finds on the films of one study, beside what a report states.

    Args:
      films_1xIxHxW: grey films, uint8.
      mask_1xI: False for films that the study does not have.
      ids_T: the report as written, without the leading 0.
      report: its text.
    """
    length = self.report_model.config.data.max_length
    ids_1xT = np.zeros((1, length), np.int32)
    ids_1xT[0, 1:] = ids_T[: length - 1]
    batch = {
      'images_BxIxHxW': films_1xIxHxW,
      'ids_BxT': ids_1xT,
      'mask_B': np.ones(1, bool),
      'mask_BxI': mask_1xI,
    }
    probability_1xC = np.asarray(self._probabilities(self._variables, batch))
    thresholds = self._thresholds
    said_C = decide(
      probability_1xC, None if thresholds is None else np.array(thresholds)
    )[0]
    stated = or_no_finding(
      findings_reader(self.label_source).labels_of_text(report)
    )
    return [
      Opinion(
        name,
        float(probability_1xC[0, c]),
        None if thresholds is None else thresholds[c],
        bool(said_C[c]),
        name in stated,
      )
      for c, name in enumerate(self.classes)
    ]
