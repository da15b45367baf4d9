"""How much memory reading MIMIC-CXR-JPG's tables takes, on made-up ones.

  python -m benchmarks.reading_memory --rows 1000000 --reports 227835

Writes tables with the true columns into a temporary folder, and so many
reports, and reads them as `prepare` does, without films. The peak is that of
the process that only reads.
"""

import argparse
import multiprocessing
import os
import pathlib
import sys
import tempfile
import time

from benchmarks.mimic_cxr_tables import (
  FIRST_STUDY,
  FIRST_SUBJECT,
  patient_folder,
  write_film_tables,
  write_label_table,
)
from benchmarks.resident_memory import peak_bytes
from input_pipeline.config import DataConfig
from input_pipeline.layouts import detect

_STUDIES_OF_A_SUBJECT = 3
# MIMIC-CXR-JPG has 377,110 films of 227,835 studies.
_ROWS_OF_A_STUDY = 377_110 / 227_835
_LINKS = 30_000  # names of one file: file systems have a limit
_SPLITS = ('train', 'validate', 'test')
_PIXELS = 3056, 2544
_REPORT = f"""\
 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  Cough for two weeks.

 FINDINGS:

 {' '.join(['The lungs are clear, the heart is of normal size.'] * 12)}

 IMPRESSION:

 {' '.join(['Nothing acute in the chest.'] * 6)}
"""


def write_tables(folder, rows, reports):
  """Tables of `rows` films, and the texts of the first `reports` studies."""
  studies = int(rows / _ROWS_OF_A_STUDY)
  numbers = [
    (FIRST_SUBJECT + n // _STUDIES_OF_A_SUBJECT, FIRST_STUDY + n)
    for n in range(studies)
  ]

  def films():
    for row in range(rows):
      film = '-'.join(f'{row * k % 2**32:08x}' for k in (1, 3, 5, 7, 11))
      subject, study = numbers[row % studies]
      yield film, subject, study, _SPLITS[study % 3], 'PA', *_PIXELS

  write_film_tables(folder, films())
  write_label_table(folder, numbers, ['1.0', '', '0.0', '-1.0', *[''] * 10])
  for n, (subject, study) in enumerate(numbers[:reports]):
    parent = patient_folder(folder, subject)
    parent.mkdir(parents=True, exist_ok=True)
    path = parent / f's{study}.txt'
    if n % _LINKS == 0:
      path.write_text(_REPORT)
      text = path
    else:
      path.hardlink_to(text)


def read_tables(folder):
  """What was found, studies kept, seconds, and the peak in bytes."""
  config = DataConfig(str(folder), views=1, view_rule='frontal', min_films=1)
  begin = time.perf_counter()
  dataset = detect.select(config, folder)
  seconds = time.perf_counter() - begin
  kept = sum(len(studies) for studies in dataset.studies.values())
  return dataset.found, kept, seconds, peak_bytes()


def _parse(argv):
  parser = argparse.ArgumentParser(
    prog='python -m benchmarks.reading_memory',
    description=__doc__.split('\n')[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )
  add = parser.add_argument
  add('--rows', type=int, default=1_000_000, help='films in the tables')
  add('--reports', type=int, default=0, help='studies that have a text')
  return parser.parse_args(argv)


def main(argv=None):
  """Reads the command line; prints what was read, and the peak."""
  args = _parse(argv)
  if args.rows < 2:
    sys.exit(f'error: --rows is {args.rows}; expected 2 or more.')
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    write_tables(folder, args.rows, args.reports)
    size = sum(os.path.getsize(path) for path in folder.glob('*.csv'))
    # A new process: what writing took is not counted.
    with multiprocessing.get_context('spawn').Pool(1) as pool:
      found, kept, seconds, peak = pool.apply(read_tables, (folder,))
  print(
    f'{args.rows:,} rows, {found["studies"]:,} studies, {kept:,} kept with '
    f'their texts; tables of {size / 1e6:,.0f} MB read in {seconds:.0f} s, '
    f'peak {peak / 1e6:,.0f} MB.'
  )


if __name__ == '__main__':
  main()
