"""Random weights and films in numpy, the same wherever they are drawn.

Drawn so that all parts matter: attention is not flat, the memory answers at
the size of what it is added to, and reports differ and end by themselves.
"""

import math

import numpy as np

from cmn_jax.interop.names import Row, shapes_of
from cmn_jax.interop.r2gencmn import expected_variables
from cmn_jax.models.config import ModelConfig
from cmn_jax.models.report_generator import ReportGenerator

# RandomState draws the same numbers in every version of numpy.
_Draw = np.random.RandomState
_MEMORY_SCORES = tuple(f'memory_query/{k}/kernel' for k in ('query', 'key'))


def draw_state_dict(
  shape: ModelConfig,
  table: list[Row],
  seed: int,
  end_bias: float = 0.0,
  sharp: float = 1.0,
) -> dict[str, np.ndarray]:
  """A torch state dict with random weights, its buffers left out.

  Args:
    shape: sizes of the model.
    table: names of its arrays.
    seed: of the draws.
    end_bias: added to the logit of the 0 that ends a report.
    sharp: factor of the memory's queries and keys. Between the last slot that
      answers and the next, rounding chooses where they score alike; the higher
      the scores, the less the two weigh.
  """
  shapes = shapes_of(expected_variables(ReportGenerator(shape)))
  draw = _Draw(seed)
  tensors = {}
  for row in sorted(table, key=lambda row: row.ours):
    size = row.shape_there(shapes[row.ours])
    tensor = _draw_tensor(draw, row, size).astype(np.float32)
    if row.ours.endswith(_MEMORY_SCORES):
      tensor *= np.float32(sharp)
    if row.ours == 'params/logits/bias':
      tensor[0] += end_bias
    tensors.update(dict.fromkeys(row.names, tensor))
  return tensors


def _draw_tensor(draw, row: Row, size) -> np.ndarray:
  normal = draw.standard_normal(size)
  *_, layer, kind = row.ours.split('/')
  if row.form == 'conv':  # As torchvision starts them.
    return normal * math.sqrt(2 / (size[0] * size[2] * size[3]))
  if kind == 'var':
    return 1.0 + 0.5 * np.tanh(normal)
  if kind == 'scale':
    # Late norms of a block are small: a hundred layers stay in range.
    return (0.5 if layer in ('bn2', 'bn3') else 1.0) * (1.0 + 0.1 * normal)
  if kind in ('memory', 'text_memory'):
    return normal
  if layer == 'logits' and kind == 'kernel':
    return normal * 3.0 / math.sqrt(size[1])
  if len(size) == 2:
    gain = 1.0
    if layer in ('query', 'key'):
      gain = 1.7  # Scores of a few units.
    elif 'cross_attention' in row.ours:
      gain = 2.5  # What the films show decides the words.
    return gain * normal * math.sqrt(2 / sum(size))
  return 0.1 * normal


def draw_films(count: int, views: int, size: int, seed: int) -> np.ndarray:
  """Smooth random grey films, uint8 (B, I, H, W), each unlike the others."""
  draw = _Draw(seed)
  films = np.zeros((count, views, size, size))
  for waves in (2, 4, 8):
    coarse = draw.uniform(-1, 1, (count, views, waves, waves))
    at = np.minimum(np.arange(size) * waves // size, waves - 1)
    films += coarse[:, :, at][:, :, :, at]
  films += draw.uniform(-0.2, 0.2, films.shape)
  low = films.min(axis=(2, 3), keepdims=True)
  high = films.max(axis=(2, 3), keepdims=True)
  # Dark and bright, flat and rich in contrast: reports should differ.
  darkest = draw.uniform(0, 180, (count, 1, 1, 1))
  range_ = draw.uniform(0.1, 1.0, (count, 1, 1, 1)) * (255 - darkest)
  grey = (films - low) / (high - low) * range_ + darkest
  return np.rint(grey).astype(np.uint8)


def draw_ids(count: int, shape: ModelConfig, seed: int) -> np.ndarray:
  """Reports of random words and lengths, int32 (B, T); one is cut at T."""
  draw = _Draw(seed)
  ids = np.zeros((count, shape.max_length), np.int32)
  for row in range(count):
    words = draw.randint(1, shape.max_length - 1)
    if row == 0:
      words = shape.max_length - 1  # No last 0: the report is cut.
    ids[row, 1 : words + 1] = draw.randint(1, shape.vocabulary, words)
  return ids
