"""Compiles a config's programs for a TPU that is not there; prints costs.

  python -m benchmarks.tpu --config configs/iu_xray.py:cmn \
    --topology v5e:2x4 --batch 128

The training step and the report writer, as main.py runs them, compiled by
libtpu on any x86 Linux machine (requirements-tpu-check.txt). Nothing runs:
the times are lower bounds from the chip's published peaks.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path

# Read when JAX starts. The compiler needs no TPU and must not look for one.
os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['TPU_SKIP_MDS_QUERY'] = '1'
os.environ.setdefault('TPU_STDERR_LOG_LEVEL', '3')
os.environ.setdefault('TPU_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TPU_ACCELERATOR_TYPE', 'v5litepod-8')
os.environ.setdefault('TPU_WORKER_HOSTNAMES', 'localhost')

# isort: split
import jax
from absl import app, flags
from ml_collections import ConfigDict

from benchmarks.tpu.chips import CheckError, open_topology
from benchmarks.tpu.costs import describe, guess_largest, table
from benchmarks.tpu.ekagen import EkagenSubject
from benchmarks.tpu.programs import Subject, largest_batch
from cmn_jax.command_line import CONFIG, parse
from cmn_jax.training.parallel import Parallel
from input_pipeline.errors import UserError

_TOPOLOGY = flags.DEFINE_string(
  'topology', None, 'Chip and shape, such as v5e:2x4.', required=True
)
_BATCH = flags.DEFINE_integer(
  'batch', None, 'Studies of a step over all chips; train.batch_size if absent.'
)
_WORDS = flags.DEFINE_integer(
  'words', 761, "Words of the vocabulary, the 0 included; 761 are IU X-Ray's."
)
_LARGEST = flags.DEFINE_boolean(
  'largest', True, 'Find the largest batch that fits: a few more compilations.'
)
_JSON = flags.DEFINE_string('json', None, 'Write the numbers to this file.')


def check(
  config: ConfigDict, topology: str, batch: int, words: int, largest: bool
) -> dict:
  """Compiles the programs and describes them.

  Args:
    config: the run's.
    topology: chip and shape, such as 'v5e:2x4'.
    batch: studies over all chips.
    words: of the vocabulary, the 0 included.
    largest: also search the largest training batch that fits.

  Raises:
    CheckError: an unknown topology, no libtpu, a batch that does not fit, or a
      config that writes no reports.
  """
  chip, devices = open_topology(topology)
  chips = len(devices)
  subject = _subject(config.task)(config, Parallel('shard_map', devices), words)
  parts = config.train.accumulate
  subject.parallel.check_batch_size(batch, '--batch', parts)
  result = {
    'topology': topology,
    'chips': chips,
    'dtype': config.model.dtype,
    'remat': config.model.remat,
    'batch': batch,
    'versions': {'jax': jax.__version__},
    'chip': dataclasses.asdict(chip),
    'programs': list(subject.programs()),
  }
  for name, build in subject.programs().items():
    _log(f'compiling {name} for {topology}')
    looped = parts if name.startswith('train_step') else 1
    result[name] = describe(build(batch), chip, batch, chips, looped)
  if largest:
    guess = guess_largest(result['train_step'], chip)
    result['largest_batch_per_chip'] = parts * largest_batch(
      subject, parts * chips, guess // parts, _log
    )
  return result


def _subject(task: str) -> type[Subject]:
  if task == 'ekagen':
    return EkagenSubject
  if task != 'report':
    raise CheckError(
      f'the task {task!r} writes no reports: name another config'
    )
  return Subject


def _log(line: str):
  print(line, file=sys.stderr)


def main(_):
  """Prints the table; what a person can mend is told in one sentence."""
  config = CONFIG.value
  batch = _BATCH.value or config.train.batch_size
  try:
    result = check(config, _TOPOLOGY.value, batch, _WORDS.value, _LARGEST.value)
  except UserError as error:
    sys.exit(f'error: {error}')
  print(table(result))
  if _JSON.value:
    Path(_JSON.value).write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
  app.run(main, flags_parser=parse)
