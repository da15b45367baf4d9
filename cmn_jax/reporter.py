"""A trained model, ready for the X-ray images of new studies."""

import copy
import dataclasses
import functools
import types
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from cmn_jax.decoding.generate import (
  BucketedWriter,
  Decoding,
  attention_of_words,
  make_writer,
)
from cmn_jax.ekagen_reporter import EkagenReporter
from cmn_jax.loaded import Loaded
from cmn_jax.models.classifier import GENERATED, REFERENCE
from cmn_jax.pages.studies import attention_of
from cmn_jax.predictor import Predictor
from cmn_jax.report import (
  ClassFinding,
  Report,
  Writer,
  no_attention,
)
from cmn_jax.tasks.report_model import inside, report_network_of
from cmn_jax.traced_programs import jit_and_keep
from cmn_jax.training.checkpoints import CheckpointError
from cmn_jax.training.meta_fields import FILM_STATISTICS
from input_pipeline.errors import UserError
from input_pipeline.findings_reader import findings_reader


def writes_reports(loaded: Loaded) -> bool:
  """Whether `Reporter.load` has anything to do with a checkpoint.

  It refuses a fine-tuned classifier in a sentence of its own.
  """
  return loaded.task in ('report', 'classify', 'consensus', 'ekagen')


class StudyClassifier(Predictor):
  """A classifier beside a report; reads what its inputs name."""

  def __init__(self, loaded: Loaded):
    if loaded.task != 'classify':
      raise CheckpointError(
        f'{loaded.origin} holds no classifier: train one with the variant '
        'classifier'
      )
    self.inputs = loaded.meta['classifier']['inputs']
    if self.inputs == REFERENCE:
      raise CheckpointError(
        f'{loaded.origin} reads the reference report too, and there is none '
        'for new images: train one with classifier.inputs=image or '
        'image+generated'
      )
    super().__init__(loaded)
    self.label_source = loaded.meta['label_source']
    self.thresholds = loaded.meta['classifier']['thresholds']

  def check_fits(self, report: Loaded) -> None:
    """Raises CheckpointError unless a report model takes the same images.

    Where the classifier reads generated reports, their words must be those
    that it knows.
    """
    own = self.loaded.meta['classifier']['report_model']
    differing = [
      f'data.{field} {its} where the classifier has {mine}'
      for field in ('views', 'image_size', 'max_length')
      for its, mine in [
        (report.config.data[field], own['config']['data'][field])
      ]
      if its != mine
    ]
    words = report.meta['tokenizer'] != own['tokenizer']
    if self.inputs == GENERATED and words:
      differing.append('other words')
    if differing:
      raise CheckpointError(
        f'the report model has {", ".join(differing)}: name the one that '
        f'{self.loaded.origin} was trained on, {own["origin"]}'
      )

  def classes(
    self, batch: dict, ids_BxT: np.ndarray, texts: Sequence[str]
  ) -> list[list[ClassFinding]]:
    """What it finds on the images of studies, beside what reports state.

    Args:
      batch: of `Writer.reports`.
      ids_BxT: the reports as written, without the leading 0.
      texts: the same in words.
    """
    shifted = np.zeros((len(texts), self.loaded.config.data.max_length), int)
    shifted[:, 1:] = ids_BxT[:, : shifted.shape[1] - 1]
    rows = self.rows({**batch, 'ids_BxT': shifted.astype(np.int32)})
    reader = findings_reader(self.label_source)
    thresholds = self.thresholds or [None] * len(self.task.classes)
    found = []
    for row, text in enumerate(texts):
      stated = reader.classes_of_text(text)
      described = self.task.describe(rows, row).items()
      found.append(
        [
          ClassFinding(
            name, said['probability'], threshold, said['found'], name in stated
          )
          for (name, said), threshold in zip(described, thresholds, strict=True)
        ]
      )
    return found


class ConsensusReporter(Writer):
  """The report that similar studies agree on, which no word was looked for.

  Attributes:
    classifier: the regression of the findings that choose it.
  """

  def __init__(self, loaded: Loaded):
    self.loaded, self._predictor = loaded, Predictor(loaded)
    self.config, self.tokenizer = loaded.config, loaded.tokenizer
    self._reader = findings_reader(loaded.meta['label_source'])
    bounds = self._predictor.task.consensus
    self.classifier = types.SimpleNamespace(
      inputs='image',
      label_source=loaded.meta['label_source'],
      note=f'stated from this on, where one reaches {bounds.study_above:.3f}',
    )

  def reports(
    self, batch: dict, beam_size: int | None = None, attention: bool = True
  ) -> list[Report]:
    """See `Writer.reports`."""
    del attention
    if beam_size is not None:
      raise UserError(
        f'{self.loaded.origin} chooses among reports and has no beams: leave '
        '--beam_size out'
      )
    task, rows = self._predictor.task, self._predictor.rows(batch)
    said = []
    for row, text in enumerate(task.texts(rows)):
      stated = self._reader.labels_of_text(text)
      classes = [
        ClassFinding(
          name,
          float(rows['probability'][row, place]),
          task.consensus.stated_above,
          bool(rows['stated'][row, place]),
          name in stated,
        )
        for place, name in enumerate(task.classes)
      ]
      looked = no_attention(batch['mask_BxI'][row])
      findings = self._reader.of_text(text)
      said.append(Report(text, text.split(), findings, looked, classes))
    return said


