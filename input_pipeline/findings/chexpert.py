"""CheXpert-14 labels from report text and from Open-i MeSH terms."""

from input_pipeline.findings.reader import read_findings
from input_pipeline.findings.vocabulary import (
  CHEXPERT_14,
  NEGATIVE,
  NO_FINDING,
  POSITIVE,
  SUPPORT_DEVICES,
  UNCERTAIN,
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


def chexpert_labels(report: str) -> dict[str, str | None]:
  """positive, negative, uncertain or None (not mentioned) for each class."""
  labels = dict.fromkeys(CHEXPERT_14)
  findings = read_findings(report)
  for status in (NEGATIVE, UNCERTAIN, POSITIVE):  # the surest word stays
    for finding in findings:
      if finding.status == status and finding.name in CLASS_OF_FINDING:
        labels[CLASS_OF_FINDING[finding.name]] = status
  labels[NO_FINDING] = None if _has_disease(labels) else POSITIVE
  return labels


def _has_disease(labels):
  return any(
    labels[name] in (POSITIVE, UNCERTAIN)
    for name in CHEXPERT_14
    if name not in (SUPPORT_DEVICES, NO_FINDING)
  )
