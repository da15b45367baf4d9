"""What each study has: the labels that a classifier learns and is scored on."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from input_pipeline.errors import UserError, quoted_list
from input_pipeline.findings import NO_FINDING
from input_pipeline.findings_reader import (
  PHANTOM,
  RULES,
  findings_reader,
)
from input_pipeline.label_file import read_label_file
from input_pipeline.study import SPLITS, DataError, Study

if TYPE_CHECKING:  # it loads TensorFlow
  from input_pipeline.data import Data

AUTO, FILE = 'auto', 'file'
# A class that a smaller share of the training studies has is rare.
RARE = 1 / 20


@dataclasses.dataclass(frozen=True)
class Labels:
  """Classes of the studies of a data set.

  Attributes:
    source: 'phantom' (as drawn), 'rules' (read in the report by our own
      rules), 'file' (the user's), or that of the data, such as 'mesh'.
    classes: their names.
    present: by split, whether a study has a class, (S, C). Uncertain is
      absent, and so is what is not spoken of.
    known: by split, whether anybody knows, (S, C).
    order: of a single label, which class is a study's where it has several;
      empty where all are kept.
  """

  source: str
  classes: tuple[str, ...]
  present: dict[str, np.ndarray]
  known: dict[str, np.ndarray]
  order: tuple[int, ...] = ()

  @property
  def rare(self) -> tuple[str, ...]:
    """Findings that fewer than RARE of the labelled training studies have."""
    known_SxC = self.known['train']
    positives_C = (self.present['train'] & known_SxC).sum(axis=0)
    rare_C = positives_C < RARE * known_SxC.sum(axis=0)
    return tuple(
      name
      for name, rare in zip(self.classes, rare_C, strict=True)
      if rare and name != NO_FINDING
    )

  def digest(self, split: str, studies: Sequence[Study]) -> str:
    """12 hex digits of what these studies of a split have, in any order."""
    rows = zip(studies, self.present[split], self.known[split], strict=True)
    lines = sorted(
      f'{study.id} {(2 * known + present).tolist()}'
      for study, present, known in rows
    )
    return hashlib.sha256('\n'.join(lines).encode()).hexdigest()[:12]

  def of_texts(self, texts: list[str]) -> np.ndarray:
    """Which of the classes reports state, read by rules, (S, C)."""
    reader = findings_reader(self.source)
    stated = [reader.classes_of_text(text) for text in texts]
    present_SxC = np.array(
      [[name in names for name in self.classes] for names in stated]
    )
    return self._first(present_SxC) if self.order else present_SxC

  def single(self) -> 'Labels':
    """Each study's primary finding alone: a row has one class or is unknown.

    Primary is what is rarest in the training split, as the common ones say
    least. A study that has no class, nor No Finding, is unknown.
    """
    train = self.present['train'] & self.known['train']
    order = np.argsort(train.sum(axis=0), kind='stable')
    labels = dataclasses.replace(self, order=tuple(order.tolist()))
    labels = dataclasses.replace(
      labels,
      present={
        split: labels._first(present_SxC & self.known[split])
        for split, present_SxC in self.present.items()
      },
    )
    return dataclasses.replace(
      labels,
      known={
        split: known_SxC
        & known_SxC.all(axis=1, keepdims=True)
        & self.present[split].any(axis=1, keepdims=True)
        for split, known_SxC in self.known.items()
      },
    )

  def _first(self, present_SxC):
    """The first class in `order` of each study, else No Finding."""
    ranked = present_SxC[:, list(self.order)]
    first_SxC = np.zeros_like(present_SxC)
    chosen_S = np.array(self.order)[ranked.argmax(axis=1)]
    first_SxC[np.arange(len(chosen_S)), chosen_S] = ranked.any(axis=1)
    if NO_FINDING in self.classes:
      first_SxC[:, self.classes.index(NO_FINDING)] |= ~ranked.any(axis=1)
    return first_SxC


def read_labels(
  data: 'Data', source: str, leave_out: tuple[str, ...], skip_bad: bool
) -> Labels:
  """The labels of a data set.

  Args:
    data: whose studies are labelled.
    source: 'auto' (as drawn on a phantom, else 'rules'), 'rules', the data's
      own (`data.label_source`), or the path of a .csv file, see
      `read_label_file`.
    leave_out: classes that are not wanted.
    skip_bad: continue where a file and the data name different studies.

  Raises:
    UserError: no such source or class, a class that no training study has, a
      file that does not fit the data.
  """
  if source == AUTO:
    source = findings_reader(data.label_source).source
  if source.endswith('.csv'):
    statuses, source = _of_file(data, source, skip_bad), FILE
  elif source in (RULES, PHANTOM) and source in (RULES, data.label_source):
    statuses = _of_reader(data, findings_reader(source))
  elif source == data.label_source:
    statuses = {
      split: [study.labels for study in data.studies[split]] for split in SPLITS
    }
  else:
    own = f', {data.label_source!r}' if data.label_source else ''
    raise UserError(
      f"classifier.labels is {source!r}; choose from 'auto', 'rules'{own} for "
      f'the data at hand, or the path of a .csv'
    )
  classes = tuple(dict.fromkeys((*findings_reader(source).classes, NO_FINDING)))
  strange = [name for name in leave_out if name not in classes]
  if strange:
    raise UserError(
      f'classifier.leave_out names {", ".join(strange)}, no classes of source '
      f'{source!r}: choose from {", ".join(classes)}'
    )
  classes = tuple(name for name in classes if name not in leave_out)
  present, known = {}, {}
  for split, rows in statuses.items():
    present[split] = np.array(
      [[(row or {}).get(c) == 'positive' for c in classes] for row in rows],
      bool,
    ).reshape(len(rows), len(classes))
    there = np.array([row is not None for row in rows], bool)
    known[split] = np.repeat(there[:, None], len(classes), axis=1)
  labels = Labels(source, classes, present, known)
  _check(labels)
  return labels


def fold_of(studies: Sequence[Study], folds: int) -> np.ndarray:
  """Which of so many parts each study is in, (S,), by its id alone."""
  digests = (hashlib.sha256(study.id.encode()).digest() for study in studies)
  return np.array([int.from_bytes(d[:8], 'big') % folds for d in digests], int)


def _of_reader(data, reader):
  """{split: [{class: 'positive'}]} of what was drawn or is read in reports."""
  return {
    split: [
      dict.fromkeys(reader.classes_of_study(study), 'positive')
      for study in data.studies[split]
    ]
    for split in SPLITS
  }


def _of_file(data, path, skip_bad):
  """{split: [{class: status} or None]} of a file."""
  labels = read_label_file(path)
  ids = {study.id for split in SPLITS for study in data.studies[split]}
  # MIMIC's own tables name the study s50000000 by its number alone.
  labels = (
    {k if k in ids else f's{k}': v for k, v in labels.items()}
    if (any(f's{k}' in ids for k in labels))
    else labels
  )
  faults = []
  for names, where in (
    (labels.keys() - ids, 'of the file are not among the studies'),
    (ids - labels.keys(), 'are without a row'),
  ):
    if names:
      faults.append(f'{len(names)} {where} ({quoted_list(sorted(names))})')
  if faults and (not skip_bad or not labels.keys() & ids):
    raise DataError(
      f'{path} labels {len(labels)} studies, the data have {len(ids)}: '
      f'{"; ".join(faults)}. Repair the file, or use what both have: '
      '--config.data.skip_bad=True.'
    )
  return {
    split: [labels.get(study.id) for study in data.studies[split]]
    for split in SPLITS
  }


def _check(labels: Labels):
  """Raises UserError where there is nothing to learn or to score."""
  for split in SPLITS:
    if not labels.known[split].any():
      raise UserError(
        f'no {split} study has labels of source {labels.source!r}'
      )
  positives = (labels.present['train'] & labels.known['train']).sum(axis=0)
  none = [
    name
    for name, count in zip(labels.classes, positives, strict=True)
    if not count
  ]
  if none:
    studies = int(labels.known['train'].any(axis=1).sum())
    raise UserError(
      f'{", ".join(none)}: no positive among the {studies} training studies '
      f'with labels of source {labels.source!r}; leave out what cannot be '
      f"learnt, --config.classifier.leave_out='{','.join(none)}'"
    )
