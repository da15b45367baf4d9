"""Our models and data as a config names them: the one way in for benchmarks.

Imports what it needs inside each function: a side that runs another's code
must not load ours.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

if TYPE_CHECKING:
  import optax

  from cmn_jax.models.report_generator import ReportGenerator
  from cmn_jax.models.shape import Shape
  from input_pipeline.augmentation import Augmentation
  from input_pipeline.data import Data


def make_model(
  config: ConfigDict,
  vocabulary: int,
  axis_name: str | None = None,
  findings: int = 0,
) -> 'ReportGenerator':
  """The report generator of `config`.

  Args:
    config: a run's.
    vocabulary: words, the 0 included.
    axis_name: mapped axis of batch statistics, or None.
    findings: logits of the findings head, 0 for none.
  """
  from cmn_jax import experiment

  return experiment.make_model(config, vocabulary, axis_name, findings)


def make_shape(config: ConfigDict, vocabulary: int) -> 'Shape':
  """The sizes of that model."""
  return make_model(config, vocabulary).shape


def make_optimizer(
  config: ConfigDict, steps_per_epoch: int
) -> 'optax.GradientTransformation':
  """The optimizer of `config`."""
  from cmn_jax import experiment

  return experiment.make_optimizer_of(config, steps_per_epoch)


def make_step(
  config: ConfigDict,
  model: 'ReportGenerator',
  optimizer: 'optax.GradientTransformation',
) -> Callable:
  """The training step: (state, batch) -> (state, metrics)."""
  from cmn_jax import experiment
  from cmn_jax.training.state import make_train_step

  return make_train_step(
    model,
    optimizer,
    config.seed,
    config.train.findings_weight,
    experiment.make_contrast(config),
  )


def make_writer(config: ConfigDict, model: 'ReportGenerator') -> Callable:
  """(variables, pixels_BxIxHxWxC, mask_B) -> (ids_BxT, ...)."""
  from cmn_jax import experiment
  from cmn_jax.decoding.generate import make_writer

  return make_writer(model, experiment.make_decoding(config))


def make_batch_writer(config: ConfigDict, model: 'ReportGenerator') -> Callable:
  """(variables, batch) -> what evaluation keeps of a batch."""
  from cmn_jax import experiment
  from cmn_jax.tasks.writing import make_batch_writer

  return make_batch_writer(model, experiment.make_decoding(config))


def open_data(config: ConfigDict) -> 'Data':
  """The data of config.data, prepared if it was not."""
  from cmn_jax.dataset import open_dataset

  return open_dataset(config)


def augmentation_of(config: ConfigDict) -> 'Augmentation':
  """What config.data does to training films."""
  from cmn_jax.dataset import augmentation_of

  return augmentation_of(config)
