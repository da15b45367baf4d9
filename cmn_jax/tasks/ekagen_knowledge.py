"""EKAGen's knowledge base of a data set, as a folder of its own."""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from cmn_jax.interop.folders import check_free, write_folder
from cmn_jax.loaded import Loaded
from cmn_jax.models.ekagen import Captioner
from cmn_jax.models.ekagen_names import MEMBERS, STATED
from cmn_jax.models.knowledge import (
  CLASSES,
  FLAT,
  KnowledgeBase,
  build_knowledge,
)
from cmn_jax.tasks.diagnosis import FilmReader, film_labels
from cmn_jax.tasks.ekagen_checks import KNOWLEDGE, fingerprint
from cmn_jax.tasks.ekagen_inputs import stated_labels
from cmn_jax.tasks.ekagen_parts import (
  DIAGNOSIS,
  KNOWLEDGE_TASK,
  TRAIN_IDS,
  TRAIN_LABELS,
  captioner_shape,
  id_rows,
)
from cmn_jax.training.checkpoints import META_FORMAT
from cmn_jax.training.distributed import log
from input_pipeline.errors import UserError, check_choice
from input_pipeline.findings import NO_FINDING
from input_pipeline.findings_reader import findings_reader


def make_knowledge(
  captioner: Loaded,
  diagnosis: Loaded,
  config: ConfigDict,
  data,
  out: Path | str,
  form: str = CLASSES,
  distance: str = FLAT,
  folds: Sequence[Loaded] = (),
  members: str = STATED,
) -> list[str]:
  """Writes a folder of knowledge: the table and the classifier behind it.

  It is looked up by the classifier's labels, in training too: a study's own
  would tell the answer.

  Args:
    captioner: whose embedding it is, see `ekagen_parts.load_captioner`.
    diagnosis: the classifier.
    config: the captioner's, of the data at hand.
    data: `input_pipeline.data.Data`.
    out: folder to be made.
    form: see `build_knowledge`, as for the distance.
    distance: between embedded reports.
    folds: classifiers that have not seen a part of the training studies each,
      see `film_labels`.
    members: reports that may speak for a class, 'stated' or 'predicted': those
      that state it, or those of whose films the classifier says it. A weak
      classifier names films whose reports have nothing to say of its classes.

  Returns:
    A line for each row: its class, its reports, and the one that was chosen.

  Raises:
    UserError: something does not fit; nothing is written.
  """
  check_free(out)
  captioner.check_reads(data)
  classes = classes_of(diagnosis)
  labels_SxG = film_labels(diagnosis, config, data, 'train', folds)
  ids_SxT = data.ids['train'][:, :-1]
  try:
    base = build_knowledge(
      _embedding(captioner),
      ids_SxT,
      _members(members, labels_SxG, data, classes),
      classes.index(NO_FINDING),
      form,
      distance,
    )
  except ValueError as error:
    raise UserError(str(error)) from error
  for n in base.borrowed:
    log(
      f'WARNING: {classes[n]} is {members} of no training study: its knowledge '
      f'is that of {NO_FINDING}'
    )
  studies = data.studies['train']
  meta = {
    'distance': distance,
    'members': members,
    'reports': [studies[n].id for n in base.report_Y],
    'split_digest': data.split_digest['train'],
    'folds': len(folds),
    'fold_fingerprints': [fingerprint(fold) for fold in folds],
    'captioner': {
      'origin': captioner.origin,
      'fingerprint': fingerprint(captioner),
    },
  }
  write_knowledge(
    out,
    base,
    diagnosis,
    {**meta, 'dataset': data.name, 'tokenizer': data.tokenizer.to_json()},
    labels_SxG,
    [study.id for study in studies],
  )
  return [
    f'{_name_of(key_G, classes):28s} {support:6d} reports, {studies[n].id}'
    for key_G, support, n in zip(
      base.keys_YxG, base.support_Y, base.report_Y, strict=True
    )
  ]


def write_knowledge(
  out: Path | str,
  base: KnowledgeBase,
  diagnosis: Loaded,
  about: dict,
  train_labels_SxG: np.ndarray | None = None,
  train_ids: Sequence[str] = (),
) -> None:
  """Writes the folder.

  Args:
    out: to be made.
    base: the table.
    diagnosis: the classifier whose labels it is looked up by.
    about: what it was made from: dataset, tokenizer, split_digest (None where
      nobody knows), and captioner with origin and fingerprint.
    train_labels_SxG: what was said of the training studies; None to ask the
      classifier again.
    train_ids: whose labels these are, where they are given.
  """
  table = {'table': np.float32(base.table_YxTxD), 'keys': base.keys_YxG}
  params = {KNOWLEDGE: table, DIAGNOSIS: diagnosis.variables['params']}
  if train_labels_SxG is not None:
    params[TRAIN_LABELS] = np.asarray(train_labels_SxG).astype(np.int8)
    params[TRAIN_IDS] = id_rows(train_ids)
  variables = {'params': params, 'batch_stats': {}}
  if diagnosis.variables.get('batch_stats'):
    variables['batch_stats'][DIAGNOSIS] = diagnosis.variables['batch_stats']
  write_folder(out, variables, knowledge_meta(base, diagnosis, about))


def knowledge_meta(base: KnowledgeBase, diagnosis: Loaded, about: dict) -> dict:
  """The meta of a folder of knowledge; arguments as for `write_knowledge`."""
  return {
    'format': META_FORMAT,
    'task': KNOWLEDGE_TASK,
    'classes': list(FilmReader.of(diagnosis.meta).classes),
    'no_finding': int(base.no_finding),
    'form': base.form,
    'support': [int(n) for n in base.support_Y],
    'borrowed': [int(n) for n in base.borrowed],
    'diagnosis': {
      'origin': diagnosis.origin,
      'fingerprint': fingerprint(diagnosis),
      'meta': diagnosis.meta,
    },
    **about,
  }


def classes_of(diagnosis: Loaded) -> list[str]:
  """A classifier's classes, among which No Finding must be.

  Raises:
    UserError: it is not.
  """
  classes = list(FilmReader.of(diagnosis.meta, diagnosis.origin).classes)
  if NO_FINDING not in classes:
    raise UserError(
      f'{diagnosis.origin} does not know {NO_FINDING!r}, which speaks for '
      'studies without any class: train it without leaving that out'
    )
  return classes


def _members(which: str, labels_SxG: np.ndarray, data, classes: list[str]):
  """Whose report may speak for which class, (S, G) bool."""
  check_choice('members', which, MEMBERS)
  if which == STATED:
    reader = findings_reader(data.label_source)
    return stated_labels(data.studies['train'], reader, classes)
  return labels_SxG


def _embedding(captioner: Loaded):
  """ids (B, T) to embedded reports (B, T, D)."""
  network = Captioner(captioner_shape(captioner.meta))
  variables = jax.device_put({'params': captioner.variables['params']})
  embed = jax.jit(lambda v, ids: network.apply(v, ids, method='embed'))
  return lambda ids_BxT: embed(variables, ids_BxT)


def _name_of(key_G: np.ndarray, classes: list[str]) -> str:
  return ', '.join(classes[n] for n in np.flatnonzero(key_G)) or 'none'
