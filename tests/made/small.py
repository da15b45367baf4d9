"""A generator small enough for tests, and batches for it."""

import functools

import flax.linen as nn
import jax
import numpy as np

from cmn_jax.models.config import ModelConfig
from cmn_jax.models.encoders import ENCODERS
from cmn_jax.models.resnet import BasicBlock, ResNet
from cmn_jax.training.state import study_batch, variable_shapes

SIZE = 64
VIEWS = 2
TINY = 'tiny'  # An encoder that tests alone have.


def add_tiny_encoder() -> str:
  """Makes a ResNet of two blocks, quick to compile, an encoder by name."""
  ENCODERS[TINY] = functools.partial(ResNet, BasicBlock, (1, 1))
  return TINY


def shape(**changes) -> ModelConfig:
  """A two-layer generator over 30 words; `changes` replace fields."""
  fields = {
    'encoder': 'resnet18',
    'encoder_width': 4,
    'memory': 'shared',
    'memory_slots': 24,
    'memory_top_k': 4,
    'width': 16,
    'heads': 4,
    'hidden': 20,
    'layers': 2,
    'dropout': 0.0,
    'patch_dropout': 0.0,
    'memory_dropout': 0.0,
    'vocabulary': 30,
    'max_length': 10,
    'findings': 0,
  }
  return ModelConfig(**{**fields, **changes})


def tiny(**changes) -> ModelConfig:
  """`shape` of one layer on the tiny encoder, for what holds of any depth."""
  return shape(**{'encoder': add_tiny_encoder(), 'layers': 1, **changes})


def flags(shape: ModelConfig) -> list[str]:
  """Of a command, those that make the model of its config this one."""
  fields = 'encoder encoder_width memory_slots memory_top_k'.split()
  fields += 'width heads hidden layers'.split()
  return [f'--config.model.{name}={getattr(shape, name)}' for name in fields]


def batch(studies: int, seed: int = 0, size: int = SIZE, views: int = VIEWS):
  """Random films and reports of unequal lengths; all studies are real."""
  rng = np.random.default_rng(seed)
  ids = rng.integers(1, 30, (studies, 10)).astype(np.int32)
  ids[:, 0] = 0
  for row, length in zip(ids, rng.integers(3, 11, studies), strict=True):
    row[length:] = 0
  return {
    'images_BxIxHxW': rng.integers(
      0, 256, (studies, views, size, size), np.uint8
    ),
    'ids_BxT': ids,
    'mask_B': np.ones(studies, bool),
    'mask_BxI': np.ones((studies, views), bool),
  }


def images(studies: int, seed: int = 0, size: int = SIZE, views: int = VIEWS):
  """Normalised films, float32 (B, I, H, W, 3)."""
  rng = np.random.default_rng(seed)
  return rng.normal(size=(studies, views, size, size, 3)).astype(np.float32)


def drawn(shapes, seed: int = 0, noise: float = 0.2):
  """Variables of these shapes, far from any start; nothing is compiled."""
  rng = np.random.default_rng(seed)

  def draw(path, x):
    one = path[-1].key in ('scale', 'var')
    spread = 0.0 if path[0].key == 'batch_stats' else noise
    if x.ndim > 1:
      spread = np.hypot(spread, np.prod(x.shape[:-1]) ** -0.5)
    return (one + spread * rng.normal(size=x.shape)).astype(np.float32)

  return jax.tree_util.tree_map_with_path(draw, shapes)


def variables(
  model: nn.Module, seed: int = 0, noise: float = 0.2, views: int = 1
) -> dict:
  """As `drawn`, of a report generator: biases and memory matter."""
  batch = study_batch(views, SIZE, model.config.max_length)
  return drawn(variable_shapes(model, batch), seed, noise)
