"""One config, one workdir: train, then evaluate the best checkpoint on test.

python main.py --config=configs/phantom.py --workdir=runs/phantom
"""

import sys

from input_pipeline import tensorflow_cpu  # noqa: F401  (before clu's import)

# isort: split
from absl import app, flags, logging

from cmn_jax import compilation_cache
from cmn_jax.command_line import CONFIG, parse
from cmn_jax.evaluate import evaluate
from cmn_jax.evaluate_classifier import evaluate_classifier
from cmn_jax.experiment import runs_of
from cmn_jax.train import train
from cmn_jax.train_classifier import train_classifier
from cmn_jax.training.epochs import TrainingError

_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of this run.')
_MODE = flags.DEFINE_enum(
  'mode', 'train', ['train', 'evaluate'], 'Train and evaluate, or the latter.'
)


def main(_):
  """Runs the mode; what a person can mend is told in one sentence."""
  logging.set_verbosity(logging.WARNING)  # Orbax tells of every file it opens
  compilation_cache.enable()
  try:
    verbs = train, evaluate
    if CONFIG.value.variant.startswith('classifier'):
      verbs = train_classifier, evaluate_classifier
    for config, workdir in runs_of(CONFIG.value, _WORKDIR.value):
      for verb in verbs if _MODE.value == 'train' else verbs[1:]:
        verb(config, workdir)
  except (ValueError, TrainingError) as error:
    sys.exit(f'error: {error}')


if __name__ == '__main__':
  flags.mark_flag_as_required('workdir')
  app.run(main, flags_parser=parse)
