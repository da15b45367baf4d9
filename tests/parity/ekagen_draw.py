"""Random weights, films and reports for EKAGen, the same wherever drawn.

Drawn so that all parts matter: attention is not flat, films and knowledge
decide the words.
"""

import dataclasses
import math

import jax
import numpy as np

from benchmarks.speed.ekagen_sizes import small_shape
from cmn_jax.interop.ekagen import captioner_rows, captioner_variables
from cmn_jax.interop.film_classifiers import classifier_rows
from cmn_jax.interop.names import shapes_of, to_variables
from cmn_jax.models.ekagen import END, Captioner, CaptionerShape
from cmn_jax.models.film_classifier import FilmClassifier
from cmn_jax.models.images import normalise_images
from tests.parity import draw

_Draw = np.random.RandomState
_GAINS = {
  'query': 1.7,
  'key': 1.7,
  'fuse_text': 1.5,
  'fuse': 1.5,
  'fuse_knowledge': 1.5,
  'logits_0': 2.0,
  'logits_1': 2.0,
}
# Of what the films say to the decoder: found by trying.
_FILM_GAIN = 2.0


@dataclasses.dataclass(frozen=True)
class Size:
  """A captioner and what it is shown.

  Attributes:
    name: for the table.
    shape: sizes of the model.
    image: side of the films, pixels.
    studies: for log-probabilities and losses.
  """

  name: str
  shape: CaptionerShape
  image: int
  studies: int


def sizes() -> dict[str, Size]:
  """'small' and 'published'; makes the small one's encoder known."""
  small = dataclasses.replace(small_shape(), dropout=0.0)
  published = CaptionerShape(vocabulary=760, dropout=0.0)
  return {
    'small': Size('small', small, 75, 8),
    'published': Size('published', published, 300, 4),
  }


def draw_captioner(
  shape: CaptionerShape, seed: int, end_bias: float = 0.0
) -> dict[str, np.ndarray]:
  """A state dict in the form of `captioner_rows`, packed matrices split.

  `end_bias` is added to the logit of the id that ends a report.
  """
  shapes = shapes_of(captioner_variables(Captioner(shape)))
  tensors = _draw(captioner_rows(shape), shapes, seed)
  tensors['mlp.layers.2.bias'][END] += end_bias
  return tensors


def centre(model: Captioner, tensors: dict, images_BxIxHxWxC) -> dict:
  """`tensors` with the films' tokens of mean 0 and deviation 1.

  Random ResNets say nearly the same of all films: what differs would drown.
  """
  variables = to_variables(captioner_rows(model.shape), tensors)
  mask_BxI = np.ones(images_BxIxHxWxC.shape[:2], bool)
  see = jax.jit(
    lambda v, x: model.apply(
      v, x, mask_BxI, False, method=lambda m, *rest: m.visual_encoder(*rest)
    )
  )
  features = np.asarray(see(variables, images_BxIxHxWxC), np.float64)
  features = features.reshape(-1, features.shape[-1])
  weight = tensors['input_proj.weight'].astype(np.float64)
  tokens = (features - features.mean(0)) @ weight.T
  weight = weight / tokens.std()
  changed = {'weight': weight, 'bias': -weight @ features.mean(0)}
  changed = {
    f'input_proj.{k}': v.astype(np.float32) for k, v in changed.items()
  }
  return {**tensors, **changed}


def draw_classifier(model: FilmClassifier, seed: int) -> dict[str, np.ndarray]:
  """A state dict in the form of `classifier_rows`."""
  images, mask = np.zeros((1, 1, 64, 64, 3), np.float32), np.ones(1, bool)
  variables = jax.eval_shape(
    lambda: model.init(jax.random.key(0), images, mask, False)
  )
  return _draw(classifier_rows(model.encoder), shapes_of(variables), seed)


def _draw(rows, shapes, seed: int) -> dict[str, np.ndarray]:
  generator = _Draw(seed)
  tensors = {}
  for row in sorted(rows, key=lambda row: row.ours):
    size = row.shape_there(shapes[row.ours])
    tensors[row.theirs] = _one(generator, row, size).astype(np.float32)
  return tensors


def _one(generator, row, size) -> np.ndarray:
  normal = generator.standard_normal(size)
  *_, layer, kind = row.ours.split('/')
  if row.form == 'conv':
    return normal * math.sqrt(2 / (size[0] * size[2] * size[3]))
  if kind == 'var':
    return 1.0 + 0.5 * np.tanh(normal)
  if kind == 'scale':
    return (0.5 if layer in ('bn2', 'bn3') else 1.0) * (1.0 + 0.1 * normal)
  if kind in ('word_embed', 'positions', 'relative_bias'):
    return normal
  if layer in ('logits_2', 'head') and kind == 'kernel':
    return normal * 3.0 / math.sqrt(size[1])
  if len(size) == 2:
    gain = _GAINS.get(layer, 1.0)
    if 'cross_attention' in row.ours and layer in ('value', 'out'):
      gain = _FILM_GAIN
    return gain * normal * math.sqrt(2 / sum(size))
  return 0.1 * normal


def films(count: int, size: int, seed: int) -> np.ndarray:
  """Normalised films, float32 (B, 1, H, W, 3)."""
  drawn = draw.draw_films(count, 1, size, seed)
  return np.asarray(normalise_images(drawn))


def knowledge(count: int, shape: CaptionerShape, seed: int) -> np.ndarray:
  """As a layer norm would leave it, float32 (B, T, D)."""
  size = (count, shape.max_length, shape.width)
  return _Draw(seed).standard_normal(size).astype(np.float32)


def ids(count: int, shape: CaptionerShape, seed: int) -> np.ndarray:
  """[1] + words + [2] and zeros, int32 (B, T + 1); one report is cut."""
  generator = _Draw(seed)
  length = shape.max_length + 1
  rows = np.zeros((count, length), np.int32)
  for n in range(count):
    words = length if n == 0 else generator.randint(1, length - 1)
    row = [1, *generator.randint(3, shape.vocabulary, words), 2][:length]
    rows[n, : len(row)] = row
  return rows
