"""What a model says of a study: its report, and who has written it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from cmn_jax.loaded import Loaded
from cmn_jax.predictor import read_study
from input_pipeline.film_statistics import FilmLook
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
    text: of it.
    words: of the text, or the pieces that it was written in.
    findings: positive findings that the text states.
    attention: (words, I, h, w), what each word looked at on each image that
      the study has; no words where nothing was asked or looks anywhere.
    classes: of the classifier; none without one.
    looks: how much each film looks like those of training; None where the
      checkpoint does not know.
  """

  text: str
  words: list[str]
  findings: list[Finding]
  attention: np.ndarray
  classes: list[ClassFinding]
  looks: list[FilmLook] | None = None

  @property
  def unlike_training(self) -> bool | None:
    """Whether a film looks like none of training; None where not known."""
    return self.looks and any(look.unlike for look in self.looks)


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

  def reports(
    self, batch: dict, beam_size: int | None = None, attention: bool = True
  ) -> list[Report]:
    """The report of each row of a batch; one program for each size of it.

    Args:
      batch: images_BxIxHxW, uint8; mask_B; and mask_BxI, False for images
        that a study does not have.
      beam_size: beams of a study; None decodes as config.decode says.
      attention: whether to say what the words looked at.
    """
    raise NotImplementedError

  def report(
    self,
    paths: Sequence[Path | str],
    beam_size: int | None = None,
    attention: bool = True,
  ) -> Report:
    """The report for the images of one study, given by their files.

    Images that it could have more of are masked, as in training.

    Args:
      paths: PNG, JPEG or DICOM files.
      beam_size: as for `reports`.
      attention: likewise; who shows none saves a program.

    Raises:
      ImageError: a file is not a readable image.
      UserError: more images than the model was trained with.
    """
    c = self.config.data
    batch = read_study(paths, c.views, c.image_size)
    looks = self.loaded.looks(batch['images_BxIxHxW'][0, : len(paths)])
    report = self.reports(batch, beam_size, attention)[0]
    return dataclasses.replace(report, looks=looks)

  @property
  def drawn(self) -> bool:
    """Whether the training images were a program's, not patients'."""
    return self.loaded.meta['dataset'] in _DRAWN

  @property
  def disclaimer(self) -> str:
    """What stands beside every report."""
    drawn = (
      'This model has seen drawn images only: on a real one its report means '
      'nothing. '
    )
    return f'{drawn if self.drawn else ""}Not for clinical use.'

  @property
  def provenance(self) -> str:
    """What the model was trained on, in one sentence."""
    c, meta = self.config, self.loaded.meta
    what = ' (drawn images)' if self.drawn else ''
    # What is fitted at once has none, and what was converted tells of none.
    epochs = meta['history'][-1]['epoch'] if meta['history'] else 0
    plural = 's' * (epochs > 1)
    how_long = f' for {epochs} epoch{plural}' if epochs else ''
    return (
      f'{c.name}, {c.model.encoder} at {c.data.image_size} pixels, trained on '
      f'{meta["dataset"]}{what}{how_long}, {self.tokenizer.vocab_size} words'
    )


def no_attention(mask_I: np.ndarray) -> np.ndarray:
  """That of a report whose words look nowhere."""
  return np.zeros((0, int(mask_I.sum()), 1, 1), np.float32)