class Reporter(Writer):
  """A trained generator with its vocabulary, ready for images.

  Attributes:
    loaded: its checkpoint.
    classifier: that is asked too, or None.
  """

  def __init__(self, loaded: Loaded, classifier: StudyClassifier | None = None):
    if classifier:
      classifier.check_fits(loaded)
    self.loaded, self.classifier = loaded, classifier
    self.config, self.tokenizer = loaded.config, loaded.tokenizer
    self.model = report_network_of(loaded.meta, None)
    self._variables = jax.device_put(loaded.variables)
    self._reader = findings_reader(loaded.meta['label_source'])
    self._log_probs = jax.jit(
      lambda v, *inputs: self.model.apply(v, *inputs, method='log_probs')
    )
    self._attention = jit_and_keep(
      attention_of_words(self.model), ('attention', self.model)
    )
    self._writers = {}

  @classmethod
  def load(
    cls, folder: Path | str | Loaded, classifier: Path | str | None = None
  ) -> Writer:
    """From a workdir (its best checkpoint), a step of it, or a converted one.

    A classifier's workdir serves as both, unless it was fine-tuned; EKAGen's
    holds its own classifier.

    Args:
      folder: of the report model, or what was loaded from it.
      classifier: of a classifier to be asked too, if any.

    Raises:
      CheckpointError: nothing there, not readable, or not fitting together.
    """
    loaded = folder if isinstance(folder, Loaded) else Loaded.load(folder)
    folder = loaded.origin
    if loaded.task == 'ekagen':
      if classifier:
        raise CheckpointError(
          f'{folder} holds a classifier of its own: leave --classifier out'
        )
      return EkagenReporter(loaded)
    if loaded.task == 'consensus':
      if classifier:
        raise CheckpointError(
          f'{folder} finds by itself what it states: leave --classifier out'
        )
      return ConsensusReporter(loaded)
    if loaded.task == 'report':
      second = StudyClassifier(Loaded.load(classifier)) if classifier else None
      return cls(loaded, second)
    if loaded.task != 'classify':
      raise CheckpointError(
        f'{folder} holds what the task {loaded.task!r} trained, which writes '
        'no reports'
      )
    if classifier:
      raise CheckpointError(
        f'{folder} holds a classifier: name the report model with --checkpoint'
      )
    if loaded.config.classifier.finetune:
      raise CheckpointError(
        f'the report model in {folder} was fine-tuned to classify and does '
        'not write any more: name the one that it came from with --checkpoint, '
        'and this one with --classifier'
      )
    report = inside(loaded)
    # It is shown the films that the classifier learnt from.
    films = {FILM_STATISTICS: loaded.meta.get(FILM_STATISTICS)}
    report = dataclasses.replace(report, meta={**report.meta, **films})
    return cls(report, StudyClassifier(loaded))

  def decoding_as(self, **fields) -> 'Reporter':
    """The same model with other fields of config.decode."""
    other = copy.copy(self)
    other.config, other._writers = self.config.copy_and_resolve_references(), {}
    other.config.decode.update(fields)
    return other

  def log_probs(
    self, images_BxIxHxWxC: np.ndarray, ids_BxT: np.ndarray
  ) -> np.ndarray:
    """Teacher-forced log-probabilities as trained, no dropout.

    Args:
      images_BxIxHxWxC: float32, resized and normalised.
      ids_BxT: [0] + words + [0], padded with zeros.

    Returns:
      (B, T - 1, V); row t predicts ids[t + 1].
    """
    mask_B = np.ones(len(ids_BxT), bool)
    return np.asarray(
      self._log_probs(
        self._variables, images_BxIxHxWxC, np.asarray(ids_BxT), mask_B
      )
    )

  def generate(
    self,
    images: np.ndarray,
    beam_size: int | None = None,
    mask_BxI: np.ndarray | None = None,
  ) -> np.ndarray:
    """Word ids (B, T), zero after the end.

    Args:
      images: (B, I, H, W, 3) float32, resized and normalised; or grey uint8,
        (B, I, H, W).
      beam_size: beams of a study; None decodes as config.decode says.
      mask_BxI: False for images that a study does not have; None where all
        are there.
    """
    if beam_size not in self._writers:
      decoding = Decoding(**self.config.decode, seed=self.config.seed)
      if beam_size is not None:
        decoding = dataclasses.replace(
          decoding, method='beam', beam_size=beam_size
        )
      self._writers[beam_size] = BucketedWriter(
        make_writer(self.model, decoding),
        self.config.eval.batch_size,
        functools.partial(jit_and_keep, about=(self.model, decoding)),
      )
    mask_B = np.ones(len(images), bool)
    ids, _ = self._writers[beam_size](self._variables, images, mask_B, mask_BxI)
    return ids

  def reports(
    self, batch: dict, beam_size: int | None = None, attention: bool = True
  ) -> list[Report]:
    """See `Writer.reports`."""
    images, mask_BxI = batch['images_BxIxHxW'], batch['mask_BxI']
    ids_BxT = self.generate(images, beam_size, mask_BxI)
    texts = [self.tokenizer.decode(ids_T) for ids_T in ids_BxT]
    words = [self.tokenizer.tokens(ids_T) for ids_T in ids_BxT]
    looked = [no_attention(mask_I) for mask_I in mask_BxI]
    if attention:
      weights_BxTxP = self._attention(
        self._variables, images, ids_BxT, mask_BxI
      )
      looked = [
        attention_of(weights, len(said), mask_I)
        for weights, said, mask_I in zip(
          np.asarray(weights_BxTxP), words, mask_BxI, strict=True
        )
      ]
    classes = [[] for _ in texts]
    if self.classifier:
      classes = self.classifier.classes(batch, ids_BxT, texts)
    return [
      Report(text, said, self._reader.of_text(text), weights, found)
      for text, said, weights, found in zip(
        texts, words, looked, classes, strict=True
      )
    ]
