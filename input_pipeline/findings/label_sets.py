"""Label sets: which classes a study can have, by its text or its MeSH terms.

`chexpert` is the default and what other papers report; `iu` stands beside it
for the Indiana collection, where six of CheXpert's classes have fewer than ten
positives among the test studies.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping

from input_pipeline.findings.mesh import (
  CHEXPERT_MESH,
  IU_MESH,
  is_indexed,
  match_terms,
)
from input_pipeline.findings.reader import read_findings, read_iu_findings
from input_pipeline.findings.vocabulary import (
  CHEXPERT_14,
  IU_CLASSES,
  NEGATIVE,
  NO_FINDING,
  POSITIVE,
  SUPPORT_DEVICES,
  UNCERTAIN,
)


@dataclasses.dataclass(frozen=True)
class LabelSet:
  """Classes, and how text and MeSH terms are read as them.

  Attributes:
    name: as in LABEL_SETS.
    classes: their names; the last one is NO_FINDING.
    class_of_finding: the class of each name that `read_findings` or
      `read_iu_findings` gives; those without one are left out.
    mesh_patterns: for each class but NO_FINDING, what a MeSH term of it
      matches, searched in lower case.
  """

  name: str
  classes: tuple[str, ...]
  class_of_finding: Mapping[str, str]
  mesh_patterns: Mapping[str, re.Pattern]

  def from_text(self, report: str) -> dict[str, str | None]:
    """positive, negative, uncertain or None (not mentioned) for each class.

    No Finding is positive or None: devices leave it standing, a finding in
    doubt does not.
    """
    labels = dict.fromkeys(self.classes)
    findings = (*read_findings(report), *read_iu_findings(report))
    for status in (NEGATIVE, UNCERTAIN, POSITIVE):  # the surest word stays
      for finding in findings:
        name = self.class_of_finding.get(finding.name)
        if finding.status == status and name:
          labels[name] = status
    labels[NO_FINDING] = (
      None if self._has(labels, POSITIVE, UNCERTAIN) else POSITIVE
    )
    return labels

  def from_mesh(self, terms: Iterable[str]) -> dict[str, str | None]:
    """positive or negative for each class; all None without an index.

    The indexers read the impression, too: pneumonia, atelectasis and effusion
    stand in many indexes of findings that do not name them.

    Args:
      terms: `MeSH/major` of the XML, or the `MeSH` column split at ';', such
        as ['Opacity/lung/base/left', 'Cardiomegaly/mild'] or ['normal'].
    """
    terms = [term.strip().lower() for term in terms]
    if not is_indexed(terms):
      return dict.fromkeys(self.classes)
    labels = dict.fromkeys(self.classes, NEGATIVE)
    labels |= dict.fromkeys(match_terms(terms, self.mesh_patterns), POSITIVE)
    if not self._has(labels, POSITIVE):
      labels[NO_FINDING] = POSITIVE
    return labels

  def _has(self, labels, *statuses):
    """Whether anything but a device has one of the statuses."""
    return any(
      status in statuses
      for name, status in labels.items()
      if name not in (SUPPORT_DEVICES, NO_FINDING)
    )


# Fine findings that have no class of CheXpert's are not named here; sternotomy
# is a trace of surgery, and Open-i's indexers do not file it as a device.
CLASS_OF_FINDING = {
  'enlarged mediastinum': 'Enlarged Cardiomediastinum',
  'tortuous aorta': 'Enlarged Cardiomediastinum',
  'cardiomegaly': 'Cardiomegaly',
  'opacity': 'Lung Opacity',
  'nodule': 'Lung Lesion',
  'mass': 'Lung Lesion',
  'edema': 'Edema',
  'consolidation': 'Consolidation',
  'pneumonia': 'Pneumonia',
  'atelectasis': 'Atelectasis',
  'pneumothorax': 'Pneumothorax',
  'effusion': 'Pleural Effusion',
  'pleural thickening': 'Pleural Other',
  'pleural other': 'Pleural Other',
  'fracture': 'Fracture',
  'pacemaker': SUPPORT_DEVICES,
  'catheter': SUPPORT_DEVICES,
  'other support device': SUPPORT_DEVICES,
}

CHEXPERT = LabelSet('chexpert', CHEXPERT_14, CLASS_OF_FINDING, CHEXPERT_MESH)

IU = LabelSet(
  'iu',
  IU_CLASSES,
  CLASS_OF_FINDING
  | {
    'tortuous aorta': 'Tortuous Aorta',
    'aortic calcification': 'Aortic Calcification',
    'degenerative spine': 'Degenerative Spine',
    'scoliosis': 'Scoliosis or Kyphosis',
    'kyphosis': 'Scoliosis or Kyphosis',
    'granuloma': 'Granulomatous Disease',
    'granulomatous disease': 'Granulomatous Disease',
    'scarring': 'Scarring',
    'hypoinflation': 'Hypoinflation',
    'hyperinflation': 'Hyperinflation',
    'emphysema': 'Emphysema or COPD',
    'raised diaphragm': 'Raised Diaphragm',
  },
  IU_MESH,
)

LABEL_SETS = {label_set.name: label_set for label_set in (CHEXPERT, IU)}


def chexpert_labels(report: str) -> dict[str, str | None]:
  """`CHEXPERT.from_text`."""
  return CHEXPERT.from_text(report)


def mesh_labels(terms: Iterable[str]) -> dict[str, str] | None:
  """`CHEXPERT.from_mesh`; None without an index."""
  labels = CHEXPERT.from_mesh(terms)
  return {name: status for name, status in labels.items() if status} or None
