"""A generator small enough for tests, and batches for it."""

import functools

import jax
import numpy as np

from cmn_jax.models.config import ModelConfig
from cmn_jax.models.encoders import ENCODERS
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.models.resnet import BasicBlock, ResNet
from cmn_jax.training.state import init_variables, study_batch

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


def variables(model: ReportGenerator, seed: int = 0, noise: float = 0.2):
  """Random variables far from the start: biases and memory matter."""
  start = init_variables(
    model, seed, study_batch(1, SIZE, model.config.max_length)
  )
  rng = np.random.default_rng(seed)
  params = jax.tree.map(
    lambda x: x + noise * rng.normal(size=x.shape).astype(np.float32),
    start['params'],
  )
  return {'params': params, 'batch_stats': start['batch_stats']}
