"""Evaluation: the best checkpoint on val and test, with its baselines."""

from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from cmn_jax import experiment
from cmn_jax.dataset import open_dataset
from cmn_jax.decoding.generate import attention_of_words
from cmn_jax.models.films import normalise_films
from cmn_jax.pages.page import write_page
from cmn_jax.pages.report import report_sections
from cmn_jax.pages.studies import Example
from cmn_jax.scores import scoring
from cmn_jax.scores.retrieval import Aligner
from cmn_jax.tasks.writing import ReportWriter, Written
from cmn_jax.training import distributed
from cmn_jax.training.checkpoints import (
  CheckpointError,
  check_same_shapes,
  find_step,
  load_model,
)
from cmn_jax.training.parallel import AXIS, Parallel
from cmn_jax.training.state import variable_shapes
from input_pipeline import batches as pipeline
from input_pipeline.atomic_write import write_json
from input_pipeline.findings_reader import findings_reader
from input_pipeline.tokenizers import tokenizer_from_json

SPLITS = ('val', 'test')


def evaluate(config: ConfigDict, workdir: str) -> dict | None:
  """Writes evaluation/{val,test}.json, predictions and report.html.

  The checkpoint is the best by validation; the test split is read here only.
  Several processes write the reports together; the first one scores them.

  Returns:
    The content of evaluation/test.json; None where another process has it.
  """
  workdir = Path(workdir)
  step_folder = find_step(workdir)
  variables, meta = load_model(step_folder)
  parallel = Parallel(config.train.parallel)
  parallel.check_batch_size(config.eval.batch_size, 'eval.batch_size')
  data = open_dataset(config)
  if meta['tokenizer'] != data.tokenizer.to_json():
    raise CheckpointError(
      f'{step_folder} knows '
      f'{tokenizer_from_json(meta["tokenizer"]).vocab_size} words, the '
      f'training reports of {config.data.dir} give '
      f'{data.tokenizer.vocab_size}, not the same ones: evaluate on the data '
      'it was trained on'
    )
  model = experiment.make_model(
    config,
    data.tokenizer.vocab_size + 1,
    AXIS,
    len(meta['finding_targets']),
  )
  expected = variable_shapes(model, config.data.views, config.data.image_size)
  check_same_shapes(variables, expected, str(step_folder))
  placed = parallel.replicate(variables)
  writer = ReportWriter(model, experiment.make_decoding(config), parallel)

  out = workdir / 'evaluation'
  if distributed.is_first():
    out.mkdir(parents=True, exist_ok=True)
  reader = findings_reader(meta['label_source'])
  align = Aligner(
    model,
    placed,
    experiment.make_alignment(config),
    config.seed,
    parallel,
  )
  results = {}
  for split in SPLITS:
    studies = data.studies[split]
    distributed.tell(f'writing and scoring {len(studies)} {split} reports')
    written = writer.write(placed, _rows(config, data, split), len(studies))
    retrieval = align(
      _rows(config, data, split), [tuple(study.ids) for study in studies]
    )
    if not distributed.is_first():
      continue
    texts = [data.text_of(ids) for ids in written.ids_SxT]
    results[split] = _score(config, data, reader, split, texts, written, meta)
    results[split]['retrieval'] = retrieval
    write_json(out / f'{split}.json', results[split])
    write_json(
      out / f'{split}_predictions.json',
      _predictions(data.studies[split], texts, reader),
    )
  if not distributed.is_first():
    return None
  examples = _examples(config, data, reader, model, variables, written, texts)
  write_page(
    workdir / 'report.html',
    f'{config.variant} on {data.name}',
    _describe(config, data, variables, parallel, step_folder),
    report_sections(results['test'], meta['history'], examples),
  )
  _tell(results['test'], workdir)
  return results['test']


def _rows(config, data, split):
  """Batches of a split: this process's rows."""
  return pipeline.eval_batches(
    data, split, batch_size=config.eval.batch_size, **distributed.part()
  )


def _score(config, data, reader, split, texts, written: Written, meta) -> dict:
  """The content of evaluation/<split>.json."""
  studies = data.studies[split]
  score = scoring.SplitScorer(studies, reader, config.eval.bootstrap)
  trivial = scoring.trivial_reports(
    data.studies['train'],
    data.studies['val'],
    studies,
    [_thumbnails(config, data, name) for name in ('train', split)],
  )
  # METEOR starts Java for each system: only where results are read.
  meteor = split == 'test'
  baselines = {
    name: score(reports, meteor=meteor) for name, reports in trivial.items()
  }
  shuffled = score.shuffled(texts, config.seed)
  baselines['constant']['report'] = trivial['constant'][0]
  return {
    'dataset': data.name,
    'variant': config.variant,
    'seed': config.seed,
    'split': split,
    'split_source': data.split_name,
    'selected_on': f'val {config.train.select_by}',
    **score(texts, meteor=meteor),
    'reference_abnormal_share': score.reference_abnormal_share,
    'baselines': baselines,
    'controls': {} if shuffled is None else {'shuffled_images': shuffled},
    'left_out': data.problems,
    'seconds': written.seconds,
    'reports_per_second': written.reports_per_second,
    'versions': meta['versions'],
  }


