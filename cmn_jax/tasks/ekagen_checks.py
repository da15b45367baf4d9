"""Whether the parts of an EKAGen captioner fit the data and each other."""

from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from cmn_jax.loaded import Loaded, digest_of
from cmn_jax.models.ekagen_config import EkagenConfig
from cmn_jax.tasks.diagnosis import check_classes
from cmn_jax.tasks.encoder import encoder_of
from cmn_jax.tasks.mask_files import read_about
from cmn_jax.training.checkpoints import CheckpointError
from cmn_jax.training.distributed import log
from input_pipeline.errors import UserError
from input_pipeline.tokenizers import EKAGEN

KNOWLEDGE = 'knowledge'
# What draws each film anew at each step.
_DRAWN_ANEW = ('quarter_turns', 'flip', 'light')


def check_fields(config: ConfigDict, ekagen: EkagenConfig) -> None:
  """Raises UserError where fields contradict each other."""
  if config.data.tokenizer != EKAGEN:
    raise UserError(
      f'data.tokenizer is {config.data.tokenizer!r}; this captioner has the '
      f'words of {EKAGEN!r}'
    )
  decode = config.decode
  if decode.method not in ('beam', 'greedy'):
    raise UserError(
      f'decode.method is {decode.method!r}; this captioner writes by beam or '
      'greedy'
    )
  beams = 1 if decode.method == 'greedy' else decode.beam_size
  if not ekagen.stop_at_end and beams > 1:
    raise UserError(
      f'decode.beam_size is {decode.beam_size}; without ekagen.stop_at_end it '
      "must be 1, or decode.method='greedy'"
    )
  if config.data.flip_with_text:
    raise UserError(
      "EKAGen's knowledge is of reports as they are: set "
      'data.flip_with_text=False'
    )
  if ekagen.masks and config.train.freeze:
    raise UserError(
      'with train.freeze masks come from the locator: name ekagen.locator, and '
      "leave ekagen.masks ''"
    )
  if (ekagen.locator or ekagen.masks) and config.data.rotate:
    raise UserError(
      'masks cannot be turned as films are by data.rotate: set it to 0'
    )


def check_drawn_anew(config: ConfigDict, ekagen: EkagenConfig) -> None:
  """Raises UserError where a frozen encoder would not see what is asked for.

  With ekagen.compat, which sets it with all else, it is only told.
  """
  drawn = [f'ekagen.{x}' for x in _DRAWN_ANEW if getattr(ekagen, x)]
  if config.train.freeze and drawn:
    what = (
      f'train.freeze computes what the encoder sees of films once, so that '
      f'{", ".join(drawn)} would have no effect'
    )
    if not ekagen.compat:
      raise UserError(f"{what}: set them to False, or train.freeze to ''")
    log(f'{what}, though ekagen.compat sets them')


def fingerprint(part: Loaded) -> str:
  """Tells a part from all others; empty batch statistics count as none."""
  return digest_of({k: v for k, v in part.variables.items() if v})


def check_masks(
  folder: str, split: str, locator: Loaded, options: Sequence
) -> None:
  """Raises CheckpointError unless masks are a locator's, by these options.

  Args:
    folder: of `tasks.mask_files.write_masks`.
    split: one of its files.
    locator: that new films are asked of.
    options: rule, threshold and no_finding.
  """
  about = read_about(folder, split)
  names = ('rule', 'threshold', 'no_finding')
  its = [about['locator'], *(about[name] for name in names)]
  if its != [locator.fingerprint, *options]:
    raise CheckpointError(
      f'the masks in {folder} are of another locator than {locator.origin}, or '
      f'by other rules ({", ".join(map(str, its[1:]))}, and here '
      f'{", ".join(map(str, options))}): write them again'
    )


def check_knowledge(knowledge: Loaded, config, data) -> None:
  meta = knowledge.meta
  check_classes(
    meta['diagnosis']['meta']['diagnosis']['classes'],
    meta['classes'],
    f'the classifier in {knowledge.origin}',
  )
  for what, its, mine in (
    ('the data set', meta['dataset'], data.name),
    (
      'the training split',
      meta['split_digest'] or data.split_digest['train'],
      data.split_digest['train'],
    ),
  ):
    if its != mine:
      raise CheckpointError(
        f'the knowledge in {knowledge.origin} was made from {what} {its}, the '
        f'data at hand have {mine}: make one with `python -m cmn_jax.ekagen '
        'knowledge`'
      )
  if meta['tokenizer'] != data.tokenizer.to_json():
    raise CheckpointError(
      f'the knowledge in {knowledge.origin} is of a captioner with other words '
      f'than those of {data.name}: make one with `python -m cmn_jax.ekagen '
      'knowledge`'
    )
  size = knowledge.variables['params']['table'].shape[1:]
  wanted = (config.data.max_length - 1, config.model.width)
  if size != wanted:
    raise CheckpointError(
      f'the knowledge in {knowledge.origin} is of a captioner with {size[0]} '
      f'positions of width {size[1]}, this one has {wanted[0]} of {wanted[1]}: '
      'take data.max_length and model.width as there, or make another'
    )


def check_teacher(teacher: Loaded, config, data) -> None:
  teacher.check_reads(data)
  its, mine = teacher.config, config
  fields = ['data.max_length']
  if mine.train.freeze:  # Else a teacher's encoder may be frozen or not.
    fields.append('train.freeze')
  for field in fields:
    section, name = field.split('.')
    if its[section][name] != mine[section][name]:
      raise CheckpointError(
        f'the teacher {teacher.origin} was trained with {field}='
        f'{its[section][name]!r}, this run has {mine[section][name]!r}: take '
        'the same'
      )


def check_encoder(teacher: Loaded | None, encoder: dict) -> None:
  """A teacher reads the maps of the student's frozen encoder.

  Raises:
    CheckpointError: it has another one.
  """
  if teacher is None:
    return
  if digest_of(encoder_of(teacher.variables)) != digest_of(encoder):
    raise CheckpointError(
      f'the teacher {teacher.origin} has another frozen visual encoder than '
      'model.pretrained names: start both from the same weights'
    )


def check_shared(teacher: Loaded, knowledge: Loaded | None) -> None:
  """A teacher's knowledge, or what it is made of, must be the student's."""
  its: Any = teacher.meta['parts'].get(KNOWLEDGE)
  if its is not None:
    if knowledge is None or its['fingerprint'] != fingerprint(knowledge):
      raise CheckpointError(
        f'the teacher {teacher.origin} has knowledge from {its["origin"]}: '
        'name that one as ekagen.knowledge'
      )
    return
  made_by = knowledge.meta['captioner']['fingerprint'] if knowledge else None
  if made_by and made_by != fingerprint(teacher):
    raise CheckpointError(
      f'the knowledge in {knowledge.origin} is of the captioner '
      f'{knowledge.meta["captioner"]["origin"]}, and the teacher '
      f'{teacher.origin} is another: make knowledge with this teacher'
    )
