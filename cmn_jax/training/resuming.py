"""Whether a run can be continued with the config and data at hand."""

from pathlib import Path

from ml_collections import ConfigDict

from cmn_jax.training.checkpoints import CheckpointError
from input_pipeline.tokenizers import tokenizer_from_json

# What may differ between a run and its continuation.
_FREE_FIELDS = (
  'data.dir',
  'data.cache_dir',
  'data.stream',  # the batches are the same
  'classifier.checkpoint',  # its parameters are compared instead
  'train.parallel',
  'train.log_every',
)
_FREE_SECTIONS = ('eval.', 'decode.')


def check_same_run(saved: dict, config: ConfigDict, workdir: Path):
  """Raises CheckpointError if the run in `workdir` was another one."""
  old, new = _flat(saved), _flat(config.to_dict())
  differing = [
    f'{k} was {old.get(k)!r}, is {new.get(k)!r}'
    for k in sorted(old.keys() | new.keys())
    if old.get(k) != new.get(k)
    and k not in _FREE_FIELDS
    and not k.startswith(_FREE_SECTIONS)
  ]
  if differing:
    raise CheckpointError(
      f'{workdir} holds a run of another config ({"; ".join(differing)}): '
      'choose another --workdir, or the same config to continue'
    )


def check_same_words(saved: dict, tokenizer, workdir: Path):
  """Raises CheckpointError if the run's vocabulary is not the data's."""
  if saved != tokenizer.to_json():
    raise CheckpointError(
      f'{workdir} holds a run with {tokenizer_from_json(saved).vocab_size} '
      'words, the data give '
      f'{tokenizer.vocab_size}, not the same ones: the training reports, '
      'data.min_count or data.clean have changed'
    )


def check_same_classifier(saved: dict, config: ConfigDict, where: Path):
  """Raises CheckpointError if a classifier was trained as another one.

  Its classes and its report model are compared by `check_same_classes` and by
  their parameters.
  """
  old, new = saved['classifier'], config.classifier.to_dict()
  differing = [
    f'classifier.{k} was {old.get(k)!r}, is {new.get(k)!r}'
    for k in sorted(old.keys() | new.keys())
    if old.get(k) != new.get(k)
    and k not in ('checkpoint', 'labels', 'leave_out')
  ]
  if differing:
    raise CheckpointError(
      f'{where} holds another classifier ({"; ".join(differing)}): evaluate it '
      'with the config that it was trained with'
    )


def check_same_classes(saved, classes, where: Path):
  """Raises CheckpointError if a classifier's classes are not the labels'."""
  if list(saved) != list(classes):
    lost = [name for name in saved if name not in classes]
    new = [name for name in classes if name not in saved]
    raise CheckpointError(
      f'{where} holds a classifier of {len(saved)} classes, the labels have '
      f'{len(classes)} (only there: {", ".join(lost) or "none"}; only here: '
      f'{", ".join(new) or "none"}): set classifier.labels and '
      'classifier.leave_out as they were'
    )


def _flat(tree: dict, prefix: str = '') -> dict:
  flat = {}
  for key, value in tree.items():
    if isinstance(value, dict):
      flat.update(_flat(value, f'{prefix}{key}.'))
    else:
      flat[prefix + key] = list(value) if isinstance(value, tuple) else value
  return flat
