"""From a config to the things it names: model, optimizer, decoding."""

from pathlib import Path

import jax.numpy as jnp
from ml_collections import ConfigDict

from cmn_jax.decoding.generate import Decoding
from cmn_jax.losses.contrastive import Contrast
from cmn_jax.models.alignment import AlignmentShape
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.models.shape import Shape
from cmn_jax.training.optimizer import make_optimizer, make_schedule
from input_pipeline.errors import UserError

DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}


def runs_of(config: ConfigDict, workdir: str) -> list[tuple[ConfigDict, str]]:
  """The config and the workdir of each of config.seeds."""
  if config.seeds < 1:
    raise UserError(f'seeds is {config.seeds}; it must be at least 1')
  if config.seeds == 1:
    return [(config, workdir)]
  runs = []
  for seed in range(config.seed, config.seed + config.seeds):
    one = ConfigDict(config).lock()
    one.update(seed=seed, seeds=1)
    runs.append((one, str(Path(workdir) / f'seed_{seed}')))
  return runs


def make_model(
  config: ConfigDict,
  vocabulary: int,
  axis_name: str | None,
  findings: int = 0,
) -> ReportGenerator:
  """The generator of config.model.

  Args:
    config: the whole config.
    vocabulary: words, the 0 included.
    axis_name: mapped axis of batch statistics, or None.
    findings: logits of the findings head, 0 for none.
  """
  c = config.model
  if c.dtype not in DTYPES:
    raise UserError(
      f'model.dtype is {c.dtype!r}; choose from {", ".join(DTYPES)}'
    )
  shape = Shape(
    encoder=c.encoder,
    encoder_width=c.encoder_width,
    memory=c.memory,
    memory_slots=c.memory_slots,
    memory_top_k=c.memory_top_k,
    width=c.width,
    heads=c.heads,
    hidden=c.hidden,
    layers=c.layers,
    dropout=c.dropout,
    patch_dropout=c.patch_dropout,
    memory_dropout=c.memory_dropout,
    vocabulary=vocabulary,
    max_length=config.data.max_length,
    findings=findings,
    alignment=make_alignment(config) if config.alignment.weight else None,
  )
  return ReportGenerator(shape, axis_name, DTYPES[c.dtype], c.remat)


def make_alignment(config: ConfigDict) -> AlignmentShape:
  """The learned part of config.alignment, whatever its weight."""
  c = config.alignment
  if c.form == 'infonce' and c.temperature <= 0:
    raise UserError(
      f'alignment.temperature is {c.temperature}; it must be above 0'
    )
  return AlignmentShape(c.text, c.temperature if c.form == 'infonce' else 0.0)


def make_contrast(config: ConfigDict) -> Contrast:
  """How config.alignment compares films and reports."""
  c = config.alignment
  return Contrast(c.weight, c.form, c.margin, c.mask_identical, c.warmup_steps)


def make_schedules(config: ConfigDict, steps_per_epoch: int):
  """Learning rates by step: of the visual encoder, and of the rest."""
  c = config.optim
  return tuple(
    make_schedule(
      c.schedule,
      rate,
      steps_per_epoch=steps_per_epoch,
      epochs=config.train.epochs,
      step_epochs=c.step_epochs,
      gamma=c.gamma,
      warmup_steps=c.warmup_steps,
    )
    for rate in (c.visual_rate, c.rate)
  )


def make_optimizer_of(config: ConfigDict, steps_per_epoch: int):
  """The optimizer of config.optim."""
  c = config.optim
  return make_optimizer(
    *make_schedules(config, steps_per_epoch),
    b1=c.b1,
    b2=c.b2,
    epsilon=c.epsilon,
    weight_decay=c.weight_decay,
    amsgrad=c.amsgrad,
    clip_norm=c.clip_norm,
  )


def make_decoding(config: ConfigDict) -> Decoding:
  """How config.decode chooses words."""
  c = config.decode
  return Decoding(c.method, c.beam_size, c.temperature, c.top_p, config.seed)
