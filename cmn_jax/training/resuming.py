"""Whether a run can be resumed, or evaluated, with the config at hand."""

from collections.abc import Collection, Mapping
from pathlib import Path

from ml_collections import ConfigDict

from cmn_jax.training.checkpoints import CheckpointError
from configs import difference
from input_pipeline import vocabularies

# Folders whose parameters are compared instead.
_COMPARED = (
  'classifier.checkpoint',
  'ekagen.teacher',
  'ekagen.knowledge',
  'ekagen.locator',
  'ekagen.masks',
)
# What may differ between a run and its continuation.
_FREE_FIELDS = (
  'data.dir',
  'data.cache_dir',
  'data.stream',  # the batches are the same
  'model.pretrained',  # the checkpoint has what it became
  *_COMPARED,
  'train.parallel',
  'train.log_every',
  'train.profile',
  'train.save_every_steps',
  'train.save_every_seconds',
  'name',
  'named',
  'seeds',
)
_FREE_SECTIONS = ('eval.', 'decode.')


def check_same_run(saved: dict, config: ConfigDict, workdir: Path) -> None:
  """Raises CheckpointError if the run in `workdir` was another one."""
  old, new = difference.flat(saved), difference.flat(config.to_dict())
  differing = _differing(old, new, old.keys() | new.keys())
  if differing:
    raise CheckpointError(
      f'{workdir} holds a run of another config ({"; ".join(differing)}): '
      'choose another --workdir, or the same config to continue'
    )


def evaluation_config(
  saved: dict, config: ConfigDict, where: Path, given: Collection[str] = ()
) -> ConfigDict:
  """The config that a checkpoint is evaluated with.

  All that makes the network, its data and its labels is the checkpoint's; how
  it is evaluated, paths, and how devices are used are the command's.

  Args:
    saved: the config in the checkpoint's meta.
    config: the command's.
    where: the checkpoint.
    given: fields that the command names, with their defaults or others.

  Raises:
    CheckpointError: the command changes a field that only training can.
  """
  old = difference.flat(saved)
  variant = config.named.partition(':')[2]
  same = saved['named'] in (config.named, f':{variant}')
  new = difference.flat(config.to_dict())
  # Of the same config only what the command changes counts; else all of it.
  changed = difference.changes(config).keys() | set(given)
  if config.task != saved['task']:
    raise CheckpointError(
      f'{where} holds what the task {saved["task"]!r} trained, '
      f'{config.named} is of the task {config.task!r}: evaluate it with '
      f'--config=configs/{saved["named"].lstrip(":")}'
    )
  differing = _differing(old, new, changed if same else new.keys())
  if differing:
    raise CheckpointError(
      f'{where} was trained otherwise ({"; ".join(differing)}): evaluation '
      'takes the checkpoint as it is, leave these fields out'
    )
  # An empty path names nothing: then it is the checkpoint's.
  own = {f for f, value in new.items() if _evaluates(f) and value != ''}
  own |= {'named'} if same else set()  # which an older checkpoint has not
  own |= {'name'} & changed
  merged = ConfigDict(config)
  merged.update_from_flattened_dict(
    {f: value for f, value in old.items() if f in new and f not in own}
  )
  return merged


def has_other_studies(saved: Mapping, data, split: str) -> bool:
  """Whether a split has other studies than it had for a checkpoint.

  Args:
    saved: its meta; one of an older version does not say.
    data: `input_pipeline.data.Data`.
    split: of both.
  """
  digests = saved.get('split_digests', data.split_digest)
  return digests[split] != data.split_digest[split]


def check_same_studies(saved: Mapping, data, workdir: Path) -> None:
  """Raises CheckpointError if a run would go on with other studies.

  Args:
    saved: the meta of its checkpoint; of an older version it does not say.
    data: `input_pipeline.data.Data`.
    workdir: of the run.
  """
  for split in ('train', 'val'):
    if has_other_studies(saved, data, split):
      raise CheckpointError(
        f'{workdir} holds a run of other {split} studies than the '
        f'{len(data.studies[split])} at hand: bring them back (data.skip_bad '
        'leaves out what cannot be read), or choose another --workdir'
      )


def check_same_words(saved: dict, tokenizer, where: Path) -> None:
  """Raises CheckpointError if a run's vocabulary is not the data's."""
  if saved != tokenizer.to_json():
    raise CheckpointError(
      f'{where} knows {vocabularies.from_json(saved).vocab_size} words, the '
      f'training reports at hand give {tokenizer.vocab_size}, not the same '
      'ones: the reports, data.min_count or data.clean have changed'
    )


def _evaluates(field: str) -> bool:
  """Whether a field is the command's when a checkpoint is evaluated."""
  free = ('data.dir', 'data.cache_dir', 'data.stream', 'train.parallel')
  return field in (*free, *_COMPARED) or field.startswith(_FREE_SECTIONS)


def _differing(old: dict, new: dict, fields) -> list[str]:
  return [
    f'{field} was {old.get(field)!r}, is {new.get(field)!r}'
    for field in sorted(fields)
    if old.get(field) != new.get(field)
    and field not in _FREE_FIELDS
    and not field.startswith(_FREE_SECTIONS)
  ]
