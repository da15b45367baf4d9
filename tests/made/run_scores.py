"""Results and predictions of made-up runs, scored by the program itself."""

import copy
import functools
import json
import types

import numpy as np

from cmn_jax.comparison.published import REFERENCES
from cmn_jax.scores.decisions import calibration, confusion_matrix, decide
from cmn_jax.scores.multilabel import score_classification
from cmn_jax.scores.retrieval import retrieval_scores
from cmn_jax.scores.scoring import SplitScorer
from input_pipeline.findings_reader import FindingsReader

NORMAL = 'The heart is normal. The lungs are clear.'
REPORTS = (
  'There is a small right pleural effusion. The heart is normal.',
  'Heart size is enlarged. No pleural effusion.',
  NORMAL,
  'There is a large left pneumothorax.',
  'Severe pulmonary edema <B>&</B>. The heart is enlarged.',
)
CLASSES = ('edema', 'a <nodule>', 'No Finding')
READER = FindingsReader('rules')
OF_IU = FindingsReader('rules', 'iu')
VERSIONS = {'jax': '0.10.2', 'flax': '0.12.0'}


def clean(report):
  """Words as the tokenizer leaves them."""
  return report.lower().replace('.', ' .')


STUDIES = [
  types.SimpleNamespace(
    id=f'study {n}',
    report=REPORTS[n % 5],
    reference=clean(REPORTS[n % 5]),
    findings=None,
  )
  for n in range(50)
]
_ABOUT = {
  'named_config': 'phantom.py:cmn',
  'checkpoint': {'step': 40, 'epoch': 4},
  'split': 'test',
  'split_source': 'own',
  'split_digest': 'd1d1d1d1d1d1',
  'split_official': False,
  'left_out': ['1 study without images.'],
  'seconds': 12.34,
  'versions': VERSIONS,
}
OFFICIAL = {
  'dataset': 'iu_xray',
  'split_source': 'r2gen',
  'split_official': True,
}


def written(right):
  """A prediction for each study: the reference of the first `right` of five."""
  return [s.reference if n % 5 < right else clean(NORMAL)
          for n, s in enumerate(STUDIES)]  # fmt: skip


@functools.cache
def _report_scores(right, seed):
  score = SplitScorer(STUDIES, READER, bootstrap=50)

  def scores(predictions):
    return score(predictions)

  aligned = np.eye(len(STUDIES))
  return {
    **scores(written(right)),
    'references': REFERENCES,
    **score.reference_shares,
    'baselines': {
      'constant': {**scores(written(0)), 'report': 'all is <well> .'},
      'retrieval': scores(written(1)),
    },
    'controls': {'shuffled_images': score.shuffled(written(right), seed)},
    'retrieval': retrieval_scores(
      aligned, aligned, [s.report for s in STUDIES]
    ),
  }


def report_results(name='cmn', right=4, seed=1, config=None, **changes):
  """A report model's test.json; it writes `right` of five reports."""
  results = {
    'task': 'report',
    'name': name,
    'seed': seed,
    'config': config or {},
    'dataset': 'toy',
    'selected_on': 'val bleu_4',
    **_ABOUT,
    **copy.deepcopy(_report_scores(right, seed)),
    'reports_per_second': 45.6,
    **changes,
  }
  aligned = name.startswith('proposed')
  results['retrieval']['projection'] = 'trained' if aligned else 'untrained'
  return results


def report_predictions(right=4):
  """The rows of its test_predictions.json."""
  return [
    {
      'id': study.id,
      'report': study.report,
      'sections': {'findings': study.report, 'indication': 'Pain.'},
      'reference': study.reference,
      'prediction': text,
      'reference_findings': sorted(READER.labels_of_study(study)),
      'predicted_findings': sorted(READER.labels_of_text(text)),
      'reference_findings_iu': sorted(OF_IU.labels_of_study(study)),
      'predicted_findings_iu': sorted(OF_IU.labels_of_text(text)),
    }
    for study, text in zip(STUDIES, written(right), strict=True)
  ]


def classifier_results(
  name='classifier', inputs='image', noise=0.5, seed=1, single=False, **changes
):
  """A classifier's test.json: probabilities are the truth and some noise."""
  rng = np.random.default_rng(seed)
  truth_SxC = np.random.default_rng(0).random((80, 3)) < [0.4, 0.06, 0.4]
  if single:
    truth_SxC = np.eye(3, dtype=bool)[np.arange(80) % 3]
  known_SxC = np.ones_like(truth_SxC)
  p_SxC = (1 - noise) * truth_SxC + noise * rng.random((80, 3))
  said_SxC = decide(p_SxC, None if single else np.full(3, 0.5))

  def scores(said_SxC, p_SxC=None):
    return score_classification(
      truth_SxC,
      known_SxC,
      said_SxC,
      CLASSES,
      probability_SxC=p_SxC,
      bootstrap=50,
      rare=CLASSES[1:2],
      single_label=single,
    )

  nothing_SxC = np.broadcast_to([False, False, True], (80, 3))
  results = {
    'task': 'classify',
    'name': name,
    'seed': seed,
    'config': {},
    'dataset': 'toy',
    'selected_on': 'val micro_f1',
    **_ABOUT,
    'inputs': inputs,
    'finetuned': False,
    'labels': {
      'source': 'rules',
      'classes': list(CLASSES),
      'rare': [CLASSES[1]],
      'rare_below': 0.05,
    },
    'studies': 80,
    'unlabelled': 3,
    **scores(said_SxC, p_SxC),
    'calibration': calibration(truth_SxC.ravel(), p_SxC.ravel()),
    'baselines': {'always_no_finding': scores(nothing_SxC)},
    'studies_per_second': 100.0,
    **changes,
  }
  if inputs != 'image':
    results['baselines']['report_by_rules'] = scores(truth_SxC)
  if single:
    results['confusion_matrix'] = confusion_matrix(
      truth_SxC.argmax(1), said_SxC.argmax(1), 3
    )
  else:
    for row in results['per_class'].values():
      row['threshold'] = 0.5
  return results


def write_workdir(path, results, predictions=None):
  """The evaluation of a run as main.py leaves it."""
  folder = path / 'evaluation'
  folder.mkdir(parents=True)
  (folder / 'test.json').write_text(json.dumps(results))
  if predictions is not None:
    file = folder / 'test_predictions.json'
    file.write_text(json.dumps(predictions))
  return path


def rows_of(text, title):
  """The rows of a printed Markdown table: a dict of cells by column."""
  part = text.split(f'## {title}\n')[1].split('\n## ')[0]
  lines = [
    [cell.strip() for cell in line.split('|')[1:-1]]
    for line in part.splitlines()
    if line.startswith('| ')
  ]
  head, _, *rows = lines
  return {row[0]: dict(zip(head, row, strict=True)) for row in rows}
