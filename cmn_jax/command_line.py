"""--config for commands: a config file, its variant, and changed fields."""

import itertools
import re
import sys
from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

from cmn_jax.arguments import sentence_of

CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'Config, configs/NAME.py[:VARIANT].', lock_config=True
)
flags.mark_flag_as_required('config')
_OURS = Path(__file__).parent.parent / 'configs'


def parse(argv):
  """absl's parsing; a wrong flag or config is told in one sentence."""
  if not {'--help', '-h'}.isdisjoint(argv):
    app.usage(shorthelp=True, writeto_stdout=True)
    sys.exit()
  _check_file(argv)
  try:
    rest = flags.FLAGS(argv)
    CONFIG.value.seed  # noqa: B018  (a config that did not load says so here)
  except Exception as error:
    sys.exit(f'error: {sentence_of(error)}')
  if len(rest) > 1:
    sys.exit(f'error: unknown arguments {" ".join(rest[1:])}')
  return rest


def fields_given() -> frozenset[str]:
  """Dotted paths of the config fields that the command line names."""
  return frozenset(config_flags.get_override_values(flags.FLAGS['config']))


def _check_file(argv):
  """Says what could have been named where the config is no file."""
  for flag, after in itertools.pairwise([*argv, '']):
    match = re.fullmatch('--?config(?:=(.*))?', flag)
    if not match:
      continue
    name = (after if match[1] is None else match[1]).split(':')[0]
    path = Path(name)
    if path.is_file():
      continue
    folder = path if path.is_dir() else path.parent
    if not _configs_in(folder):
      folder = _OURS
    sys.exit(
      f'error: --config {name!r} is no file; {folder} has '
      f'{", ".join(_configs_in(folder))}: name one of them, or a file of your '
      'own'
    )


def _configs_in(folder):
  """Names of the files that define get_config."""
  return sorted(
    path.name
    for path in folder.glob('*.py')
    if b'def get_config(' in path.read_bytes()
  )
