"""One config, one workdir: train, then evaluate the best checkpoint on test.

python main.py --config=configs/phantom.py:cmn --workdir=runs/phantom

--config=FILE[:VARIANT] is a file of configs/, or one's own;
--config.SECTION.FIELD=VALUE changes one of its fields, such as
--config.train.batch_size=32. configs/fields/ says what each is.

On several hosts: the same command on each, with --distributed. TPU pods find
each other; elsewhere add --coordinator=HOST:PORT --processes=N --process=I.
"""

import os

from absl import app, flags, logging

from cmn_jax.command_line import CONFIG, fields_given, parse
from cmn_jax.training import goodput
from input_pipeline import stopping

_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of this run.')
_DETERMINISTIC = flags.DEFINE_bool(
  'deterministic', False, 'The same bits each time on a GPU too, at half speed.'
)
_MODE = flags.DEFINE_enum(
  'mode', 'train', ['train', 'evaluate'], 'Train and evaluate, or the latter.'
)
_DISTRIBUTED = flags.DEFINE_bool(
  'distributed', False, 'One of several processes that train as one.'
)
_COORDINATOR = flags.DEFINE_string(
  'coordinator', None, 'HOST:PORT of the first process; TPU pods need none.'
)
_PROCESSES = flags.DEFINE_integer('processes', None, 'How many there are.')
_PROCESS = flags.DEFINE_integer('process', None, 'Which this is, from 0.')


def main(_):
  """Runs the mode; what a person can mend is told in one sentence."""
  stopping.install()
  # Orbax logs every file it opens, and errors that it raises as well.
  logging.set_verbosity(logging.FATAL)
  # After the arguments, as in every verb: --help waits for no JAX.
  from cmn_jax import process
  from cmn_jax.evaluate import evaluate
  from cmn_jax.opening import runs_of
  from cmn_jax.train import train
  from cmn_jax.training import distributed

  process.set_up()
  if _DETERMINISTIC.value:  # Read when JAX first asks for its devices.
    given = os.environ.get('XLA_FLAGS', '')
    os.environ['XLA_FLAGS'] = f'{given} --xla_gpu_deterministic_ops=true'
  job = _COORDINATOR.value, _PROCESSES.value, _PROCESS.value
  with process.told_in_one_sentence():
    if _DISTRIBUTED.value or any(x is not None for x in job):
      distributed.start(*job)
    with distributed.together():
      for config, workdir in runs_of(CONFIG.value, _WORKDIR.value):
        if _MODE.value == 'train':
          train(config, workdir)
        with goodput.spent('evaluation'):
          evaluate(config, workdir, fields_given())
    distributed.log(goodput.summary())


if __name__ == '__main__':
  flags.mark_flag_as_required('workdir')
  app.run(main, flags_parser=parse)
