"""What a config changes of the one that it was made from."""

import importlib

from ml_collections import ConfigDict

from configs import base


def defaults(config: ConfigDict) -> dict:
  """The config that `config.named` names, {field: value}.

  Empty where that file is not among those that come with the program.
  """
  file, _, variant = config.named.partition(':')
  try:
    module = importlib.import_module(f'configs.{file.removesuffix(".py")}')
    return flat(module.get_config(variant).to_dict())
  except (ImportError, ValueError):
    return {}


def changes(config: ConfigDict) -> dict:
  """What differs from the config that `config.named` names."""
  named = defaults(config)
  return {k: v for k, v in flat(config.to_dict()).items() if named.get(k) != v}


def completed(saved: dict) -> dict:
  """A saved config with the published value of each field that it lacks.

  That is what runs did before the field came; the config that it names may have
  changed it since.
  """
  whole = base.make_config('', 'base', {}).to_dict()
  for path, value in flat(saved).items():
    *sections, name = path.split('.')
    part = whole
    for section in sections:
      part = part.setdefault(section, {})
    part[name] = value
  return whole


def flat(tree: dict, prefix: str = '') -> dict:
  """A nested dict as {dotted path: value}, tuples as lists."""
  found = {}
  for key, value in tree.items():
    if isinstance(value, dict):
      found.update(flat(value, f'{prefix}{key}.'))
    else:
      found[prefix + key] = list(value) if isinstance(value, tuple) else value
  return found
