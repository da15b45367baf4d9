"""--config for commands: a config file, its variant, and changed fields."""

import re
import sys

from absl import flags
from ml_collections import config_flags

CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'Config, configs/NAME.py[:VARIANT].', lock_config=True
)
flags.mark_flag_as_required('config')


def parse(argv):
  """absl's parsing; a wrong flag or config is told in one sentence."""
  try:
    rest = flags.FLAGS(argv)
    CONFIG.value.seed  # noqa: B018  (a config that did not load says so here)
  except Exception as error:
    unknown = re.search(r"'(\w+)\\?'(?:.*mean \"(\w+)\")?", str(error))
    if isinstance(error, AttributeError | KeyError) and unknown:
      name, similar = unknown.groups()
      hint = f'; did you mean {similar!r}?' if similar else ''
      sys.exit(f'error: the config has no field {name!r}{hint}')
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if 'Error: ' in line or 'Errno' in line]
    sys.exit(f'error: {(said or lines)[-1 if said else 0]}')
  if len(rest) > 1:
    sys.exit(f'error: unknown arguments {" ".join(rest[1:])}')
  return rest