def _thumbnails(config, data, split) -> np.ndarray:
  batches = pipeline.eval_batches(
    data, split, batch_size=config.eval.batch_size
  )
  return scoring.thumbnails(batches, len(data.studies[split]))


def _predictions(studies, texts, reader) -> list[dict]:
  return [
    {
      'id': study.id,
      'reference': study.reference,
      'prediction': text,
      'reference_findings': sorted(reader.labels_of_study(study)),
      'predicted_findings': sorted(reader.labels_of_text(text)),
    }
    for study, text in zip(studies, texts, strict=True)
  ]


def _examples(config, data, reader, model, variables, written, texts):
  """Studies for the page: spread over test, those with findings first."""
  studies = data.studies['test']
  order = sorted(
    range(len(studies)),
    key=lambda n: (not reader.of_study(studies[n]), n % 7, n),
  )
  chosen = sorted(order[: config.eval.examples])
  films, present = {}, {}
  for batch in pipeline.eval_batches(
    data, 'test', batch_size=config.eval.batch_size
  ):
    for row, study in enumerate(batch['study_B']):
      if study in chosen:
        films[study] = batch['images_BxIxHxW'][row]
        present[study] = batch['mask_BxI'][row]
  if not chosen:
    return []
  films_SxIxHxW = np.stack([films[n] for n in chosen])
  mask_SxI = np.stack([present[n] for n in chosen])
  look = attention_of_words(model.clone(axis_name=None))
  attention_SxTxP = np.asarray(
    look(
      jax.device_put(variables),
      normalise_films(films_SxIxHxW),
      written.ids_SxT[chosen],
      mask_SxI,
    )
  )
  return [
    _example(
      studies[n],
      texts[n],
      data.tokenizer.tokens(written.ids_SxT[n]),
      films,
      mask,
      attention,
      reader,
    )
    for n, films, mask, attention in zip(
      chosen, films_SxIxHxW, mask_SxI, attention_SxTxP, strict=True
    )
  ]


def _example(
  study, text, words, films_IxHxW, mask_I, attention_TxP, reader
) -> Example:
  """One study for the page, with the films that it has."""
  views = films_IxHxW.shape[0]
  side = round((attention_TxP.shape[1] / views) ** 0.5)
  return Example(
    study_id=study.id,
    images_IxHxW=films_IxHxW[mask_I],
    reference=study.reference,
    prediction=text,
    reference_findings=reader.of_study(study),
    predicted_findings=reader.of_text(text),
    words=words,
    attention_TxIxhxw=attention_TxP[: len(words)].reshape(
      -1, views, side, side
    )[:, mask_I],
  )


def _describe(config, data, variables, parallel, step_folder: Path) -> str:
  count = sum(x.size for x in jax.tree.leaves(variables['params']))
  return (
    f'Variant {config.variant}, seed {config.seed}, {count:,} parameters, '
    f'{config.model.encoder} at {config.data.image_size} pixels, trained on '
    f'{len(data.studies["train"])} studies of {data.name}; checkpoint of step '
    f'{step_folder.name}; {len(parallel.devices)} '
    f'{parallel.devices[0].device_kind} devices.'
  )


def _tell(test: dict, workdir: Path):
  """The score table on the terminal, 80 columns."""
  rows = {
    'model': test,
    'constant report': test['baselines']['constant'],
    'nearest study': test['baselines']['retrieval'],
  }
  if 'shuffled_images' in test['controls']:
    rows['shuffled films'] = test['controls']['shuffled_images']
  lines = [
    f'{test["variant"]} on {test["dataset"]}, test split, {test["studies"]} '
    'studies',
    f'{"":16s} BLEU-1 BLEU-4 ROUGE-L CIDEr  METEOR  F1 micro  macro  distinct',
  ]
  for name, row in rows.items():
    meteor = row.get('meteor')
    lines.append(
      f'{name:16s} {row["bleu_1"]:6.3f} {row["bleu_4"]:6.3f} '
      f'{row["rouge_l"]:7.3f} {row["cider"]:5.2f} '
      f'{"   -  " if meteor is None else f"{meteor:7.3f}"} '
      f'{row["findings"]["micro_f1"]:9.3f} {row["findings"]["macro_f1"]:6.3f} '
      f'{row["distinct_reports"]:9d}'
    )
  lines.append(_retrieval_line(test['retrieval']))
  lines.append(f'page: {workdir / "report.html"}')
  print('\n'.join(lines))


def _retrieval_line(retrieval: dict) -> str:
  films, reports, chance = (
    retrieval[way]['recall_5']
    for way in ('image_to_report', 'report_to_image', 'chance')
  )
  return (
    f'recall@5 of reports by films {films:.3f}, of films by reports '
    f'{reports:.3f}, chance {chance:.3f}'
  )
