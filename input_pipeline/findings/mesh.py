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
    r'^(mediastinum|aorta|aorta, thoracic)/'
    r'.*(enlarged|prominent|tortuous|widened|large)'
  ),
  # The cardiac silhouette, not the mediastinum.
  'Cardiomegaly': r'^cardiomegaly|^cardiac shadow/.*enlarged',
  'Lung Opacity': (
    r'^opacity|^infiltrate|^airspace disease|^lung diseases, interstitial'
    r'|^density/.*(lung|lobe|base|apex|retrocardiac)'
    r'|^markings/.*(interstitial|prominent|increased|diffuse)'
    r'|^lung/.*(infiltrate|interstitial)'
  ),
  'Lung Lesion': (
    r'^nodule|^mass(?!/breast)|^lung/.*(nodule|mass)|^cavitation|neoplasms'
    # The indexers' word for nodular.
    r'|^opacity/.*round|^density/.*lung.*round'
  ),
  'Edema': r'edema|^pulmonary congestion|^heart failure',
  'Consolidation': r'^consolidation',
  'Pneumonia': r'^(broncho)?pneumonia',
  'Atelectasis': r'atelecta',
  'Pneumothorax': r'pneumothorax',
  'Pleural Effusion': r'^(pleural effusion|hydropneumothorax|hydrothorax)',
  'Pleural Other': r'^(?!pleural effusion).*\bpleura',
  'Fracture': r'^fractures, bone',
  SUPPORT_DEVICES: (
    # A whole word: no tuberculosis.
    r'^(catheters, indwelling|(implanted )?medical device|tube\b|stents'
    r'|surgical instruments|pacemaker)|prosthes'
  ),
}
_UNKNOWN = 'no indexing'
_CALCIFIED = re.compile(r'^calcinosis|granuloma')


def mesh_labels(terms: Iterable[str]) -> dict[str, str | None]:
  """positive or negative for each class; all None if the study is not indexed.

  Args:
    terms: `MeSH/major` of the XML, or the `MeSH` column split at ';', such as
      ['Opacity/lung/base/left', 'Cardiomegaly/mild'] or ['normal'].
  """
  terms = [term.strip().lower() for term in terms]
  if _UNKNOWN in terms or not terms:
    return dict.fromkeys(CHEXPERT_14)
  terms = _without_echoes(terms)
  labels = dict.fromkeys(CHEXPERT_14, NEGATIVE)
  for name, pattern in _MESH_TERMS.items():
    if any(re.search(pattern, term) for term in terms):
      labels[name] = POSITIVE
  diseases = set(_MESH_TERMS) - {SUPPORT_DEVICES}
  if not any(labels[name] == POSITIVE for name in diseases):
    labels[NO_FINDING] = POSITIVE
  return labels


def _without_echoes(terms):
  """Without what indexes a calcified nodule a second and a third time.

  'Calcinosis/lung/base', 'Nodule/lung/base' and 'Density/lung/base' are one
  calcified nodule at the base, which is no lesion and no opacity.
  """
  paths = [term.split('/') for term in terms]
  calcified = [path[1:] for path in paths if _CALCIFIED.search(path[0])]
  return [
    term
    for term, (head, *place) in zip(terms, paths, strict=True)
    if head not in ('nodule', 'density')
    or not any(_is_same_place(place, other) for other in calcified)
  ]


def _is_same_place(one, other):
  """Whether two places are the same, up to how much is said of them."""
  shared = min(len(one), len(other))
  return one == other or (shared >= 2 and one[:shared] == other[:shared])
