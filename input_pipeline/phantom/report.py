"""The report on a phantom: a grammar of slots in the order of real reports.

Each report is dictated by one of three readers, who mostly keep to a wording
of their own: so normal reports repeat each other, as real ones do.
"""

import re

import numpy as np

from input_pipeline.findings.vocabulary import Finding

MAX_TOKENS = 58  # words and full stops; a model cuts at 60

_READERS = (0.55, 0.30, 0.15)
_HABIT = 0.85  # how often a reader uses the habitual wording

# Wordings of the normal chest; the first three are the readers' habits.
_NORMAL = {
  'heart': (
    'The heart is normal in size.',
    'Heart size is within normal limits.',
    'The cardiac silhouette is normal.',
    'Heart size is normal.',
    'Normal heart size.',
  ),
  'mediastinum': (
    'The mediastinum is unremarkable.',
    'Mediastinal contours are normal.',
    'The mediastinal silhouette is within normal limits.',
    'Normal mediastinal contours.',
  ),
  'vessels': (
    'Pulmonary vascularity is normal.',
    'There is no pulmonary edema.',
    'The pulmonary vessels are normal in caliber.',
    'No vascular congestion.',
  ),
  'lungs': (
    'The lungs are clear.',
    'Lungs are clear bilaterally.',
    'No focal airspace opacity is seen.',
    'Both lungs are clear.',
    'The lungs are well expanded and clear.',
  ),
  'pleura': (
    'There is no pneumothorax or pleural effusion.',
    'No pleural effusion or pneumothorax.',
    'No pneumothorax or effusion is identified.',
    'There is no effusion or pneumothorax.',
  ),
  'no effusion': (
    'There is no pleural effusion.',
    'No pleural effusion.',
    'No effusion is identified.',
  ),
  'no pneumothorax': (
    'There is no pneumothorax.',
    'No pneumothorax.',
    'No pneumothorax is identified.',
  ),
  'bones': (
    'The bony structures are intact.',
    'No acute bony abnormality.',
    'The osseous structures are unremarkable.',
    'The visualized skeleton is intact.',
  ),
}

# Wordings of each finding; `_fill` puts in what is in braces.
_ABNORMAL = {
  'cardiomegaly': (
    'The heart is {severity_ly} enlarged.',
    'There is {severity} cardiomegaly.',
    'The cardiac silhouette is {severity_ly} enlarged.',
  ),
  'tortuous aorta': (
    'The thoracic aorta is tortuous.',
    'The aorta is tortuous and ectatic.',
    'Tortuosity of the thoracic aorta is noted.',
  ),
  'hiatal hernia': (
    'There is a hiatal hernia with an air fluid level.',
    'A hiatal hernia is seen behind the heart.',
    'Retrocardiac hiatal hernia is noted.',
  ),
  'edema': (
    'There is {severity} pulmonary edema.',
    '{Severity} interstitial edema is present.',
    '{Severity} pulmonary vascular congestion is noted.',
  ),
  'hyperinflation': (
    'The lungs are hyperinflated with flattened diaphragms.',
    'The lungs are hyperexpanded.',
    'Hyperinflation of both lungs is noted.',
  ),
  'opacity': (
    '{There_is} {a_side} {zone} lung {opacity}.',
    '{Side} {zone} zone airspace {opacity} {is} present.',
    'Focal {opacity} {is} seen in the {side} {zone} {lung}.',
  ),
  'nodule': (
    'There is a nodule in the {side} {zone} lung.',
    '{Side} {zone} zone pulmonary nodule is noted.',
    'A soft tissue nodule is seen in the {side} {zone} lung.',
  ),
  'granuloma': (
    'There is a calcified granuloma in the {side} {zone} lung.',
    'Calcified granuloma in the {side} {zone} lung.',
    '{Side} {zone} zone granuloma is noted.',
  ),
  'atelectasis': (
    'There is {side_basilar} atelectasis.',
    '{Side_basilar} atelectasis is noted.',
    '{Side_basilar} linear atelectasis is present.',
  ),
  'effusion': (
    '{There_is} {a_size} {side} pleural {effusion}.',
    '{A_size} {side} {effusion} {is} present.',
    '{Size} {side} pleural {effusion}.',
  ),
  'pneumothorax': (
    'There is {a_size} {side} pneumothorax.',
    '{A_size} {side} pneumothorax is present.',
    '{Size} {side} pneumothorax.',
  ),
  'pleural thickening': (
    'There is {side_apical} pleural thickening.',
    '{Side_apical} pleural thickening is noted.',
    '{Side_apical} pleural scarring is seen.',
  ),
  'scoliosis': (
    'There is scoliosis of the thoracic spine convex to the {side}.',
    'Thoracic scoliosis convex to the {side} is noted.',
    '{Side} convex scoliosis of the spine.',
  ),
  'fracture': (
    'There are displaced {side} rib fractures.',
    'Displaced fractures of {side} ribs are seen.',
    '{Side} rib fractures are present.',
  ),
  'pacemaker': (
    'A {side} chest pacemaker is in place.',
    '{Side} sided pacemaker is noted.',
    'A {side} subclavian pacemaker is present.',
  ),
  'catheter': (
    'A {side} central venous catheter is in place.',
    '{Side} central venous catheter with tip in the cava.',
    'A {side} PICC line is present.',
  ),
  'sternotomy': (
    'Median sternotomy wires are in place.',
    'Sternotomy wires are noted.',
    'Intact median sternotomy wires are present.',
  ),
}

