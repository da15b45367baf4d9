"""Which findings the patients of a phantom have."""

import dataclasses

import numpy as np

from input_pipeline.findings.vocabulary import Finding

_ONE_SIDE = ('left', 'right')
_ALL_SIDES = (*_ONE_SIDE, 'bilateral')
_ZONES = ('upper', 'mid', 'lower')
_DEGREES = ('mild', 'moderate', 'severe')

# What the phantom draws, and what each finding can be there.
PHANTOM_FINDINGS = {
  'cardiomegaly': {'severity': _DEGREES},
  'effusion': {'side': _ALL_SIDES, 'severity': _DEGREES},
  'opacity': {'side': _ALL_SIDES, 'zone': _ZONES},
  'nodule': {'side': _ONE_SIDE, 'zone': _ZONES},
  'pneumothorax': {'side': _ONE_SIDE, 'severity': _DEGREES},
  'atelectasis': {'side': _ALL_SIDES, 'zone': ('lower',)},
  'edema': {'severity': _DEGREES},
  'hyperinflation': {},
  'granuloma': {'side': _ONE_SIDE, 'zone': _ZONES},
  'scoliosis': {'side': _ONE_SIDE},
  'pacemaker': {'side': _ONE_SIDE},
  'sternotomy': {},
  'fracture': {'side': _ONE_SIDE},
  'pleural thickening': {'side': _ALL_SIDES, 'zone': ('upper',)},
  'hiatal hernia': {},
  'catheter': {'side': _ONE_SIDE},
  'tortuous aorta': {},
}

_NORMAL_SHARE = 0.44
# Of 1, 2, 3 findings: few enough that a report given to another patient is
# seldom right by chance (F1 0.045 at best), enough that reports differ.
_COUNT_SHARES = (0.66, 0.27, 0.07)
# Findings that others often keep out are drawn more often.
_WEIGHTS = {
  'opacity': 1.4,
  'nodule': 1.4,
  'granuloma': 1.2,
  'pneumothorax': 1.5,
  'atelectasis': 1.3,
  'hyperinflation': 1.3,
  'effusion': 1.6,
  'cardiomegaly': 1.2,
  'fracture': 1.4,
  'pleural thickening': 1.2,
  'pacemaker': 1.2,
  'edema': 1.2,
}
# Never in one patient: one hides or undoes the other.
_EXCLUDED = (
  {'hyperinflation', 'atelectasis'},
  {'hyperinflation', 'edema'},
  {'hyperinflation', 'effusion'},
  {'hyperinflation', 'cardiomegaly'},
  {'pneumothorax', 'edema'},
  {'edema', 'opacity'},
  {'edema', 'nodule'},
  {'edema', 'granuloma'},
  {'pacemaker', 'catheter'},
)


def sample_findings(rng: np.random.Generator) -> list[Finding]:
  """None in 44 % of the patients, else one to three that can be told apart."""
  if rng.random() < _NORMAL_SHARE:
    return []
  names = list(PHANTOM_FINDINGS)
  weights = np.array([_WEIGHTS.get(name, 1.0) for name in names])
  order = rng.choice(
    len(names), len(names), replace=False, p=weights / weights.sum()
  )
  wanted = 1 + int(rng.choice(len(_COUNT_SHARES), p=_COUNT_SHARES))
  findings = []
  for index in order:
    candidate = complete(Finding(names[index]), rng)
    if all(_compatible(candidate, other) for other in findings):
      findings.append(candidate)
    if len(findings) == wanted:
      break
  return sorted(findings, key=lambda finding: names.index(finding.name))


def complete(finding: Finding, rng: np.random.Generator) -> Finding:
  """The finding with what it does not say of side, zone, severity drawn."""
  drawn = {
    attribute: str(rng.choice(choices))
    for attribute, choices in PHANTOM_FINDINGS[finding.name].items()
    if not getattr(finding, attribute)
  }
  return dataclasses.replace(finding, **drawn)


def _compatible(one, other):
  if {one.name, other.name} in _EXCLUDED:
    return False
  return not _places(one) & _places(other)


def _places(finding):
  """(side, zone) of the lungs where nothing else could be made out."""
  if finding.name == 'cardiomegaly':
    hidden = {'mild': (), 'moderate': ('lower',), 'severe': ('mid', 'lower')}
    return {('left', zone) for zone in hidden[finding.severity]}
  zones = {
    'effusion': _ZONES if finding.severity == 'severe' else ('mid', 'lower'),
    'pneumothorax': _ZONES,
    'pacemaker': ('upper',),
    'fracture': ('upper', 'mid'),
  }.get(finding.name, (finding.zone,) if finding.zone else ())
  sides = _ONE_SIDE if finding.side == 'bilateral' else (finding.side,)
  return {(side, zone) for side in sides for zone in zones}
