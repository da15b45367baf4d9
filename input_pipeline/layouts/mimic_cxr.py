"""Reader of MIMIC-CXR-JPG: three CSVs, JPEG films, and the reports' texts.

The reports (mimic-cxr-reports.zip of MIMIC-CXR) are unpacked over the same
folder: files/p10/p10000032/s50414267.txt, beside the folder of its films.
"""

import collections
import pathlib
import re

from input_pipeline.findings import CHEXPERT_14
from input_pipeline.layouts.rows import find_table, need_table, read_csv
from input_pipeline.layouts.sections import cut_sections
from input_pipeline.study import (
  Listing,
  Study,
  number_of,
  said,
  view_of,
)

LICENCE = (
  'MIMIC-CXR: PhysioNet Credentialed Health Data License. Reports and '
  'films may not be shared, nor sent to services of others.'
)
METADATA = 'mimic-cxr-2.0.0-metadata.csv'
_SPLIT = 'mimic-cxr-2.0.0-split.csv'
_CHEXPERT = 'mimic-cxr-2.0.0-chexpert.csv'
_REPORT_FOLDERS = ('.', 'mimic-cxr-reports')
_MAX_REPORT_BYTES = 1_000_000

_SPLIT_OF = {'train': 'train', 'validate': 'val', 'test': 'test'}
_STATUS_OF = {'1': 'positive', '0': 'negative', '-1': 'uncertain'}
# What says the view where ViewPosition is blank.
_MEANING = 'ViewCodeSequence_CodeMeaning'

# Of a study here, or of a film, which is what R2Gen's annotation numbers.
_ID = re.compile('s[0-9]{8}|[0-9a-f]{8}(-[0-9a-f]{8}){4}')


def is_mimic_id(name: str) -> bool:
  """Whether a study is called as those of MIMIC-CXR are."""
  return _ID.fullmatch(name) is not None


def read_mimic_cxr(folder: pathlib.Path, scratch: pathlib.Path) -> Listing:
  """A `Listing` of the studies in the order of patient and study."""
  del scratch  # nothing to unpack
  found, dropped = collections.Counter(), collections.Counter()
  labelled = find_table(folder, _CHEXPERT) is not None
  return Listing(
    name='mimic_cxr',
    label_source='chexpert' if labelled else None,
    split_name='mimic_cxr',
    licence=LICENCE,
    studies=_read_studies(folder, found, dropped),
    found=found,
    dropped=dropped,
  )


def _read_studies(folder, found, dropped):
  films_of = _read_metadata(folder, dropped)
  split_of = _read_splits(folder, dropped)
  labels_of = _read_chexpert(folder, dropped)
  found['studies'] = len(films_of)
  for subject, study in sorted(films_of):
    films = films_of.pop((subject, study))
    found['films named'] += len(films)
    if study not in split_of:
      dropped[f'study that {_SPLIT} does not name'] += 1
      continue
    name = f'files/p{subject // 1_000_000}/p{subject}/s{study}'
    text = _read_report(folder, name)
    if text is None:
      dropped['study without a report'] += 1
      continue
    found['reports'] += 1
    yield Study(
      id=f's{study}',
      split=split_of[study],
      films=tuple(str(folder / name / f'{film}.jpg') for film, _ in films),
      views=tuple(view for _, view in films),
      sections=cut_sections(text),
      labels=_labels(labels_of.get(study)),
    )


def _read_metadata(folder, dropped):
  """{(subject, study): [(film, view)]}, films in the order of the file."""
  films_of = collections.defaultdict(list)
  columns = ('dicom_id', 'subject_id', 'study_id', 'ViewPosition')
  for row in read_csv(need_table(folder, METADATA), columns, dropped):
    key = _numbers(row, ('subject_id', 'study_id'))
    film = row['dicom_id']
    if key is None or not film.replace('-', '').isalnum():
      dropped[f'row of {METADATA} with a strange id'] += 1
      continue
    view = view_of(said(row['ViewPosition']) or row.get(_MEANING))
    films_of[key].append((film, view))
  return films_of


def _read_splits(folder, dropped):
  split_of = {}
  table = need_table(folder, _SPLIT)
  for row in read_csv(table, ('study_id', 'split'), dropped):
    key = _numbers(row, ('study_id',))
    split = _SPLIT_OF.get(row['split'].strip().lower())
    if key is None or split is None:
      dropped[f'row of {_SPLIT} with a strange id or split'] += 1
      continue
    split_of[key[0]] = split
  return split_of


def _read_chexpert(folder, dropped):
  """{study: a byte for each class: index of its status, 0 for none}."""
  table = find_table(folder, _CHEXPERT)
  labels_of = {}
  if table is None:
    return labels_of
  places = {status: i for i, status in enumerate(_STATUS_OF, 1)}
  for row in read_csv(table, ('study_id', *CHEXPERT_14), dropped):
    key = _numbers(row, ('study_id',))
    if key is None:
      dropped[f'row of {_CHEXPERT} with a strange id'] += 1
      continue
    values = (row[name].removesuffix('.0') for name in CHEXPERT_14)
    labels_of[key[0]] = bytes(places.get(value, 0) for value in values)
  return labels_of


def _labels(statuses):
  if statuses is None:
    return None
  names = (None, *_STATUS_OF.values())
  return {
    name: names[i] for name, i in zip(CHEXPERT_14, statuses, strict=True) if i
  }


def _numbers(row, columns):
  values = [row[name].strip().removeprefix('s') for name in columns]
  numbers = [number_of(value.removesuffix('.0')) for value in values]
  return None if None in numbers else tuple(numbers)


def _read_report(folder, name):
  for root in _REPORT_FOLDERS:
    path = folder / root / f'{name}.txt'
    if path.is_file() and path.stat().st_size <= _MAX_REPORT_BYTES:
      return path.read_bytes().decode('utf-8', 'replace')
  return None
