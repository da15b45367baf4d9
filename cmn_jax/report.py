"""What a model says of a study: its report, and who has written it."""

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from cmn_jax.loaded import Loaded
from input_pipeline.findings import Finding

_DRAWN = ('phantom', 'iu_xray-drawn')


@dataclasses.dataclass(frozen=True)
class ClassFinding:
  """One class, as the classifier and the report have it.

  Attributes:
    name: of the class.
    probability: that the classifier gives it.
    threshold: from which on it is found; None for a single label.
    found: whether the classifier finds it.
    in_report: whether the report states it, read by rules.
  """

  name: str
  probability: float
  threshold: float | None
  found: bool
  in_report: bool

  @property
  def disputed(self) -> bool:
    """Whether report and classifier disagree.

    A single label says nothing of the other classes that a report states.
    """
    if self.threshold is None:
      return self.found and not self.in_report
    return self.found != self.in_report


@dataclasses.dataclass(frozen=True)
class Report:
  """A generated report.

  Attributes:
    text: its words.
    findings: positive findings that the text states.
    attention: (words, I, h, w), what each word looked at on each image.
    classes: of the classifier; none without one.
  """

  text: str
  findings: list[Finding]
  attention: np.ndarray
  classes: list[ClassFinding]


class Writer:
  """What all that write reports have in common.

  Attributes:
    loaded: the checkpoint.
    config: of its training.
    tokenizer: its words.
  """

  loaded: Loaded
  config: ConfigDict
  tokenizer: object

  @property
  def drawn(self) -> bool:
    """Whether the training images were a program's, not patients'."""
    return self.loaded.meta['dataset'] in _DRAWN

  @property
  def provenance(self) -> str:
    """What the model was trained on, in one sentence."""
    c, meta = self.config, self.loaded.meta
    what = ' (drawn images)' if self.drawn else ''
    epochs = meta['history'][-1]['epoch'] if meta['history'] else '?'
    return (
      f'{c.name}, {c.model.encoder} at {c.data.image_size} pixels, trained on '
      f'{meta["dataset"]}{what} for {epochs} epochs, '
      f'{self.tokenizer.vocab_size} words'
    )