# The slots of a report in their order: keys of `_ABNORMAL` and `_NORMAL`.
_ORDER = (
  'cardiomegaly',
  'heart',
  'tortuous aorta',
  'mediastinum',
  'hiatal hernia',
  'edema',
  'vessels',
  'hyperinflation',
  'opacity',
  'nodule',
  'granuloma',
  'atelectasis',
  'lungs',
  'effusion',
  'pneumothorax',
  'pleura',
  'no effusion',
  'no pneumothorax',
  'pleural thickening',
  'scoliosis',
  'fracture',
  'bones',
  'pacemaker',
  'catheter',
  'sternotomy',
)
# Findings beside which a normal statement would be false or odd.
_FORBIDDEN_BY = {
  'heart': {'cardiomegaly'},
  'mediastinum': {'tortuous aorta', 'hiatal hernia'},
  'vessels': {'edema'},
  'lungs': {
    'edema',
    'hyperinflation',
    'opacity',
    'nodule',
    'granuloma',
    'atelectasis',
  },
  'pleura': {'effusion', 'pneumothorax'},
  'bones': {'scoliosis', 'fracture'},
}
# What a reader leaves out first when there is much else to say.
_EXPENDABLE = (
  'vessels',
  'mediastinum',
  'bones',
  'no pneumothorax',
  'no effusion',
  'pleura',
  'lungs',
  'heart',
)

_SIZES = {'mild': 'small', 'moderate': 'moderate', 'severe': 'large'}


def count_tokens(report: str) -> int:
  """Words and full stops, as the tokenizer of IU X-Ray counts them."""
  return len(re.findall(r'[^\s.]+|\.', report))


def write_report(findings: list[Finding], rng: np.random.Generator) -> str:
  """Sentences for all `findings`, and for what is normal beside them.

  Each finding must be complete: see `sampling.complete`.
  """
  reader = int(rng.choice(len(_READERS), p=_READERS))
  sentences = {}
  for slot in _ORDER:
    # Drawn for each slot, said or not: so all else is worded the same.
    wording = _wording(slot, reader, rng)
    said = [_fill(wording, f) for f in findings if f.name == slot]
    if slot in _NORMAL and _is_normal(slot, findings):
      said = [wording]
    if said:
      sentences[slot] = ' '.join(said)
  for slot in _EXPENDABLE:
    if count_tokens(' '.join(sentences.values())) > MAX_TOKENS:
      sentences.pop(slot, None)
  return ' '.join(sentences.values())


def _wording(slot, reader, rng):
  wordings = _NORMAL[slot] if slot in _NORMAL else _ABNORMAL[slot]
  habitual, other = rng.random() < _HABIT, rng.integers(len(wordings))
  return wordings[reader if habitual else other]


def _is_normal(slot, findings):
  names = {finding.name for finding in findings}
  if slot == 'no effusion':
    return 'pneumothorax' in names and 'effusion' not in names
  if slot == 'no pneumothorax':
    return 'effusion' in names and 'pneumothorax' not in names
  return not names & _FORBIDDEN_BY[slot]


def _fill(wording, finding):
  side, zone, severity = finding.side, finding.zone, finding.severity
  size = _SIZES.get(severity, '')
  both = side == 'bilateral'
  words = {
    'side': side,
    'zone': zone,
    'severity': severity,
    'severity_ly': f'{severity}ly',
    'size': size,
    'a_side': side if both else f'a {side}',
    'a_size': size if both else f'a {size}',
    'side_basilar': 'bibasilar' if both else f'{side} basilar',
    'side_apical': 'biapical' if both else f'{side} apical',
    'there_is': 'there are' if both else 'there is',
    'is': 'are' if both else 'is',
    'lung': 'lungs' if both else 'lung',
    'opacity': 'opacities' if both else 'opacity',
    'effusion': 'effusions' if both else 'effusion',
  }
  words |= {key.capitalize(): text.capitalize() for key, text in words.items()}
  return wording.format(**words)
