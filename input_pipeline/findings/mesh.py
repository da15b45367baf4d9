"""CheXpert-14 labels from the MeSH terms that index an Open-i study."""

import re
from collections.abc import Iterable

from input_pipeline.findings.vocabulary import (
  CHEXPERT_14,
  NEGATIVE,
  NO_FINDING,
  POSITIVE,
  SUPPORT_DEVICES,
)

_MESH_TERMS = {
  'Enlarged Cardiomediastinum': (
    r'^(mediastinum|cardiac shadow|aorta|aorta, thoracic)/'
    r'.*(enlarged|prominent|tortuous|widened|large)'
  ),
  'Cardiomegaly': r'^cardiomegaly',
  'Lung Opacity': (
    r'^opacity|^infiltrate|^airspace disease|^lung diseases, interstitial'
    r'|^density/.*(lung|lobe|base|apex|retrocardiac|bilateral)'
    r'|^markings/.*(interstitial|prominent|increased|diffuse)'
    r'|^lung/.*infiltrate'
  ),
  'Lung Lesion': (r'^nodule|^mass|^lung/.*(nodule|mass)|^cavitation|neoplasms'),
  'Edema': r'edema|^pulmonary congestion|^heart failure',
  'Consolidation': r'^consolidation',
  'Pneumonia': r'^(broncho)?pneumonia',
  'Atelectasis': r'atelecta',
  'Pneumothorax': r'pneumothorax',
  'Pleural Effusion': r'^(pleural effusion|hydropneumothorax|hydrothorax)',
  'Pleural Other': r'^(?!pleural effusion).*\bpleura',
  'Fracture': r'^fractures, bone',
  SUPPORT_DEVICES: (
    r'^(catheters, indwelling|(implanted )?medical device|tube|stents'
    r'|surgical instruments|pacemaker)|prosthes'
  ),
}
_UNKNOWN = 'no indexing'


def mesh_labels(terms: Iterable[str]) -> dict[str, str | None]:
  """positive or negative for each class; all None if the study is not indexed.

  Args:
    terms: `MeSH/major` of the XML, or the `MeSH` column split at ';', such as
      ['Opacity/lung/base/left', 'Cardiomegaly/mild'] or ['normal'].
  """
  terms = [term.strip().lower() for term in terms]
  if _UNKNOWN in terms or not terms:
    return dict.fromkeys(CHEXPERT_14)
  labels = dict.fromkeys(CHEXPERT_14, NEGATIVE)
  for name, pattern in _MESH_TERMS.items():
    if any(re.search(pattern, term) for term in terms):
      labels[name] = POSITIVE
  diseases = set(_MESH_TERMS) - {SUPPORT_DEVICES}
  if not any(labels[name] == POSITIVE for name in diseases):
    labels[NO_FINDING] = POSITIVE
  return labels
