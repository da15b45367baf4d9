"""One config, one workdir: train, then evaluate the best checkpoint on test.

python main.py --config=configs/phantom.py --workdir=runs/phantom
"""

import sys

from input_pipeline import tensorflow_cpu  # noqa: F401  (before clu's import)

# isort: split
from absl import app, flags, logging
from ml_collections import config_flags

from cmn_jax.evaluate import evaluate
from cmn_jax.train import TrainingError, train

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'Config, configs/NAME.py[:VARIANT].', lock_config=True
)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of this run.')
_MODE = flags.DEFINE_enum(
  'mode', 'train', ['train', 'evaluate'], 'Train and evaluate, or the latter.'
)


def main(argv):
  """Runs the mode; what a person can mend is told in one sentence."""
  if len(argv) > 1:
    sys.exit(f'error: unknown arguments {" ".join(argv[1:])}')
  logging.set_verbosity(logging.INFO)
  logging.get_absl_handler().setFormatter(None)
  logging.set_stderrthreshold('warning')
  try:
    if _MODE.value == 'train':
      train(_CONFIG.value, _WORKDIR.value)
    evaluate(_CONFIG.value, _WORKDIR.value)
  except (ValueError, TrainingError) as error:
    sys.exit(f'error: {error}')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  app.run(main)
