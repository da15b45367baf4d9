"""A config: its variants, and all fields with their published values.

The fields are in fields/: data.py has what is read, network.py what is trained,
training.py how, and what is written and evaluated; ekagen.py those of EKAGen.
"""

from ml_collections import ConfigDict

from configs import ekagen
from configs.fields import data, network, training
from configs.recipes import RECIPES

# Task of each variant, and what it changes.
VARIANTS = {
  # R2GenCMN without memory.
  'base': ('report', {'model.memory': 'none'}),
  # One memory for films, one for words.
  'mem': ('report', {'model.memory': 'separate'}),
  # One memory that both share: the published model.
  'cmn': ('report', {'model.memory': 'shared'}),
  # cmn, and films and reports aligned by a contrastive loss.
  'proposed': (
    'report',
    {'model.memory': 'shared', 'alignment.weight': 1.0},
  ),
  # A classifier on a trained report model, with focal loss and without.
  'classifier': ('classify', {'classifier.focal_weight': 1.0}),
  'classifier_ce': ('classify', {}),
  # The training report that similar studies agree on; no step is taken.
  'consensus': (
    'consensus',
    {'train.epochs': 0, 'train.select_by': 'micro_f1'},
  ),
  # Classifiers of single films, whose labels and places EKAGen reads.
  'ekagen_diagnosis': ('diagnose', {'model.encoder': 'swin_t'}),
  'ekagen_locator': ('diagnose', {'model.encoder': 'resnet34'}),
  # Captioners with its knowledge.
  **ekagen.VARIANTS,
}


def make_config(
  file: str, variant: str, changes: dict, variants: dict | None = None
) -> ConfigDict:
  """The config of a variant.

  Args:
    file: the config file that asks, such as 'phantom.py'.
    variant: a key of `variants`.
    changes: field to value, of all variants of that file.
    variants: name to (task, changes); VARIANTS where None.

  Raises:
    ValueError: no such variant.
  """
  variants = VARIANTS if variants is None else variants
  if variant not in variants:
    raise ValueError(
      f'no variant {variant!r} of this config; choose from '
      f'{", ".join(variants)}'
    )
  task, own = variants[variant]
  config = ConfigDict(
    {
      # What is trained: a key of cmn_jax.tasks.TASKS. Not to be changed.
      'task': task,
      # The file and the variant that this config was made from; likewise.
      'named': f'{file}:{variant}',
      # The row's name in tables: free text.
      'name': variant,
      # Of parameters, batch order, crops and dropout.
      'seed': 7580,
      # Runs with seed, seed + 1, ..., each in its folder seed_N of the workdir;
      # 1 is a single run, in the workdir itself.
      'seeds': 1,
      'data': data.data(),
      'model': network.model(),
      'alignment': network.alignment(),
      'classifier': network.classifier(),
      'consensus': network.consensus(),
      'ekagen': ekagen.section(),
      'optim': training.optim(),
      'train': training.train(),
      'decode': training.decode(),
      'eval': training.evaluation(),
    }
  )
  config.update_from_flattened_dict(changes)
  config.update_from_flattened_dict(RECIPES.get(task, {}))
  config.update_from_flattened_dict(own)
  return config
