"""MIMIC-CXR-JPG's tables with made-up rows, in the true columns."""

import csv

from input_pipeline.findings import CHEXPERT_14

# The first ones that the hospital's tables may have.
FIRST_SUBJECT, FIRST_STUDY = 10_000_000, 50_000_000
_VIEWS = {'PA': 'postero-anterior', 'LATERAL': 'lateral'}
_METADATA = (
  'dicom_id',
  'subject_id',
  'study_id',
  'PerformedProcedureStepDescription',
  'ViewPosition',
  'Rows',
  'Columns',
  'StudyDate',
  'StudyTime',
  'ProcedureCodeSequence_CodeMeaning',
  'ViewCodeSequence_CodeMeaning',
  'PatientOrientationCodeSequence_CodeMeaning',
)
_SPLIT = ('dicom_id', 'study_id', 'subject_id', 'split')
_WHAT, _WHEN = 'CHEST (PA AND LAT)', ('21800506', '213014.531')


def write_film_tables(folder, films):
  """The tables of metadata and splits, written as the films come.

  Args:
    folder: which is there.
    films: an iterable of (dicom_id, subject, study, split, view, rows, columns)
      with the split in MIMIC-CXR's words, the view 'PA' or 'LATERAL', and the
      film's size in pixels.
  """
  with (
    _path(folder, 'metadata').open('w', newline='') as metadata,
    _path(folder, 'split').open('w', newline='') as splits,
  ):
    write, write_split = csv.writer(metadata), csv.writer(splits)
    write.writerow(_METADATA)
    write_split.writerow(_SPLIT)
    for film, subject, study, split, view, *size in films:
      about = _WHAT, view, *size, *_WHEN, _WHAT, _VIEWS[view], 'Erect'
      write.writerow((film, subject, study, *about))
      write_split.writerow((film, study, subject, split))


def write_label_table(folder, studies, statuses):
  """CheXpert's table; (subject, study) of all, with the same 14 statuses."""
  with _path(folder, 'chexpert').open('w', newline='') as file:
    write = csv.writer(file)
    write.writerow(('subject_id', 'study_id', *CHEXPERT_14))
    write.writerows((*study, *statuses) for study in studies)


def patient_folder(folder, subject):
  """Where the reports of a subject are, and the folders of the films."""
  return folder / 'files' / f'p{subject // 10**6}' / f'p{subject}'


def _path(folder, table):
  return folder / f'mimic-cxr-2.0.0-{table}.csv'
