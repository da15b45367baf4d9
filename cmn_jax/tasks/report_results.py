"""What an evaluation of a report generator gives: scores, and examples."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import jax
import numpy as np
from ml_collections import ConfigDict

from cmn_jax.pages.studies import Example, attention_of
from cmn_jax.scores import scoring
from cmn_jax.scores.baselines import retrieval_reports, template_reports
from cmn_jax.scores.meteor import MeteorJava
from cmn_jax.scores.results import References
from cmn_jax.scores.retrieval import retrieval_scores
from cmn_jax.training.distributed import is_first
from input_pipeline import batches
from input_pipeline.findings_reader import FindingsReader


def report_results(
  config: ConfigDict,
  data,
  reader: FindingsReader,
  split: str,
  texts: list[str],
  rows: dict,
  found: Sequence[set[str]] | None = None,
  features: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict:
  """Scores of the reports of a split, beside baselines and controls.

  Args:
    config: the whole one.
    data: `input_pipeline.data.Data`.
    reader: of findings.
    split: 'val' or 'test'.
    texts: a report for each of its studies.
    rows: with 'films_BxF' and 'text_BxF', unit vectors of those studies, for
      retrieval.
    found: what a classifier of the images finds in each study; with it the
      template stands among the baselines.
    features: of a frozen encoder, of the training studies and of the split's,
      (S, I, F); with them the nearest study by these does, too.
  """
  score = scoring.SplitScorer(
    data.studies[split], reader, config.eval.bootstrap
  )
  # METEOR starts Java, which is slow: only where results are read.
  read = split == 'test' and is_first()
  with MeteorJava() if read else nullcontext() as meteor:
    trivial = _baselines(config, data, reader, split, found, features)
    model = score(texts, meteor=meteor)
    baselines = {
      name: score(reports, meteor=meteor) for name, reports in trivial.items()
    }
  baselines['constant']['report'] = trivial['constant'][0]
  controls = {'shuffled_images': score.shuffled(texts, config.seed)}
  paired = {
    name: score.paired(texts, trivial[name])
    for name in ('constant', 'template')
    if name in trivial
  }
  return {
    **model,
    'references': {
      name: config.data[name] for name in References.__annotations__
    },
    **score.reference_shares,
    'baselines': baselines,
    'paired': paired,
    # A control that a single study does not allow is left out.
    'controls': {k: v for k, v in controls.items() if v is not None},
    **_retrieval(config, data, split, rows),
  }


def _baselines(config, data, reader, split, found, features):
  """Reports of systems that no training made, by name."""
  studies, train = data.studies[split], data.studies['train']
  train_reports = [study.reference for study in train]
  reports = scoring.trivial_reports(
    train,
    data.studies['val'],
    studies,
    [_thumbnails(config, data, name) for name in ('train', split)],
  )
  if features is not None:
    reports['nearest_features'] = retrieval_reports(
      features[0], train_reports, features[1]
    )
  if found is not None:
    reports['template'] = template_reports(
      reports['constant'][0],
      train_reports,
      [reader.labels_of_study(study) for study in train],
      found,
    )
  return reports


def _retrieval(config, data, split, rows) -> dict:
  """How well reports are found by their images; of models that align them."""
  if 'films_BxF' not in rows:
    return {}
  scores = retrieval_scores(
    rows['films_BxF'],
    rows['text_BxF'],
    [ids_T.tobytes() for ids_T in data.ids[split]],
  )
  aligned = bool(config.alignment.weight)
  return {
    'retrieval': {'projection': 'trained' if aligned else 'untrained', **scores}
  }


def _thumbnails(config, data, split) -> np.ndarray:
  rows = batches.eval_batches(data, split, batch_size=config.eval.batch_size)
  return scoring.thumbnails(rows, len(data.studies[split]))


def page_examples(
  data,
  reader: FindingsReader,
  look: Callable,
  count: int,
  variables: dict,
  ids_SxT: np.ndarray,
  texts: list[str],
) -> list[Example]:
  """Studies for the page: spread over test, those with findings first.

  Args:
    data: `input_pipeline.data.Data`.
    reader: of findings.
    look: (variables, batch, ids_BxT) to what each word looked at, (B, T, P).
    count: examples, at most.
    variables: the model's.
    ids_SxT: the reports of all test studies.
    texts: the same in words.
  """
  studies = data.studies['test']
  order = sorted(
    range(len(studies)),
    key=lambda n: (not reader.of_study(studies[n]), n % 7, n),
  )
  chosen = sorted(order[:count])
  if not chosen:
    return []
  images_SxIxHxW, mask_SxI = _images(data, chosen)
  batch = {
    'images_BxIxHxW': images_SxIxHxW,
    'mask_BxI': mask_SxI,
    'mask_B': np.ones(len(chosen), bool),
  }
  attention_SxTxP = np.asarray(
    jax.jit(look)(jax.device_put(variables), batch, ids_SxT[chosen])
  )
  return [
    _example(
      studies[n],
      texts[n],
      data.tokenizer.tokens(ids_SxT[n]),
      images,
      mask,
      attention,
      reader,
    )
    for n, images, mask, attention in zip(
      chosen, images_SxIxHxW, mask_SxI, attention_SxTxP, strict=True
    )
  ]


def _images(data, chosen):
  """Images (S, I, H, W) of some test studies, and which of them there are."""
  images, present = {}, {}
  for batch in batches.eval_batches(data, 'test', batch_size=16):
    for row, study in enumerate(batch['study_B']):
      if study in chosen:
        images[study] = batch['images_BxIxHxW'][row]
        present[study] = batch['mask_BxI'][row]
  return (
    np.stack([images[n] for n in chosen]),
    np.stack([present[n] for n in chosen]),
  )


def _example(
  study, text, words, images_IxHxW, mask_I, attention_TxP, reader
) -> Example:
  """One study for the page, with the images that it has."""
  return Example(
    study_id=study.id,
    images_IxHxW=images_IxHxW[mask_I],
    reference=study.reference,
    prediction=text,
    reference_findings=reader.of_study(study),
    predicted_findings=reader.of_text(text),
    words=words,
    attention_TxIxhxw=attention_of(attention_TxP, len(words), mask_I),
  )
