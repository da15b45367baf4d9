"""A phantom in the layout of MIMIC-CXR-JPG, with films of its size."""

import csv
import json
import pathlib

import numpy as np
from PIL import Image

# Height over width, and the spread of the noise in grey levels that makes a
# JPEG of as many bytes a pixel as the hospital's.
_ASPECT, _NOISE = 1.2, 5.0
_QUALITY = 95
_FIRST_SUBJECT, _FIRST_STUDY = 10_000_000, 50_000_000
_SPLIT = {'train': 'train', 'val': 'validate', 'test': 'test'}
_VIEWS = ('PA', 'LATERAL')


def write_mimic_cxr(phantom, out, width):
  """Writes the studies of a phantom in the R2Gen layout into a new folder.

  Args:
    phantom: folder that `write_phantom` has written.
    out: folder that is not there yet.
    width: of the films, in pixels; they are enlarged, and get noise.
  """
  phantom, out = pathlib.Path(phantom), pathlib.Path(out)
  out.mkdir(parents=True)
  annotation = json.loads((phantom / 'annotation.json').read_text())
  rows = []
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
        large = _enlarge(picture, width, np.random.default_rng(len(rows)))
      large.save(parent / f's{name}' / f'{film}.jpg', quality=_QUALITY)
      rows.append((film, subject, name, _SPLIT[split], view))
  columns = ('dicom_id', 'subject_id', 'study_id')
  for table, column, place in (
    ('split', 'split', 3),
    ('metadata', 'ViewPosition', 4),
  ):
    with (out / f'mimic-cxr-2.0.0-{table}.csv').open('w', newline='') as file:
      csv.writer(file).writerows(
        [(*columns, column), *((*row[:3], row[place]) for row in rows)]
      )


def _enlarge(picture, width, rng):
  size = (width, int(_ASPECT * width))
  grey = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.float32)
  noisy = grey + rng.normal(0, _NOISE, grey.shape).astype(np.float32)
  return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
