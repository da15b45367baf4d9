"""Made-up test.json of runs, and the rows of printed tables."""


def _scores(value):
  return {
    **{f'bleu_{n}': value for n in range(1, 5)},
    'meteor': None,
    'rouge_l': value,
    'cider': value,
    'distinct_reports': 7,
    'findings': {
      'source': 'rules',
      'micro_f1': value,
      'macro_f1': value,
      'micro_f1_interval': [0.1, 0.2],
      'per_class': {'Pleural Effusion': {}, 'No Finding': {}},
      'side_accuracy': value,
      'zone_accuracy': 0.0,
      'counts': {'side': 3, 'zone': 0},
    },
  }


def _recalls(value):
  return {f'recall_{k}': value for k in (1, 5, 10)} | {'median_rank': 12.0}


def report_json(variant, value, seed=1, dataset='toy'):
  """A report generator\'s, all of its scores from one value."""
  return {
    **_scores(value),
    'dataset': dataset,
    'variant': variant,
    'seed': seed,
    'studies': 9,
    'selected_on': 'val bleu_4',
    'baselines': {'constant': _scores(0.25), 'retrieval': _scores(0.5)},
    'controls': {'shuffled_images': _scores(0.125)},
    'retrieval': {
      'projection': 'trained' if variant == 'proposed' else 'untrained',
      'image_to_report': _recalls(value),
      'report_to_image': _recalls(value / 2),
      'chance': _recalls(0.01),
      'studies': 9,
      'distinct_reports': 8,
    },
  }


def classifier_json(variant, inputs, value, seed=1):
  """A classifier\'s, all of its scores from one value."""
  return {
    'dataset': 'toy',
    'variant': variant,
    'seed': seed,
    'studies': 9,
    'inputs': inputs,
    'precision_weighted': value,
    'recall_weighted': value,
    'f1_weighted': value,
    'f1_macro': value,
    'auroc_macro': value,
    'task': 'multi_label',
    'labels': {
      'source': 'phantom',
      'classes': ['edema', 'nodule', 'No Finding'],
      'rare': ['nodule'],
      'rare_below': 0.05,
    },
    'finetuned': False,
    'f1_macro_rare': value / 2,
    'intervals': {'f1_macro': [0.25, 1.0], 'f1_macro_rare': [value / 4, 0.75]},
    'per_class': {'nodule': {'support': 2}},
    'baselines': {
      'always_no_finding': {'f1_weighted': 0.6},
      **(
        {} if inputs == 'image' else {'report_by_rules': {'f1_weighted': 0.95}}
      ),
    },
  }


def rows_of(text, title):
  """The lines of a printed Markdown table, its head left out."""
  part = text.split(f'## {title}\n')[1].split('\n## ')[0]
  return [line for line in part.splitlines() if line.startswith('| ')][2:]


def names_of(lines):
  """The first cell of each."""
  return [line.split('|')[1].strip() for line in lines]
