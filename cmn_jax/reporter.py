"""A trained model, ready for the X-ray images of new studies."""

import dataclasses
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
from cmn_jax.predictor import Predictor, read_study
from cmn_jax.report import ClassFinding, Report, Writer
from cmn_jax.tasks.report_model import inside, report_network_of
from cmn_jax.training.checkpoints import CheckpointError
from input_pipeline.findings_reader import findings_reader
from input_pipeline.labels import or_no_finding


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
    self, batch: dict, ids_T: np.ndarray, text: str
  ) -> list[ClassFinding]:
    """What it finds on the images of one study, beside what a report states.

    Args:
      batch: of `read_study`.
      ids_T: the report as written, without the leading 0.
      text: the same in words.
    """
    ids_1xT = np.zeros((1, self.loaded.config.data.max_length), np.int32)
    ids_1xT[0, 1:] = ids_T[: ids_1xT.shape[1] - 1]
    rows = self.rows({**batch, 'ids_BxT': ids_1xT})
    stated = or_no_finding(
      findings_reader(self.label_source).labels_of_text(text)
    )
    thresholds = self.thresholds or [None] * len(self.task.classes)
    return [
      ClassFinding(
        name, said['probability'], threshold, said['found'], name in stated
      )
      for (name, said), threshold in zip(
        self.task.describe(rows, 0).items(), thresholds, strict=True
      )
    ]


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
    self._attention = jax.jit(attention_of_words(self.model))
    self._writers = {}

  @classmethod
  def load(
    cls, folder: Path | str, classifier: Path | str | None = None
  ) -> Writer:
    """From a workdir (its best checkpoint), a step of it, or a converted one.

    A classifier's workdir serves as both, unless it was fine-tuned; EKAGen's
    holds its own classifier.

    Args:
      folder: of the report model.
      classifier: of a classifier to be asked too, if any.

    Raises:
      CheckpointError: nothing there, not readable, or not fitting together.
    """
    loaded = Loaded.load(folder)
    if loaded.task == 'ekagen':
      if classifier:
        raise CheckpointError(
          f'{folder} holds a classifier of its own: leave --classifier out'
        )
      return EkagenReporter(loaded)
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
    return cls(inside(loaded), StudyClassifier(loaded))

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
        make_writer(self.model, decoding), self.config.eval.batch_size
      )
    mask_B = np.ones(len(images), bool)
    ids, _ = self._writers[beam_size](self._variables, images, mask_B, mask_BxI)
    return ids

  def report(
    self, paths: Sequence[Path | str], beam_size: int | None = None
  ) -> Report:
    """The report for the images of one study, given by their files.

    Images that it could have more of are masked, as in training.

    Args:
      paths: PNG, JPEG or DICOM files.
      beam_size: as for `generate`.

    Raises:
      ImageError: a file is not a readable image.
      UserError: more images than the model was trained with.
    """
    views = self.config.data.views
    batch = read_study(paths, views, self.config.data.image_size)
    images, mask_1xI = batch['images_BxIxHxW'], batch['mask_BxI']
    ids_1xT = self.generate(images, beam_size, mask_1xI)
    text = self.tokenizer.decode(ids_1xT[0])
    attention_TxP = np.asarray(
      self._attention(self._variables, images, ids_1xT, mask_1xI)[0]
    )
    words = len(self.tokenizer.tokens(ids_1xT[0]))
    side = round((attention_TxP.shape[1] / views) ** 0.5)
    attention = attention_TxP[:words].reshape(words, views, side, side)
    classes = []
    if self.classifier:
      classes = self.classifier.classes(batch, ids_1xT[0], text)
    return Report(
      text, self._reader.of_text(text), attention[:, : len(paths)], classes
    )
