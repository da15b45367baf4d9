"""Evaluation of a classifier: the best checkpoint on val and test."""

import time
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from cmn_jax.classifier_inputs import ClassifierInputs, labels_of
from cmn_jax.dataset import open_dataset
from cmn_jax.losses.classification import SINGLE_LABEL
from cmn_jax.pages.classifier import classifier_sections
from cmn_jax.pages.page import write_page
from cmn_jax.report_model import ReportModel
from cmn_jax.scores.decisions import calibration, confusion_matrix, decide
from cmn_jax.scores.multilabel import score_classification
from cmn_jax.training.checkpoints import (
  CheckpointError,
  find_step,
  load_model,
)
from cmn_jax.training.parallel import Parallel
from cmn_jax.training.resuming import (
  check_same_classes,
  check_same_classifier,
)
from input_pipeline.atomic_write import write_json
from input_pipeline.findings import NO_FINDING
from input_pipeline.labels import RARE, Labels

SPLITS = ('val', 'test')


def evaluate_classifier(config: ConfigDict, workdir: str) -> dict:
  """Writes evaluation/{val,test}.json and predictions.

  The checkpoint is the best by validation, on which the thresholds were chosen
  too; the test split is read here only.

  Returns:
    The content of evaluation/test.json.
  """
  workdir = Path(workdir)
  step_folder = find_step(workdir)
  variables, meta = load_model(step_folder)
  if 'classifier' not in meta:
    raise CheckpointError(
      f'{step_folder} holds a report model, no classifier: evaluate it with '
      f'its own variant, {meta["config"]["variant"]}'
    )
  check_same_classifier(meta['config'], config, step_folder)
  parallel = Parallel(config.train.parallel)
  parallel.check_batch_size(config.eval.batch_size, 'eval.batch_size')
  data = open_dataset(config)
  report = _report_model(config, variables, meta, step_folder)
  report.check_fits(data)
  labels = labels_of(config, data)
  check_same_classes(meta['classifier']['classes'], labels.classes, step_folder)
  inputs = ClassifierInputs(config, data, report, len(labels.classes), parallel)
  variables = parallel.replicate(inputs.own_variables(variables))
  out = workdir / 'evaluation'
  out.mkdir(parents=True, exist_ok=True)
  results = {}
  for split in SPLITS:
    begin = time.perf_counter()
    probability_SxC = inputs.probabilities(variables, split)
    seconds = time.perf_counter() - begin
    results[split] = {
      **_about(config, data, meta, split),
      **_scores(config, data, labels, split, probability_SxC, meta, inputs),
      'left_out': data.problems,
      'seconds': seconds,
      'studies_per_second': len(probability_SxC) / seconds,
      'versions': meta['versions'],
    }
    write_json(out / f'{split}.json', results[split])
    write_json(
      out / f'{split}_predictions.json',
      _predictions(data.studies[split], labels, split, probability_SxC, meta),
    )
  write_page(
    workdir / 'report.html',
    f'{config.variant} on {data.name}',
    _describe(meta, variables, parallel, step_folder),
    classifier_sections(results['test'], meta['history']),
  )
  _tell(results['test'], workdir)
  return results['test']


def _report_model(config, variables, meta, step_folder) -> ReportModel:
  """The one that the classifier reads with and whose reports it reads.

  A frozen one is in the checkpoint; one that was fine-tuned there no longer
  writes what it wrote, so its reports come from classifier.checkpoint.
  """
  if not meta['config']['classifier']['finetune']:
    return ReportModel.of_classifier(variables, meta)
  report = ReportModel.load(config.classifier.checkpoint)
  report.check_same(meta['classifier'], step_folder)
  return report


def _about(config, data, meta, split) -> dict:
  report = meta['classifier']['report_model']
  c = config.classifier
  return {
    'dataset': data.name,
    'variant': config.variant,
    'seed': config.seed,
    'split': split,
    'split_source': data.split_name,
    'selected_on': f'val {config.train.select_by}',
    'inputs': c.inputs,
    'task': c.task,
    'finetuned': c.finetune,
    'loss': {
      name: c[name]
      for name in (
        'ce_weight',
        'focal_weight',
        'gamma',
        'alpha',
        'class_weights',
        'balanced_sampling',
      )
    },
    'report_model': {
      'variant': report['config']['variant'],
      'seed': report['config']['seed'],
      'dataset': report['dataset'],
    },
  }


