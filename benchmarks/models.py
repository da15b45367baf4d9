"""Our models and data as a config names them: the one way in for benchmarks."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import optax
from ml_collections import ConfigDict

from cmn_jax.decoding.generate import Decoding, make_writer
from cmn_jax.losses.report import ReportObjective
from cmn_jax.models.alignment import AlignmentConfig
from cmn_jax.models.config import ModelConfig
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.training.optimizer import OptimConfig, make_optimizer
from cmn_jax.training.state import init_variables, study_batch, variable_shapes
from cmn_jax.training.step import make_train_step

if TYPE_CHECKING:  # TensorFlow comes with it.
  from input_pipeline.config import Augmentation
  from input_pipeline.data import Data


def make_model(
  config: ConfigDict,
  vocabulary: int,
  axis_name: str | None = None,
  findings: int = 0,
) -> ReportGenerator:
  """The report generator of a config.

  Args:
    config: a run's.
    vocabulary: words, the 0 included.
    axis_name: mapped axis of batch statistics, or None.
    findings: logits of the findings head, 0 for none.
  """
  targets = [''] * findings  # Their names say nothing to the network.
  return ReportGenerator(ModelConfig.of(config, vocabulary, targets), axis_name)


def random_variables(config: ConfigDict, model: ReportGenerator) -> dict:
  """Parameters and batch statistics of config.seed."""
  return init_variables(model, config.seed, _study(config))


def shapes_of(config: ConfigDict, model: ReportGenerator):
  """The same as shapes and types alone, of one device."""
  return variable_shapes(model.clone(axis_name=None), _study(config))


def _study(config: ConfigDict) -> dict[str, jax.Array]:
  c = config.data
  return study_batch(c.views, c.image_size, c.max_length)


def optimizer_of(config: ConfigDict) -> optax.GradientTransformation:
  """The optimizer of a config, for epochs of 100 steps."""
  return make_optimizer(
    OptimConfig(**config.optim), steps_per_epoch=100, epochs=config.train.epochs
  )


def make_step(
  config: ConfigDict,
  model: ReportGenerator,
  optimizer: optax.GradientTransformation,
) -> Callable:
  """The training step: (state, batch) -> (state, metrics)."""
  alignment = AlignmentConfig(**config.alignment)
  objective = ReportObjective(model, alignment, config.train.findings_weight)
  return make_train_step(objective, optimizer, config.seed, model.axis_name)


def writer_of(config: ConfigDict, model: ReportGenerator) -> Callable:
  """(variables, images_BxIxHxW, mask_B, mask_BxI) -> (ids_BxT, log_probs_B)."""
  return make_writer(model, Decoding(**config.decode, seed=config.seed))


def open_data(config: ConfigDict) -> 'Data':
  """The data of config.data, prepared if they were not."""
  from input_pipeline import data

  return data.open_data(data.DataConfig(**config.data))


def augmentation_of(config: ConfigDict) -> 'Augmentation':
  """What config.data does to training images."""
  from input_pipeline.config import DataConfig

  return DataConfig(**config.data).augmentation
