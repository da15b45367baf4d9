"""MIMIC-CXR-JPG, and what its large CSVs cost."""

import gzip
import tracemalloc

import pytest

from input_pipeline.layouts import detect as layouts
from input_pipeline.study import DataError
from tests.made import small_layouts
from tests.made.selecting import dropped, kept, scan, select
from tests.made.small_layouts import MIMIC


def test_mimic(tmp_path):
  odd = (*MIMIC, (19_000_000, 59_999_999, [('f-0', 'AP')], 'train', None))
  small_layouts.write_mimic(tmp_path / 'mimic', odd)
  small_layouts.write_csv(
    tmp_path / 'mimic' / 'mimic-cxr-2.0.0-chexpert.csv',
    ('subject_id', 'study_id', *layouts.mimic_cxr.CHEXPERT_14),
    [[10_000_032, 50_000_000, *['1.0', '', '0.0', '-1.0'], *[''] * 10]],
  )
  dataset = scan(tmp_path / 'mimic', view_rule='frontal_lateral')
  assert (dataset.layout, dataset.split_name) == ('MIMIC-CXR-JPG', 'mimic_cxr')
  assert {s: len(v) for s, v in dataset.studies.items()} == {
    'train': 3, 'val': 3, 'test': 3,
  }  # fmt: skip
  study = dataset.studies['train'][0]
  assert study.id == 's50000000'
  assert study.report == 'The lungs are clear in 0.'
  assert study.sections['impression'] == 'Nothing acute.'
  assert study.views == ('frontal', 'lateral')
  classes = layouts.mimic_cxr.CHEXPERT_14
  assert study.labels == {
    classes[0]: 'positive', classes[2]: 'negative', classes[3]: 'uncertain',
  }  # fmt: skip
  assert dataset.studies['val'][0].labels is None
  assert dropped(dataset) == {'study without a report': 1}


def test_csvs_of_a_million_rows_need_no_gigabytes(tmp_path):
  """A 50th of that in rows, with long ones: only what is used may be kept."""
  films, header = 20_000, ('dicom_id', 'subject_id', 'study_id')
  folder = tmp_path / 'mimic'
  small_layouts.write_mimic(folder, MIMIC)
  select(folder)  # what the first use of anything loads is not the rows'
  rows = [
    (f'{n:08x}-aaaaaaaa-bbbbbbbb-cccccccc-dddddddd', 15_000_000, 58_000_000 + n)
    for n in range(films)
  ]
  for name, column, value in (
    ('metadata', 'ViewPosition', 'PA'),
    ('split', 'split', 'train'),
  ):
    path = folder / f'mimic-cxr-2.0.0-{name}.csv'
    path.unlink()
    small_layouts.write_csv(
      path,
      (*header, column, 'Comment'),
      [(*row, value, 'x' * 1000) for row in rows],
    )
  size = sum(path.stat().st_size for path in folder.glob('*.csv'))
  tracemalloc.start()
  dataset = select(folder)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert dataset.found['studies'] == films
  assert size > 40e6
  assert peak < 2e9 / 50


def test_compressed_csvs_and_half_of_one(tmp_path):
  folder = tmp_path / 'mimic'
  small_layouts.write_mimic(folder)
  path = folder / 'mimic-cxr-2.0.0-metadata.csv'
  whole = gzip.compress(path.read_bytes())
  path.unlink()
  zipped = path.with_name(path.name + '.gz')
  zipped.write_bytes(whole)
  assert len(kept(scan(folder))) == 9
  zipped.write_bytes(whole[: len(whole) // 2])
  with pytest.raises(DataError, match=r'metadata.csv.gz is damaged'):
    scan(folder)
