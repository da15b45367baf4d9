"""EKAGen's pickles (hnjzbss/EKAGen): knowledge, words, thresholds.

Their classes are in alphabetical order; what is read here is in ours.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cmn_jax.interop.files import array_of, read_pickle
from cmn_jax.interop.names import ConversionError
from cmn_jax.models.ekagen import SPECIAL

# Their classes, which their files do not name, and the probability above
# which each is present for both of their classifiers.
THRESHOLDS = {
  'Atelectasis': 0.16723023,
  'Cardiomegaly': 0.19470291,
  'Consolidation': 0.02925956,
  'Edema': 0.16201517,
  'Enlarged Cardiomediastinum': 0.02111765,
  'Fracture': 0.01880017,
  'Lung Lesion': 0.02309786,
  'Lung Opacity': 0.27516457,
  'No Finding': 0.13924126,
  'Pleural Effusion': 0.32653239,
  'Pleural Other': 0.03146267,
  'Pneumonia': 0.06353641,
  'Pneumothorax': 0.03490791,
  'Support Devices': 0.38705960,
}


def their_order(classes: Sequence[str]) -> np.ndarray:
  """For each of our classes its place in their files.

  Raises:
    ConversionError: these are not the same classes.
  """
  theirs = list(THRESHOLDS)
  if sorted(classes) != theirs:
    raise ConversionError(
      f'EKAGen has the {len(theirs)} classes of CheXpert, and these labels '
      f'have {", ".join(classes)}'
    )
  return np.array([theirs.index(name) for name in classes])


def read_knowledge(
  path: Path | str, classes: Sequence[str], length: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
  """Keys (Y, G) in our order of classes, and table (Y, T, D), float32.

  Nothing in the file is executed.

  Raises:
    ConversionError: it holds anything else than label vectors with a tensor
      of this length and width each.
  """
  content = read_pickle(path)
  if not isinstance(content, dict) or not content:
    raise ConversionError(f'{path} holds no dict of knowledge')
  order, keys, table = their_order(classes), [], []
  for key, value in content.items():
    if not (
      isinstance(key, tuple) and len(key) == len(order) and {*key} <= {0, 1}
    ):
      raise ConversionError(
        f'{path} has the key {key!r}; {len(order)} labels of 0 or 1 were '
        'expected'
      )
    array = array_of(value)
    if array is None or array.shape != (length, width):
      found = type(value).__name__ if array is None else array.shape
      raise ConversionError(
        f'{path} holds {found} where a tensor of ({length}, {width}) was '
        'expected'
      )
    keys.append(np.array(key, np.int8)[order])
    table.append(array)
  return np.stack(keys), np.stack(table)


def read_vocabulary(path: Path | str) -> list[str]:
  """The words of their `*_vocabulary.pkl`, in the order of their ids.

  Nothing in the file is executed.

  Raises:
    ConversionError: it is no such file, or its numbers do not begin at 3.
  """
  content = read_pickle(path)
  pair = isinstance(content, list | tuple) and len(content) == 2
  words = content[0] if pair else None
  if not isinstance(words, dict) or not all(isinstance(w, str) for w in words):
    raise ConversionError(f"{path} is no vocabulary of EKAGen's")
  if sorted(words.values()) != list(range(SPECIAL, SPECIAL + len(words))):
    raise ConversionError(
      f'{path} does not number its {len(words)} words from {SPECIAL} on'
    )
  return sorted(words, key=words.get)


def read_thresholds(path: Path | str, classes: Sequence[str]) -> np.ndarray:
  """Their `thresholds.pkl` in our order of classes, (G,) float64.

  Raises:
    ConversionError: it is no array of one number for each class.
  """
  content, order = read_pickle(path), their_order(classes)
  if not isinstance(content, np.ndarray) or content.shape != order.shape:
    raise ConversionError(f'{path} holds no {len(order)} thresholds')
  return content.astype(np.float64)[order]
