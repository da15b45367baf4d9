"""One way to ask for findings, whatever their source."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from input_pipeline.findings import (
  DRAWN_FINDINGS,
  LABEL_SETS,
  NO_FINDING,
  Finding,
  read_findings,
)
from input_pipeline.findings.sides import swap_sides
from input_pipeline.study import Study

PHANTOM = 'phantom'
RULES = 'rules'


@dataclasses.dataclass(frozen=True)
class FindingsReader:
  """Reads the findings of studies and of generated text, of one source.

  Attributes:
    source: 'phantom' (what was drawn, exact) or 'rules' (read in the text).
    label_set: of the rules' classes, a key of LABEL_SETS.
  """

  source: str
  label_set: str = 'chexpert'

  @property
  def classes(self) -> Sequence[str]:
    """Names that are scored."""
    if self.source == PHANTOM:
      return DRAWN_FINDINGS
    return LABEL_SETS[self.label_set].classes

  @property
  def others(self) -> tuple['FindingsReader', ...]:
    """Of the same texts by the other label sets; none of what was drawn."""
    if self.source == PHANTOM:
      return ()
    names = (name for name in LABEL_SETS if name != self.label_set)
    return tuple(FindingsReader(RULES, name) for name in names)

  def of_text(self, text: str) -> list[Finding]:
    """Positive findings that a text states, with side, zone and severity."""
    return [f for f in read_findings(text) if f.status == 'positive']

  def of_study(self, study: Study) -> list[Finding]:
    """Findings of a study: as drawn, or as its whole report states them."""
    if self.source == PHANTOM:
      return [Finding(**fields) for fields in study.findings]
    return self.of_text(study.report)

  def labels_of_text(self, text: str) -> set[str]:
    """Classes that a text states."""
    if self.source == PHANTOM:
      return {f.name for f in self.of_text(text)}
    labels = LABEL_SETS[self.label_set].from_text(text)
    return {name for name, status in labels.items() if status == 'positive'}

  def classes_of_text(self, text: str) -> set[str]:
    """`labels_of_text`, and No Finding of a drawing without any.

    Rules know it themselves: a finding in doubt is neither there nor none.
    """
    return self._or_no_finding(self.labels_of_text(text))

  def classes_of_study(self, study: Study) -> set[str]:
    """As `classes_of_text`, of `labels_of_study`."""
    return self._or_no_finding(self.labels_of_study(study))

  def _or_no_finding(self, names):
    return names or ({NO_FINDING} if self.source == PHANTOM else names)

  def labels_of_study(self, study: Study) -> set[str]:
    """Classes that a study has."""
    if self.source == PHANTOM:
      return {f.name for f in self.of_study(study)}
    return self.labels_of_text(study.report)


def findings_reader(label_source: str | None) -> FindingsReader:
  """The phantom's exact labels where there are any, else the rules."""
  return FindingsReader(PHANTOM if label_source == PHANTOM else RULES)


def finding_targets(
  studies: Sequence[Study], reader: FindingsReader, least: int
) -> list[str]:
  """What a findings head can learn from `studies`: classes and their places.

  Such as 'effusion', 'left effusion' and 'severe effusion'; each is there in
  at least `least` of the studies.
  """
  counts = collections.Counter(
    name for study in studies for name in targets_of_study(study, reader)
  )
  return sorted(name for name, count in counts.items() if count >= least)


def targets_of_study(study: Study, reader: FindingsReader) -> set[str]:
  """The classes of one study, and each with its side, zone and severity."""
  targets = set(reader.labels_of_study(study))
  for finding in reader.of_study(study):
    words = (finding.side, finding.zone, finding.severity)
    targets |= {f'{word} {finding.name}' for word in words if word}
  return targets


def target_labels(
  studies: Sequence[Study], reader: FindingsReader, names: Sequence[str]
) -> np.ndarray:
  """1 where a study has a target of `names`, float32 (2, N, L).

  [0] is of the studies as they are, [1] of the same ones mirrored.
  """
  labels_2xNxL = np.zeros((2, len(studies), len(names)), np.float32)
  for n, study in enumerate(studies if names else ()):
    present = targets_of_study(study, reader)
    swapped = {swap_sides(name) for name in present}
    labels_2xNxL[0, n] = [name in present for name in names]
    labels_2xNxL[1, n] = [name in swapped for name in names]
  return labels_2xNxL
