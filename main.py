"""One config, one workdir: train, then evaluate the best checkpoint on test.

python main.py --config=configs/phantom.py --workdir=runs/phantom
"""

import re
import sys

from input_pipeline import tensorflow_cpu  # noqa: F401  (before clu's import)

# isort: split
from absl import app, flags, logging
from ml_collections import config_flags

from cmn_jax import compilation_cache
from cmn_jax.evaluate import evaluate
from cmn_jax.train import train
from cmn_jax.training.epochs import TrainingError

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'Config, configs/NAME.py[:VARIANT].', lock_config=True
)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of this run.')
_MODE = flags.DEFINE_enum(
  'mode', 'train', ['train', 'evaluate'], 'Train and evaluate, or the latter.'
)


def parse(argv):
  """absl's parsing; a wrong flag or config is told in one sentence."""
  try:
    rest = flags.FLAGS(argv)
    _CONFIG.value.seed  # noqa: B018  (a config that did not load says so here)
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


def main(_):
  """Runs the mode; what a person can mend is told in one sentence."""
  logging.set_verbosity(logging.WARNING)  # Orbax tells of every file it opens
  compilation_cache.enable()
  try:
    if _MODE.value == 'train':
      train(_CONFIG.value, _WORKDIR.value)
    evaluate(_CONFIG.value, _WORKDIR.value)
  except (ValueError, TrainingError) as error:
    sys.exit(f'error: {error}')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  app.run(main, flags_parser=parse)
