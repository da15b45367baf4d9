"""Which MeSH terms that index an Open-i study stand for which class.

A term is a descriptor and its qualifiers, 'Opacity/lung/base/left'; patterns
are searched in lower case.
"""

import re
from collections.abc import Mapping

from input_pipeline.findings.vocabulary import SUPPORT_DEVICES

_WIDE = 'enlarged|prominent|widened|large'
_CHEXPERT = {
  # In this collection mostly a tortuous aorta.
  'Enlarged Cardiomediastinum': (
    rf'^(mediastinum|aorta|aorta, thoracic)/.*({_WIDE}|tortuous)'
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
_IU = _CHEXPERT | {
  'Enlarged Cardiomediastinum': (
    rf'^(mediastinum|aorta|aorta, thoracic)/.*({_WIDE})'
  ),
  'Tortuous Aorta': r'^aorta(, thoracic)?/.*tortuous',
  'Aortic Calcification': r'^atherosclerosis|^calcinosis/(aorta|blood vessels)',
  'Degenerative Spine': (
    r'^(thoracic vertebrae|spine|lumbar vertebrae|cervical vertebrae'
    r'|bone and bones)/.*degenerative|^spondylosis|^osteophyte|^hyperostosis'
  ),
  'Scoliosis or Kyphosis': r'^scoliosis|^kyphosis',
  'Granulomatous Disease': (
    r'granuloma|^calcinosis/(lung|mediastinum|lymph nodes|trachea)'
  ),
  'Scarring': r'^cicatrix|(?<!cystic )fibrosis(/|$)',
  'Hypoinflation': r'^lung/.*hypoinflation',
  'Hyperinflation': (
    r'^lung/.*hyperdistention|^lung, hyperlucent|^diaphragm/.*flattened'
  ),
  'Emphysema or COPD': (
    r'^((pulmonary|bullous) )?emphysema|^pulmonary disease, chronic obstructive'
    r'|^blister'
  ),
  'Raised Diaphragm': r'^diaphragm/.*elevat|^diaphragmatic eventration',
}
CHEXPERT_MESH = {name: re.compile(it) for name, it in _CHEXPERT.items()}
IU_MESH = {name: re.compile(it) for name, it in _IU.items()}

_UNKNOWN = 'no indexing'
_CALCIFIED = re.compile(r'^calcinosis|granuloma')


def is_indexed(terms: list[str]) -> bool:
  """Whether anybody indexed the study: without an index it is not normal."""
  return bool(terms) and _UNKNOWN not in terms


def match_terms(
  terms: list[str], patterns: Mapping[str, re.Pattern]
) -> list[str]:
  """The classes whose pattern one of the terms, in lower case, matches."""
  terms = _without_echoes(terms)
  return [
    name
    for name, pattern in patterns.items()
    if any(pattern.search(term) for term in terms)
  ]


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
