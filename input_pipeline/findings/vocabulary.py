"""What a chest report can say: fine findings and CheXpert's classes."""

import dataclasses

POSITIVE = 'positive'
NEGATIVE = 'negative'
UNCERTAIN = 'uncertain'

SEVERITIES = ('mild', 'moderate', 'severe')


@dataclasses.dataclass(frozen=True)
class Finding:
  """One finding as a report states it; '' where the report does not say."""

  name: str
  side: str = ''  # left, right, bilateral
  zone: str = ''  # upper, mid, lower
  severity: str = ''  # mild, moderate, severe
  status: str = POSITIVE


# The findings that the phantom draws.
DRAWN_FINDINGS = (
  'cardiomegaly',
  'effusion',
  'opacity',
  'nodule',
  'pneumothorax',
  'atelectasis',
  'edema',
  'hyperinflation',
  'granuloma',
  'scoliosis',
  'pacemaker',
  'sternotomy',
  'fracture',
  'pleural thickening',
  'hiatal hernia',
  'catheter',
  'tortuous aorta',
)

FINDINGS = (
  *DRAWN_FINDINGS,
  'enlarged mediastinum',
  'consolidation',
  'pneumonia',
  'mass',
  'pleural other',
  'other support device',
)

NO_FINDING = 'No Finding'
SUPPORT_DEVICES = 'Support Devices'

# The classes of CheXpert (Irvin et al. 2019), in their order here.
CHEXPERT_14 = (
  'Enlarged Cardiomediastinum',
  'Cardiomegaly',
  'Lung Opacity',
  'Lung Lesion',
  'Edema',
  'Consolidation',
  'Pneumonia',
  'Atelectasis',
  'Pneumothorax',
  'Pleural Effusion',
  'Pleural Other',
  'Fracture',
  SUPPORT_DEVICES,
  NO_FINDING,
)

# CheXpert's without tortuous aorta among its first class, and ten that are
# commoner in the Indiana collection than most of those.
IU_CLASSES = (
  *CHEXPERT_14[:-1],
  'Tortuous Aorta',
  'Aortic Calcification',
  'Degenerative Spine',
  'Scoliosis or Kyphosis',
  'Granulomatous Disease',
  'Scarring',
  'Hypoinflation',
  'Hyperinflation',
  'Emphysema or COPD',
  'Raised Diaphragm',
  NO_FINDING,
)

_EVERYTHING = ('side', 'zone', 'severity')

# Which words of place and degree a finding can carry: a heart has no zone.
ATTRIBUTES = {
  'cardiomegaly': ('severity',),
  'effusion': ('side', 'severity'),
  'opacity': _EVERYTHING,
  'nodule': ('side', 'zone'),
  'pneumothorax': _EVERYTHING,
  'atelectasis': _EVERYTHING,
  'edema': ('severity',),
  'hyperinflation': ('severity',),
  'granuloma': ('side', 'zone'),
  'scoliosis': ('side', 'severity'),
  'pacemaker': ('side',),
  'sternotomy': (),
  'fracture': ('side',),
  'pleural thickening': _EVERYTHING,
  'hiatal hernia': ('severity',),
  'catheter': ('side',),
  'tortuous aorta': ('severity',),
  'enlarged mediastinum': ('severity',),
  'consolidation': _EVERYTHING,
  'pneumonia': _EVERYTHING,
  'mass': ('side', 'zone'),
  'pleural other': ('side', 'zone'),
  'other support device': ('side',),
}
