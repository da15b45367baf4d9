"""Random weights and films in numpy, the same wherever they are drawn.

Drawn so that all parts matter: attention is not flat, the memory answers at
the size of what it is added to, and reports differ and end by themselves.
"""

import math

import numpy as np

from cmn_jax.interop.names import shapes_of
from cmn_jax.interop.r2gencmn import expected_variables, r2gencmn_rows
from cmn_jax.models.report_generator import ReportGenerator, Shape

# RandomState draws the same numbers in every version of numpy.
_Draw = np.random.RandomState


def draw_state_dict(
  shape: Shape, seed: int, end_bias: float = 0.0
) -> dict[str, np.ndarray]:
  """The authors' state dict with random weights, its buffers left out.

  Args:
    shape: sizes of the model.
    seed: of the draws.
    end_bias: added to the logit of the 0 that ends a report.
  """
  shapes = shapes_of(expected_variables(ReportGenerator(shape)))
  draw = _Draw(seed)
  tensors = {}
  for row in sorted(r2gencmn_rows(shape), key=lambda row: row.theirs):
    size = row.shape_there(shapes[row.ours])
    tensor = _draw_tensor(draw, row.theirs, size).astype(np.float32)
    tensors.update(dict.fromkeys(row.names, tensor))
  tensors['encoder_decoder.logit.bias'][0] += end_bias
  return tensors


def _draw_tensor(draw, name: str, size) -> np.ndarray:
  normal = draw.standard_normal(size)
  if len(size) == 4:  # Convolutions, as torchvision starts them.
    return normal * math.sqrt(2 / (size[0] * size[2] * size[3]))
  if name.endswith('running_var'):
    return 1.0 + 0.5 * np.tanh(normal)
  if name.endswith('running_mean'):
    return 0.1 * normal
  if name.endswith('a_2'):
    return 1.0 + 0.2 * normal
  if name.startswith('visual_extractor') and name.endswith('.weight'):
    # The last norm of a block is small, so that a hundred layers stay in range.
    last = '.bn' in name and not name.endswith(('bn1.weight', '.1.weight'))
    return (0.5 if last else 1.0) * (1.0 + 0.2 * np.tanh(normal))
  if name.endswith('memory_matrix'):
    return normal
  if name.endswith('logit.weight'):
    return normal * 3.0 / math.sqrt(size[1])
  if len(size) == 2:
    gain = 1.0
    if '.linears.0.' in name or '.linears.1.' in name:
      gain = 1.7  # Queries and keys: scores of a few units.
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
  return np.rint((films - low) / (high - low) * 255).astype(np.uint8)


def draw_ids(count: int, shape: Shape, seed: int) -> np.ndarray:
  """Reports of random words and lengths, int32 (B, T); one is cut at T."""
  draw = _Draw(seed)
  ids = np.zeros((count, shape.max_length), np.int32)
  for row in range(count):
    words = draw.randint(1, shape.max_length - 1)
    if row == 0:
      words = shape.max_length - 1  # No last 0: the report is cut.
    ids[row, 1 : words + 1] = draw.randint(1, shape.vocabulary, words)
  return ids
