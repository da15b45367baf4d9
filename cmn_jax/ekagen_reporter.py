"""A trained EKAGen, ready for the X-ray images of new studies."""

import types
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from cmn_jax.decoding.ekagen import attention_of_ids, make_writer
from cmn_jax.decoding.generate import BucketedWriter
from cmn_jax.loaded import Loaded
from cmn_jax.models.ekagen import Captioner
from cmn_jax.predictor import read_study
from cmn_jax.report import ClassFinding, Report, Writer
from cmn_jax.tasks.ekagen import EkagenTask
from cmn_jax.tasks.ekagen_parts import CAPTIONER, DIAGNOSIS, KNOWLEDGE, part_of
from input_pipeline.errors import UserError
from input_pipeline.findings_reader import findings_reader
from input_pipeline.labels import or_no_finding


class EkagenReporter(Writer):
  """The captioner with all that its checkpoint holds beside it.

  Grey films are masked and diagnosed as they are in an evaluation. Films that
  are normalised already are taken as they come, with the knowledge given.

  Attributes:
    task: the checkpoint's.
    classifier: of the diagnosis; None where there is no knowledge.
  """

  def __init__(self, loaded: Loaded):
    self.loaded = loaded
    self.config, self.tokenizer = loaded.config, loaded.tokenizer
    self.task = EkagenTask(loaded.config, None, loaded)
    self.model = Captioner(self.task.shape)
    self._variables = jax.device_put(part_of(loaded.variables, CAPTIONER))
    self._reader = findings_reader(loaded.meta['label_source'])
    self._whole = jax.device_put(loaded.variables)
    self._see = jax.jit(self.task.see)
    self._writers = {}
    self.classifier = None
    if KNOWLEDGE in self.task.parts:
      about = self.task.parts[DIAGNOSIS].meta
      self.classifier = types.SimpleNamespace(
        inputs='image', label_source=about['label_source']
      )
    self._log_probs = jax.jit(
      lambda v, films, ids, mask_B, mask_BxI, knowledge: self.model.apply(
        v, films, ids, mask_B, False, mask_BxI, knowledge
      )
    )
    self._attention = jax.jit(
      lambda v, *inputs: self.model.apply(v, *inputs, method=_look)
    )

  def log_probs(
    self,
    images: np.ndarray,
    ids_BxT: np.ndarray,
    knowledge: np.ndarray | None = None,
  ) -> np.ndarray:
    """Teacher-forced log-probabilities, no dropout.

    Args:
      images: (B, I, H, W, 3) float32, resized and normalised; or grey uint8,
        (B, I, H, W).
      ids_BxT: [1] + words + [2], padded with zeros.
      knowledge: (B, T - 1, D) float32 in place of the base.

    Returns:
      (B, T - 1, V); row t predicts ids[t + 1].
    """
    films, knowledge = self._films(images, None, knowledge)
    mask_B = np.ones(len(films), bool)
    return np.asarray(
      self._log_probs(
        self._variables, films, np.asarray(ids_BxT), mask_B, None, knowledge
      )
    )

  def generate(
    self,
    images: np.ndarray,
    beam_size: int | None = None,
    mask_BxI: np.ndarray | None = None,
    knowledge: np.ndarray | None = None,
  ) -> np.ndarray:
    """Word ids (B, T), zero after the end; arguments as for `log_probs`.

    Args:
      images: films.
      beam_size: beams of a study; None decodes as config.decode says.
      mask_BxI: False for images that a study does not have.
      knowledge: in place of the base.
    """
    films, knowledge = self._films(images, mask_BxI, knowledge)
    if beam_size not in self._writers:
      beams = self.task.beams if beam_size is None else beam_size
      try:
        write = make_writer(
          self.model, beams, self.task.max_words, self.task.ekagen.stop_at_end
        )
      except ValueError as error:
        raise UserError(str(error)) from error
      self._writers[beam_size] = BucketedWriter(
        write, self.config.eval.batch_size
      )
    mask_B = np.ones(len(films), bool)
    return self._writers[beam_size](
      self._variables, films, mask_B, mask_BxI, knowledge
    )[0]

  def report(
    self, paths: Sequence[Path | str], beam_size: int | None = None
  ) -> Report:
    """The report for the images of one study; see `Reporter.report`."""
    views = self.config.data.views
    batch = read_study(paths, views, self.config.data.image_size)
    mask_1xI = batch['mask_BxI']
    films, knowledge = self._films(batch['images_BxIxHxW'], mask_1xI, None)
    seen = jax.tree.map(np.asarray, self._see(self._whole, batch))
    ids_1xT = self.generate(films, beam_size, mask_1xI, knowledge)
    text = self.tokenizer.decode(ids_1xT[0], self.task.ekagen.stop_at_end)
    attention_TxP = np.asarray(
      self._attention(self._variables, films, ids_1xT, mask_1xI, knowledge)[0]
    )
    words = len(text.split())
    side = round((attention_TxP.shape[1] / views) ** 0.5)
    attention = attention_TxP[:words].reshape(-1, views, side, side)
    return Report(
      text,
      self._reader.of_text(text),
      attention[:, : len(paths)],
      self._classes(seen, text),
    )

  def _classes(self, seen, text) -> list[ClassFinding]:
    """What the classifier finds, beside what the report states."""
    if not self.classifier:
      return []
    reader = self.task.parts.reader(DIAGNOSIS)
    stated = or_no_finding(self._reader.labels_of_text(text))
    return [
      ClassFinding(name, float(p), float(bound), bool(found), name in stated)
      for name, p, bound, found in zip(
        reader.classes,
        seen['probability'][0],
        reader.thresholds_G,
        seen['labels'][0],
        strict=True,
      )
    ]

  def _films(self, images, mask_BxI, knowledge):
    """Films as the captioner takes them, and the knowledge of each study."""
    wants = self.task.shape.knowledge and knowledge is None
    if wants and KNOWLEDGE not in self.task.parts:
      raise UserError(
        f'{self.loaded.origin} has no knowledge base, and its captioner reads '
        'one: convert it with --knowledge and --diagnosis'
      )
    if images.ndim == 5:
      if wants:
        raise ValueError(
          'films that are normalised cannot be diagnosed: give knowledge, or '
          'grey films, uint8'
        )
      return images, knowledge
    if mask_BxI is None:
      mask_BxI = np.ones(images.shape[:2], bool)
    batch = {
      'images_BxIxHxW': images,
      'mask_B': np.ones(len(images), bool),
      'mask_BxI': mask_BxI,
    }
    seen = self._see(self._whole, batch)
    if knowledge is None:
      knowledge = seen.get('knowledge')
    # The writer pads on the host.
    return jax.tree.map(np.asarray, (seen['films'], knowledge))


def _look(captioner, films, ids_BxT, mask_BxI, knowledge_BxTxD):
  """What each word looked at, (B, T, P)."""
  mask_B = np.ones(ids_BxT.shape[0], bool)
  films = captioner.encode(films, mask_B, mask_BxI=mask_BxI)
  return attention_of_ids(captioner, films, ids_BxT, knowledge_BxTxD)
