"""A trained EKAGen, ready for the X-ray images of new studies."""

import functools
import types

import jax
import numpy as np

from cmn_jax.decoding.ekagen import attention_of_ids, make_writer
from cmn_jax.decoding.generate import BucketedWriter
from cmn_jax.loaded import Loaded
from cmn_jax.models.ekagen import Captioner
from cmn_jax.pages.studies import attention_of
from cmn_jax.report import (
  ClassFinding,
  Report,
  Writer,
  no_attention,
)
from cmn_jax.tasks.ekagen import EkagenTask
from cmn_jax.tasks.ekagen_parts import CAPTIONER, DIAGNOSIS, KNOWLEDGE, part_of
from cmn_jax.traced_programs import jit_and_keep
from input_pipeline.errors import UserError
from input_pipeline.findings_reader import findings_reader


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
    system = self.task.network(None)
    self._see = jit_and_keep(self.task.see, ('see', system, loaded.meta))
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
    self._attention = jit_and_keep(
      lambda v, *inputs: self.model.apply(v, *inputs, method=_look),
      ('attention', self.model),
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
        how = beams, self.task.max_words, self.task.ekagen.stop_at_end
        write = make_writer(self.model, *how)
      except ValueError as error:
        raise UserError(str(error)) from error
      self._writers[beam_size] = BucketedWriter(
        write,
        self.config.eval.batch_size,
        functools.partial(jit_and_keep, about=(self.model, how)),
      )
    mask_B = np.ones(len(films), bool)
    return self._writers[beam_size](
      self._variables, films, mask_B, mask_BxI, knowledge
    )[0]

  def reports(
    self, batch: dict, beam_size: int | None = None, attention: bool = True
  ) -> list[Report]:
    """See `Writer.reports`."""
    mask_BxI = batch['mask_BxI']
    self._check_knows(None)
    films, seen = self._seen(batch)
    knowledge = seen.get('knowledge')
    ids_BxT = self.generate(films, beam_size, mask_BxI, knowledge)
    weights = [None] * len(ids_BxT)
    if attention:
      weights = np.asarray(
        self._attention(self._variables, films, ids_BxT, mask_BxI, knowledge)
      )
    stop, said = self.task.ekagen.stop_at_end, []
    for row, ids_T in enumerate(ids_BxT):
      text = self.tokenizer.decode(ids_T, stop)
      words = text.split()
      looked = no_attention(mask_BxI[row])
      if attention:
        looked = attention_of(weights[row], len(words), mask_BxI[row])
      classes = self._classes(seen, row, text)
      findings = self._reader.of_text(text)
      said.append(Report(text, words, findings, looked, classes))
    return said

  def _classes(self, seen, row, text) -> list[ClassFinding]:
    """What the classifier finds, beside what the report states."""
    if not self.classifier:
      return []
    reader = self.task.parts.reader(DIAGNOSIS)
    stated = self._reader.classes_of_text(text)
    return [
      ClassFinding(name, float(p), float(bound), bool(found), name in stated)
      for name, p, bound, found in zip(
        reader.classes,
        seen['probability'][row],
        reader.thresholds_G,
        seen['labels'][row],
        strict=True,
      )
    ]

  def _seen(self, batch):
    """Films as the captioner takes them, and all else that `see` gives."""
    # The writer pads on the host.
    seen = jax.tree.map(np.asarray, self._see(self._whole, batch))
    return seen['films'], seen

  def _check_knows(self, knowledge) -> bool:
    """Whether the base is read, which must be there then."""
    wants = self.task.shape.knowledge and knowledge is None
    if wants and KNOWLEDGE not in self.task.parts:
      raise UserError(
        f'{self.loaded.origin} has no knowledge base, and its captioner reads '
        'one: convert it with --knowledge and --diagnosis'
      )
    return wants

  def _films(self, images, mask_BxI, knowledge):
    """Films as the captioner takes them, and the knowledge of each study."""
    wants = self._check_knows(knowledge)
    if images.ndim == 5:
      if wants:
        raise ValueError(
          'films that are normalised cannot be diagnosed: give knowledge, or '
          'grey films, uint8'
        )
      return images, knowledge
    if mask_BxI is None:
      mask_BxI = np.ones(images.shape[:2], bool)
    films, seen = self._seen(
      {
        'images_BxIxHxW': images,
        'mask_B': np.ones(len(images), bool),
        'mask_BxI': mask_BxI,
      }
    )
    return films, seen.get('knowledge') if knowledge is None else knowledge


def _look(captioner, films, ids_BxT, mask_BxI, knowledge_BxTxD):
  """What each word looked at, (B, T, P)."""
  mask_B = np.ones(ids_BxT.shape[0], bool)
  films = captioner.encode(films, mask_B, mask_BxI=mask_BxI)
  return attention_of_ids(captioner, films, ids_BxT, knowledge_BxTxD)
