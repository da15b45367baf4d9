"""Writes small folders in the R2Gen layout for the tests."""

import json

import numpy as np
from PIL import Image

COUNTS = {'train': 10, 'val': 3, 'test': 4}
SENTENCES = (
  'The heart is normal in size.',
  'The lungs are clear.',
  'There is a small effusion on the left.',
)


def film(seed):
  """A smooth uint8 film of random shape, unlike that of any other seed."""
  rng = np.random.default_rng(seed)
  height, width = rng.integers(40, 60, 2)
  rows, columns = np.mgrid[:height, :width]
  waves = rng.uniform(0.05, 0.3, 2)
  grey = 127 + 60 * np.sin(waves[0] * rows) + 60 * np.cos(waves[1] * columns)
  return grey.astype(np.uint8)


def write_r2gen(folder, counts=COUNTS, views=2):
  """Films and annotation of `counts` studies; returns the annotation."""
  annotation = {}
  for split, count in counts.items():
    annotation[split] = []
    for number in range(count):
      name = f'{split}-{number}'
      (folder / 'images' / name).mkdir(parents=True)
      paths = [f'{name}/{view}.png' for view in range(views)]
      for view, path in enumerate(paths):
        grey = film([len(split), number, view])
        Image.fromarray(grey).save(folder / 'images' / path)
      words = [SENTENCES[(number + k) % 3] for k in range(1 + number % 3)]
      annotation[split].append(
        {'id': name, 'report': ' '.join(words), 'image_path': paths}
      )
  write_annotation(folder, annotation)
  return annotation


def write_annotation(folder, annotation):
  """Writes or replaces annotation.json."""
  (folder / 'annotation.json').write_text(json.dumps(annotation))
