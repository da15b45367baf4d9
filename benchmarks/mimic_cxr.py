"""A phantom in the layout of MIMIC-CXR-JPG, with films of its size."""

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

from input_pipeline.phantom.write import write_phantom

# Height over width, and the spread of the noise in grey levels that makes a
# JPEG of as many bytes a pixel as the hospital's.
_ASPECT, _NOISE = 1.2, 5.0
_QUALITY = 95
_SPLIT = {'train': 'train', 'val': 'validate', 'test': 'test'}
_VIEWS = {'PA': 'postero-anterior', 'LATERAL': 'lateral'}
# The first ones that the hospital's tables may have.
_FIRST_SUBJECT, _FIRST_STUDY = 10_000_000, 50_000_000
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
_SPLIT_COLUMNS = ('dicom_id', 'study_id', 'subject_id', 'split')
_DRAWN_PIXELS = 256  # before they are enlarged
_WHAT, _WHEN = 'CHEST (PA AND LAT)', ('21800506', '213014.531')


def draw_mimic_cxr(folder: Path, studies: int, width: int, jobs: int) -> Path:
  """A folder of drawn studies in MIMIC-CXR's layout, within a given one.

  Args:
    folder: that is there, and has neither phantom/ nor mimic/.
    studies: how many are drawn, 10 or more.
    width: of the films, in pixels.
    jobs: processes that draw.
  """
  write_phantom(folder / 'phantom', studies, 1, _DRAWN_PIXELS, jobs)
  write_mimic_cxr(folder / 'phantom', folder / 'mimic', width)
  return folder / 'mimic'


def write_mimic_cxr(phantom: Path | str, out: Path | str, width: int) -> None:
  """Writes a phantom's studies, from the R2Gen layout, into a new folder.

  Args:
    phantom: folder that `write_phantom` has written.
    out: folder that is not there yet.
    width: of the films, in pixels; they are enlarged, and get noise.
  """
  phantom, out = Path(phantom), Path(out)
  out.mkdir(parents=True)
  annotation = json.loads((phantom / 'annotation.json').read_text())
  metadata, splits = [_METADATA], [_SPLIT_COLUMNS]
  studies = [(s, study) for s in _SPLIT for study in annotation[s]]
  for number, (split, study) in enumerate(studies):
    subject, name = _FIRST_SUBJECT + number, _FIRST_STUDY + number
    parent = out / 'files' / f'p{subject // 10**6}' / f'p{subject}'
    (parent / f's{name}').mkdir(parents=True)
    text = f' FINAL REPORT\n FINDINGS:\n\n {study["report"]}\n'
    (parent / f's{name}.txt').write_text(text)
    for view, path in zip(_VIEWS, study['image_path'], strict=True):
      film = f'{number:08x}-{view.lower()}'
      with Image.open(phantom / 'images' / path) as picture:
        large = _enlarge(picture, width, np.random.default_rng(len(splits)))
      large.save(parent / f's{name}' / f'{film}.jpg', quality=_QUALITY)
      about = _WHAT, view, large.height, large.width, *_WHEN, _WHAT
      metadata.append((film, subject, name, *about, _VIEWS[view], 'Erect'))
      splits.append((film, name, subject, _SPLIT[split]))
  for table, rows in (('metadata', metadata), ('split', splits)):
    path = out / f'mimic-cxr-2.0.0-{table}.csv'
    with path.open('w', newline='') as file:
      csv.writer(file).writerows(rows)


def _enlarge(picture, width, rng):
  size = (width, int(_ASPECT * width))
  grey = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.float32)
  noisy = grey + rng.normal(0, _NOISE, grey.shape).astype(np.float32)
  return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
