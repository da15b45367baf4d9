"""A user's own labels: a CSV of CheXpert's classes, a row for each study."""

import collections
import pathlib

from input_pipeline.errors import quoted, quoted_list
from input_pipeline.findings.vocabulary import (
  CHEXPERT_14,
  NEGATIVE,
  POSITIVE,
  UNCERTAIN,
)
from input_pipeline.layouts.rows import read_csv
from input_pipeline.study import DataError, number_of, said

_ID, _STUDY_ID = 'id', 'study_id'
# Columns that CheXpert's and CheXbert's files carry beside the classes.
_IGNORED = ('subject_id', 'split', 'report', 'reports', 'report impression')
_STATUS_OF = {
  '': None,  # not mentioned
  '1': POSITIVE,
  '0': NEGATIVE,
  '-1': UNCERTAIN,
}


def read_label_file(path: str | pathlib.Path) -> dict[str, dict[str, str]]:
  """Status of the classes that are spoken of, by study.

  Args:
    path: a CSV with the column id (or study_id), the study's id in the data,
      and one for each class of CHEXPERT_14 that holds 1, 0, -1 (uncertain) or
      nothing, as CheXpert and CheXbert write them.

  Raises:
    DataError: no such file, other columns, other values, an id twice.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise DataError(
      f'no label file {path}: expected a CSV with the columns id and '
      f'{", ".join(CHEXPERT_14)}'
    )
  dropped = collections.Counter()
  labels, faults, key = {}, [], None
  for number, row in enumerate(read_csv(path, CHEXPERT_14, dropped), 2):
    key = key or _check_columns(path, row)
    study = row[key].strip()
    if number_of(study.removesuffix('.0')) is not None:
      study = study.removesuffix('.0')  # a number that pandas wrote
    values = {name: row[name].strip() for name in CHEXPERT_14}
    values = {k: said(v.removesuffix('.0')) for k, v in values.items()}
    strange = {k: v for k, v in values.items() if v not in _STATUS_OF}
    if strange:
      name, value = next(iter(strange.items()))
      others = f' and {len(strange) - 1} more' if len(strange) > 1 else ''
      faults.append(f'row {number} has {name} {quoted(value)}{others}')
    elif study in labels:
      faults.append(f'row {number} names {quoted(study)} again')
    else:
      statuses = {k: _STATUS_OF[v] for k, v in values.items()}
      labels[study] = {k: v for k, v in statuses.items() if v}
  faults += [f'{count} x {what}' for what, count in dropped.items()]
  if faults or not labels:
    shown = '; '.join(faults[:5]) or 'there is no row'
    more = f'; and {len(faults) - 5} more' if len(faults) > 5 else ''
    raise DataError(
      f'{path} cannot be used: {shown}{more}. Expected 1, 0, -1 or nothing for '
      'each class, and each study once.'
    )
  return labels


def _check_columns(path, row):
  """The column of the study's id."""
  ids = [name for name in (_ID, _STUDY_ID) if name in row]
  known = (*CHEXPERT_14, _ID, _STUDY_ID)
  unknown = [
    name for name in row if name not in known and name.lower() not in _IGNORED
  ]
  if unknown:
    raise DataError(
      f'{path} has {len(unknown)} unknown classes, {quoted_list(unknown)}: '
      f'expected the {len(CHEXPERT_14)} of CheXpert, {", ".join(CHEXPERT_14)}'
    )
  if not ids:
    raise DataError(
      f"{path} has no column id (or study_id): expected each study's id in the "
      'data, beside its classes'
    )
  return ids[0]
