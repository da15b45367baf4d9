"""A phantom in the layout of MIMIC-CXR-JPG, with films of its size."""

import json
import pathlib

import numpy as np
from PIL import Image

from benchmarks.mimic_cxr_tables import (
  FIRST_STUDY,
  FIRST_SUBJECT,
  patient_folder,
  write_film_tables,
)

# Height over width, and the spread of the noise in grey levels that makes a
# JPEG of as many bytes a pixel as the hospital's.
_ASPECT, _NOISE = 1.2, 5.0
_QUALITY = 95
_SPLIT = {'train': 'train', 'val': 'validate', 'test': 'test'}
_VIEWS = ('PA', 'LATERAL')


def write_mimic_cxr(phantom, out, width):
  """Writes a phantom's studies, from the R2Gen layout, into a new folder.

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
    subject, name = FIRST_SUBJECT + number, FIRST_STUDY + number
    parent = patient_folder(out, subject)
    (parent / f's{name}').mkdir(parents=True)
    text = f' FINAL REPORT\n FINDINGS:\n\n {study["report"]}\n'
    (parent / f's{name}.txt').write_text(text)
    for view, path in zip(_VIEWS, study['image_path'], strict=True):
      film = f'{number:08x}-{view.lower()}'
      with Image.open(phantom / 'images' / path) as picture:
        large = _enlarge(picture, width, np.random.default_rng(len(rows)))
      large.save(parent / f's{name}' / f'{film}.jpg', quality=_QUALITY)
      size = large.height, large.width
      rows.append((film, subject, name, _SPLIT[split], view, *size))
  write_film_tables(out, rows)


def _enlarge(picture, width, rng):
  size = (width, int(_ASPECT * width))
  grey = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.float32)
  noisy = grey + rng.normal(0, _NOISE, grey.shape).astype(np.float32)
  return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
