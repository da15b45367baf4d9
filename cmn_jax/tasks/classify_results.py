"""What an evaluation of a classifier gives: scores, baselines, predictions."""

from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from cmn_jax.models.classifier import SINGLE_LABEL
from cmn_jax.scores.decisions import calibration, confusion_matrix, decide
from cmn_jax.scores.multilabel import score_classification
from input_pipeline.findings import NO_FINDING
from input_pipeline.labels import RARE, Labels

_LOSS = (
  'ce_weight',
  'focal_weight',
  'gamma',
  'alpha',
  'class_weights',
  'balanced_sampling',
)


def class_results(
  config: ConfigDict,
  data,
  labels: Labels,
  split: str,
  probability_SxC: np.ndarray,
  thresholds_C: np.ndarray | None,
  report_meta: dict | None,
  ids_SxT: np.ndarray | None,
) -> dict:
  """The classifier's scores, its baselines' and its calibration.

  Args:
    config: the whole one.
    data: `input_pipeline.data.Data`.
    labels: of its studies.
    split: 'val' or 'test'.
    probability_SxC: of each class, for its studies.
    thresholds_C: from which on a class is found; None for a single label.
    report_meta: of the report model; None where there is none.
    ids_SxT: the reports that were read, None without.
  """
  present, known = labels.present[split], labels.known[split]

  def score(predicted_SxC, probability_SxC=None):
    return score_classification(
      present,
      known,
      predicted_SxC,
      labels.classes,
      probability_SxC=probability_SxC,
      bootstrap=config.eval.bootstrap,
      rare=labels.rare,
      single_label=single,
    )

  c = config.classifier
  single = c.task == SINGLE_LABEL
  finetuned = c.finetune if report_meta else not config.train.freeze
  predicted_SxC = decide(probability_SxC, thresholds_C)
  results = {
    'inputs': c.inputs,
    'classifier_task': c.task,
    'finetuned': finetuned,
    'loss': {name: c[name] for name in _LOSS},
    **_report_model(report_meta),
    'labels': {
      'source': labels.source,
      'digest': labels.digest(split, data.studies[split]),
      'classes': list(labels.classes),
      'rare': list(labels.rare),
      'rare_below': RARE,
    },
    'studies': int(known.any(axis=1).sum()),
    'unlabelled': int((~known.any(axis=1)).sum()),
    **score(predicted_SxC, probability_SxC),
  }
  if thresholds_C is not None:
    for name, threshold in zip(labels.classes, thresholds_C, strict=True):
      results['per_class'][name]['threshold'] = float(threshold)
  if single:
    rows = known.all(axis=1)
    results['confusion_matrix'] = confusion_matrix(
      present[rows].argmax(1), predicted_SxC[rows].argmax(1), len(present[0])
    )
    best_S = probability_SxC[rows].argmax(1)
    truth = present[rows][np.arange(len(best_S)), best_S]
    results['calibration'] = calibration(truth, probability_SxC[rows].max(1))
  else:
    results['calibration'] = calibration(present[known], probability_SxC[known])
  results['baselines'] = _baselines(data, labels, split, ids_SxT, score)
  return results


def _report_model(report_meta) -> dict:
  if report_meta is None:
    return {}
  config = report_meta['config']
  about = {'name': config['name'], 'seed': config['seed']}
  return {'report_model': {**about, 'dataset': report_meta['dataset']}}


def _baselines(data, labels: Labels, split, ids_SxT, score) -> dict:
  """What needs no training: always No Finding, and the report read by rules."""
  nothing_SxC = np.zeros_like(labels.present[split])
  if NO_FINDING in labels.classes:
    nothing_SxC[:, labels.classes.index(NO_FINDING)] = True
  baselines = {'always_no_finding': score(nothing_SxC)}
  if ids_SxT is not None:
    texts = [data.text_of(ids) for ids in ids_SxT[:, 1:]]
    baselines['report_by_rules'] = score(labels.of_texts(texts))
  return baselines


def class_predictions(
  studies: Sequence,
  labels: Labels,
  split: str,
  probability_SxC: np.ndarray,
  thresholds_C: np.ndarray | None,
) -> list[dict]:
  """Labels, decisions and probabilities of each study, by name of class.

  Arguments as for `class_results`; `studies` are those of the split.
  """
  names = labels.classes

  def chosen(row):
    return [name for name, there in zip(names, row, strict=True) if there]

  return [
    {
      'id': study.id,
      'labels': chosen(present) if known.any() else None,
      'predicted': chosen(predicted),
      'probabilities': {
        name: round(float(p), 4)
        for name, p in zip(names, probability, strict=True)
      },
    }
    for study, present, known, predicted, probability in zip(
      studies,
      labels.present[split],
      labels.known[split],
      decide(probability_SxC, thresholds_C),
      probability_SxC,
      strict=True,
    )
  ]