def _scores(config, data, labels, split, probability_SxC, meta, inputs) -> dict:
  """The classifier's scores, its baselines' and its calibration."""
  present, known = labels.present[split], labels.known[split]
  thresholds = meta['classifier']['thresholds']

  def score(predicted_SxC, probability_SxC=None):
    return score_classification(
      present,
      known,
      predicted_SxC,
      labels.classes,
      probability_SxC=probability_SxC,
      bootstrap=config.eval.bootstrap,
      rare=labels.rare,
      single_label=config.classifier.task == SINGLE_LABEL,
    )

  predicted_SxC = decide(
    probability_SxC, None if thresholds is None else np.array(thresholds)
  )
  scores = {
    'labels': {
      'source': labels.source,
      'classes': list(labels.classes),
      'rare': list(labels.rare),
      'rare_below': RARE,
    },
    'studies': int(known.any(axis=1).sum()),
    'unlabelled': int((~known.any(axis=1)).sum()),
    **score(predicted_SxC, probability_SxC),
  }
  for c, name in enumerate(labels.classes):
    if thresholds is not None:
      scores['per_class'][name]['threshold'] = thresholds[c]
  if config.classifier.task == SINGLE_LABEL:
    rows = known.all(axis=1)
    scores['confusion_matrix'] = confusion_matrix(
      present[rows].argmax(1), predicted_SxC[rows].argmax(1), len(present[0])
    )
    best_S = probability_SxC[rows].argmax(1)
    truth = present[rows][np.arange(len(best_S)), best_S]
    scores['calibration'] = calibration(truth, probability_SxC[rows].max(1))
  else:
    scores['calibration'] = calibration(present[known], probability_SxC[known])
  scores['baselines'] = _baselines(data, labels, split, inputs, score)
  return scores


def _baselines(data, labels: Labels, split, inputs, score) -> dict:
  """What needs no training: always No Finding, and the report read by rules."""
  nothing_SxC = np.zeros_like(labels.present[split])
  if NO_FINDING in labels.classes:
    nothing_SxC[:, labels.classes.index(NO_FINDING)] = True
  baselines = {'always_no_finding': score(nothing_SxC)}
  if inputs.model.shape.reads_report:
    texts = [data.text_of(ids) for ids in inputs.ids(split)[:, 1:]]
    baselines['report_by_rules'] = score(labels.of_texts(texts))
  return baselines


def _predictions(studies, labels, split, probability_SxC, meta) -> list[dict]:
  thresholds = meta['classifier']['thresholds']
  predicted_SxC = decide(
    probability_SxC, None if thresholds is None else np.array(thresholds)
  )
  rows = zip(
    studies,
    labels.present[split],
    labels.known[split],
    predicted_SxC,
    probability_SxC,
    strict=True,
  )
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
    for study, present, known, predicted, probability in rows
  ]


def _describe(meta, variables, parallel, step_folder: Path) -> str:
  report = meta['classifier']['report_model']
  c = report['config']
  tuned = meta['config']['classifier']['finetune']
  count = sum(x.size for x in jax.tree.leaves(variables['params']))
  return (
    f'Seed {meta["config"]["seed"]}, {count:,} trained parameters on a '
    f'{"fine-tuned" if tuned else "frozen"} report model ({c["variant"]}, seed '
    f'{c["seed"]}, {c["model"]["encoder"]} at {c["data"]["image_size"]} '
    f'pixels); checkpoint of step {step_folder.name}; '
    f'{len(parallel.devices)} {parallel.devices[0].device_kind} devices.'
  )


def _tell(test: dict, workdir: Path):
  """The score table on the terminal, 80 columns."""
  rows = {'classifier': test, **test['baselines']}
  lines = [
    f'{test["variant"]} on {test["dataset"]}, inputs {test["inputs"]}, '
    f'{test["task"]}, {test["studies"]} test studies',
    f'{"":18s}    weighted P      R     F1    F1 macro  micro  AUROC  AUPRC',
  ]
  for name, row in rows.items():
    ranked = ''.join(
      f'{"-" if row.get(key) is None else f"{row[key]:.3f}":>7s}'
      for key in ('auroc_macro', 'auprc_macro')
    )
    lines.append(
      f'{name.replace("_", " "):18s} {row["precision_weighted"]:13.3f} '
      f'{row["recall_weighted"]:6.3f} {row["f1_weighted"]:6.3f} '
      f'{row["f1_macro"] or 0:11.3f} {row["micro_f1"] or 0:6.3f}{ranked}'
    )
  lines.append(f'page: {workdir / "report.html"}')
  print('\n'.join(lines))
