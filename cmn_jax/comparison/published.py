"""What the papers report, as they print it: nothing here was measured by us."""

# IU X-Ray, official split: BLEU-1 to 4, METEOR (Java's 1.5), ROUGE-L.
_SCORES = ('bleu_1', 'bleu_2', 'bleu_3', 'bleu_4', 'meteor', 'rouge_l')
_REPORTS = {
  'EKAGen (ViT-B/16)': (0.517, 0.351, 0.258, 0.191, 0.211, 0.409),
  'EKAGen (ResNet-101)': (0.526, 0.361, 0.267, 0.203, 0.214, 0.404),
  'base': (0.396, 0.254, 0.179, 0.135, 0.164, 0.342),
  'mem': (0.443, 0.270, 0.191, 0.144, 0.172, 0.351),
  'cmn': (0.475, 0.309, 0.222, 0.170, 0.191, 0.375),
  'proposed': (0.4788, 0.3024, 0.2167, 0.1607, 0.1941, 0.3667),
}
REPORTS = {
  name: dict(zip(_SCORES, row, strict=True)) for name, row in _REPORTS.items()
}
# The one data set that they belong to, as test.json calls it.
DATASET = 'iu_xray'
# And what they were compared with there: R2Gen's references, or EKAGen's.
REFERENCES = {
  'sections': 'findings',
  'clean': 'iu_xray',
  'min_count': 3,
  'reference_length': 60,
}
_LONGER = {**REFERENCES, 'reference_length': 129}

# Disease classification on IU X-Ray; averages weighted by support.
CLASSIFICATION = {
  'classifier': {
    'precision_weighted': 0.8039,
    'recall_weighted': 0.6909,
    'f1_weighted': 0.6216,
  },
  'classifier_ce': {
    'precision_weighted': 0.7745,
    'recall_weighted': 0.6918,
    'f1_weighted': 0.6287,
  },
}


def references_of(name: str) -> dict:
  """What the reports of one of REPORTS were compared with."""
  return _LONGER if name.startswith('EKAGen') else REFERENCES
