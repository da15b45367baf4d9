"""What an evaluation of an EKAGen captioner adds: is its knowledge worth it?"""

from collections.abc import Mapping, Sequence

import numpy as np

from cmn_jax.scores.multilabel import score_findings
from cmn_jax.scores.scoring import SplitScorer
from cmn_jax.scores.significance import paired_findings_test, paired_test
from cmn_jax.tasks.written_reports import names_of
from input_pipeline.findings_reader import FindingsReader

_BATCH = 16
# Each control's own labels, an array that joins a batch, by its name.
CONTROLS = {
  'shuffled_knowledge': 'shuffled_labels_BxG',
  'constant_knowledge': 'constant_labels_BxG',
  'true_label_knowledge': 'true_labels_BxG',
}


def knowledge_results(
  studies: Sequence,
  reader: FindingsReader,
  texts: list[str],
  controls: Mapping[str, list[str]],
  labels_SxG: np.ndarray,
  classes: Sequence[str],
  bootstrap: int,
) -> dict:
  """Controls of the knowledge, and how good the labels are that choose it.

  Args:
    studies: of the split.
    reader: of findings.
    texts: the reports.
    controls: reports written with other knowledge, by a key of CONTROLS.
    labels_SxG: what the classifier said.
    classes: names of G.
    bootstrap: resamples of each interval.

  Returns:
    controls: the scores of each; labels: `score_findings` of the labels;
    significance: a paired test of the reports against those with shuffled
    knowledge, {metric: {difference, p_value}}.
  """
  score = SplitScorer(studies, reader, bootstrap)
  true = [reader.classes_of_study(study) for study in studies]
  said = names_of(labels_SxG, classes)
  results = {
    'controls': {name: score(reports) for name, reports in controls.items()},
    'labels': {
      'source': 'classifier',
      **score_findings(true, said, reader.classes, bootstrap=bootstrap),
    },
  }
  if 'shuffled_knowledge' in controls:
    shuffled = controls['shuffled_knowledge']
    results['significance'] = {
      'against': 'shuffled_knowledge',
      **paired_test([s.reference for s in studies], texts, shuffled),
      **paired_findings_test(
        true,
        *([reader.labels_of_text(t) for t in x] for x in (texts, shuffled)),
        reader.classes,
      ),
    }
  return results


def whole_batches(
  studies: Sequence, reader: FindingsReader, texts: list[str]
) -> dict:
  """Scores of the studies that the authors' evaluation does not lose.

  A last batch of fewer than 16 is left out there without a word: of IU X-Ray's
  590 test studies 576 are scored.
  """
  kept = len(studies) // _BATCH * _BATCH
  if kept in (0, len(studies)):
    return {}
  score = SplitScorer(studies[:kept], reader, bootstrap=0)
  return {f'first_{kept}_studies': score(texts[:kept])}


def knowledge_lines(results: Mapping) -> list[str]:
  """The labels' own F1 and the paired test, for the terminal."""
  if 'labels' not in results:
    return []
  f1 = results['labels']['micro_f1']
  lines = [
    'labels of the classifier: findings F1 micro '
    + ('-' if f1 is None else f'{f1:.3f}')
  ]
  test = results.get('significance', {}).get('micro_f1', {})
  if test.get('p_value') is not None:
    lines.append(
      f'knowledge against shuffled knowledge: F1 micro '
      f'{test["difference"]:+.3f}, p = {test["p_value"]:.4f}'
    )
  return lines
