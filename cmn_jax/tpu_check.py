"""Compiles a config's programs for a TPU that is not there, and tells of them.

  python -m cmn_jax.tpu_check --config configs/iu_xray.py:cmn \
    --topology v5e:2x4 --batch 128

The training step and the report writer, as main.py runs them, compiled by
libtpu on any x86 Linux machine (requirements-tpu-check.txt). Nothing runs:
the times are lower bounds from the chip's published peaks.
"""

import dataclasses
import json
import os
import re
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
import jax.numpy as jnp
from absl import app, flags
from jax.experimental import topologies
from ml_collections import ConfigDict

from cmn_jax import experiment
from cmn_jax.command_line import CONFIG, parse
from cmn_jax.compiled_program import Program
from cmn_jax.evaluation.writing import make_batch_writer
from cmn_jax.training.parallel import AXIS, Parallel
from cmn_jax.training.state import init_state, make_train_step, variable_shapes

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


@dataclasses.dataclass(frozen=True)
class Chip:
  """Published peaks of one chip.

  Attributes:
    flops: bfloat16 operations a second.
    bandwidth: bytes a second from and to HBM.
    hbm: bytes of HBM.
  """

  flops: float
  bandwidth: float
  hbm: float


# cloud.google.com/tpu/docs/{v4,v5e,v5p,v6e}, "Key chip specifications".
CHIPS = {
  'v4': Chip(275e12, 1200e9, 32 * 2**30),
  'v5e': Chip(197e12, 819e9, 16e9),
  'v5p': Chip(459e12, 2765e9, 95e9),
  'v6e': Chip(918e12, 1638e9, 32e9),
}


class CheckError(ValueError):
  """The check cannot be made as asked."""


class OutOfMemory(CheckError):
  """The program does not fit into the chip's HBM."""


@dataclasses.dataclass(frozen=True)
class Subject:
  """What is compiled, for which chips.

  Attributes:
    config: the run's.
    parallel: over the topology's chips.
    words: of the vocabulary, the 0 included.
  """

  config: ConfigDict
  parallel: Parallel
  words: int

  def train_step(self, studies: int):
    """The training step for a batch of `studies` over all chips."""
    config = self.config
    findings = _FINDINGS if config.train.findings_weight else 0
    model = experiment.make_model(config, self.words, AXIS, findings)
    optimizer = experiment.make_optimizer_of(config, steps_per_epoch=100)
    step = make_train_step(
      model,
      optimizer,
      config.seed,
      config.train.findings_weight,
      experiment.make_contrast(config),
    )
    variables = self._variables(model)
    state = jax.eval_shape(lambda v: init_state(v, optimizer), variables)
    batch = self._batch(studies)
    if findings:
      batch['findings_BxL'] = _array((studies, findings), jnp.float32)
    mapped = self.parallel.map_step(step, donate_state=True)
    return _compile(mapped, *self.parallel.describe(state, batch))

  def writer(self, studies: int):
    """The report writer for a batch of `studies` over all chips."""
    model = experiment.make_model(self.config, self.words, AXIS)
    write = make_batch_writer(model, experiment.make_decoding(self.config))
    batch = self._batch(studies)
    del batch['ids_BxT']
    return _compile(
      self.parallel.studies_program(write),
      *self.parallel.describe(self._variables(model), batch),
    )

  def _variables(self, model):
    data = self.config.data
    return variable_shapes(model, data.views, data.image_size)

  def _batch(self, studies: int) -> dict:
    data = self.config.data
    films = (studies, data.views, data.image_size, data.image_size)
    return {
      'images_BxIxHxW': _array(films, jnp.uint8),
      'ids_BxT': _array((studies, data.max_length), jnp.int32),
      'mask_B': _array((studies,), bool),
      'mask_BxI': _array((studies, data.views), bool),
    }


# Targets of a findings head; their number depends on the data, its cost not.
_FINDINGS = 14


def _array(shape, dtype):
  return jax.ShapeDtypeStruct(shape, dtype)


def _compile(mapped, state, batch):
  try:
    return mapped.lower(state, batch).compile()
  except jax.errors.JaxRuntimeError as error:
    if 'RESOURCE_EXHAUSTED' in str(error):
      raise OutOfMemory(_needs(str(error))) from None
    raise


def _needs(message: str) -> str:
  used = re.search(r'Used (\S+) of (\S+) hbm', message)
  if used is None:
    return 'the program does not fit into HBM'
  return f'the program needs {used.group(1)} of {used.group(2)} HBM'


def describe(compiled, chip: Chip, studies: int, chips: int) -> dict:
  """Cost of one run on one chip, and its lower bounds in time.

  Args:
    compiled: the program.
    chip: its peaks.
    studies: of a batch, over all chips.
    chips: their number.

  Returns:
    JSON-ready numbers: FLOP, bytes, seconds, HBM by kind, loops, collectives.
  """
  cost = compiled.cost_analysis()
  program = Program(compiled.as_text())
  memory = compiled.memory_analysis()
  hbm = {
    'arguments': memory.argument_size_in_bytes,
    'outputs': memory.output_size_in_bytes - memory.alias_size_in_bytes,
    'temporaries': memory.temp_size_in_bytes,
    'code': memory.generated_code_size_in_bytes,
  }
  hbm_bytes = program.hbm_bytes()
  share = studies / chips
  return {
    'studies_per_chip': share,
    'flop': cost['flops'],
    'flop_seconds': cost['flops'] / chip.flops,
    'bytes_accessed': cost['bytes accessed'],
    'bytes_accessed_per_study': cost['bytes accessed'] / share,
    'bytes_accessed_seconds': cost['bytes accessed'] / chip.bandwidth,
    'hbm_traffic': hbm_bytes,
    'hbm_traffic_per_study': hbm_bytes / share,
    'hbm_traffic_seconds': hbm_bytes / chip.bandwidth,
    'hbm': hbm,
    'hbm_share': sum(hbm.values()) / chip.hbm,
    'loops': [dataclasses.asdict(loop) for loop in program.loops()],
    'collectives': _grouped(program.collectives()),
  }


def _grouped(collectives) -> list[dict]:
  """Collectives of one kind and source family together."""
  groups = {}
  for one in collectives:
    where = 'gradients and losses'
    if re.search(r'/(bn\d|downsample_bn)/', one.source):
      where = 'batch statistics'
    group = groups.setdefault(
      (one.kind, where),
      {'kind': one.kind, 'of': where, 'count': 0, 'arrays': 0, 'bytes': 0},
    )
    group['count'] += 1
    group['arrays'] += one.arrays
    group['bytes'] += one.bytes
  return list(groups.values())


def largest_batch(subject: Subject, chips: int, guess: int) -> int:
  """The most studies per chip whose training step compiles into the HBM.

  Moves from the guess by quarters until one fits and one does not, then
  halves the gap until it is an eighth.
  """

  def fits(share: int) -> bool:
    try:
      subject.train_step(share * chips)
    except OutOfMemory as error:
      _tell(f'{share} studies per chip: {error}')
      return False
    _tell(f'{share} studies per chip fit')
    return True

  low, high, share = 0, None, max(guess, 1)
  while high is None or high - low > max(low // 8, 1):
    if fits(share):
      low = share
    else:
      high = share
    if high is None:
      share = max(low * 5 // 4, low + 1)
    elif not low:
      share = max(high * 4 // 5, 1)
      if high == 1:
        break
    else:
      share = (low + high) // 2
  return low


def guess_largest(step: dict, chip: Chip) -> int:
  """Studies per chip if temporaries grow as the batch does."""
  hbm = step['hbm']
  room = chip.hbm - hbm['arguments'] - hbm['outputs'] - hbm['code']
  return int(room / max(hbm['temporaries'], 1) * step['studies_per_chip'])


def check(
  config: ConfigDict, topology: str, batch: int, words: int, largest: bool
) -> dict:
  """Compiles both programs and describes them.

  Args:
    config: the run's.
    topology: chip and shape, such as 'v5e:2x4'.
    batch: studies over all chips.
    words: of the vocabulary, the 0 included.
    largest: also search the largest training batch that fits.

  Raises:
    CheckError: an unknown topology, no libtpu, or a batch that does not fit.
  """
  chip, devices = _open(topology)
  chips = len(devices)
  subject = Subject(config, Parallel('shard_map', devices), words)
  subject.parallel.check_batch_size(batch, '--batch')
  result = {
    'topology': topology,
    'chips': chips,
    'dtype': config.model.dtype,
    'remat': config.model.remat,
    'batch': batch,
    'versions': {'jax': jax.__version__},
    'chip': dataclasses.asdict(chip),
  }
  for name, build in (
    ('train_step', subject.train_step),
    ('write_reports', subject.writer),
  ):
    _tell(f'compiling {name} for {topology}')
    result[name] = describe(build(batch), chip, batch, chips)
  if largest:
    guess = guess_largest(result['train_step'], chip)
    result['largest_batch_per_chip'] = largest_batch(subject, chips, guess)
  return result


def _open(topology: str):
  """The chip's peaks and the chips of a topology."""
  name = topology.split(':')[0]
  if name not in CHIPS:
    raise CheckError(
      f'--topology {topology} names no known chip: expected one of '
      f'{", ".join(CHIPS)}, a colon and a shape, such as v5e:2x4'
    )
  try:
    import libtpu  # noqa: F401  (only to say in one sentence that it is absent)
  except ImportError:
    raise CheckError(
      "libtpu, the TPU's compiler, is not installed here: "
      'pip install -r requirements-tpu-check.txt'
    ) from None
  try:
    found = topologies.get_topology_desc(platform='tpu', topology_name=topology)
  except Exception as error:
    reason = str(error).split('\n')[0]
    raise CheckError(
      f'libtpu knows no topology {topology} ({reason}): try v5e:2x4, v4:2x2x1'
    ) from error
  return CHIPS[name], list(found.devices)


def _tell(line: str):
  print(line, file=sys.stderr)


def table(result: dict) -> str:
  """The numbers for people, per chip."""
  lines = [
    f'{result["topology"]}: {result["chips"]} chips, {result["dtype"]}, '
    f'{result["batch"]} studies in a batch'
  ]
  for name in ('train_step', 'write_reports'):
    lines += ['', f'{name}, per chip', *_rows(result[name])]
  lines += [
    '',
    'Times are lower bounds from published peaks; nothing has run. Bytes '
    'accessed and',
    'FLOP are the cost analysis of the compiler, which counts the pass of a '
    'loop once',
    "and the chip's fast memory, too; HBM traffic leaves that out and counts "
    'loops to',
    'their end.',
  ]
  if 'largest_batch_per_chip' in result:
    lines.append(
      f'Largest training batch that fits: {result["largest_batch_per_chip"]} '
      'studies per chip'
    )
  return '\n'.join(lines)


def _rows(cost: dict) -> list[str]:
  """One program's numbers."""
  rows = [
    f'  {"FLOP":16s}{cost["flop"] / 1e9:10.1f} GFLOP '
    f'{cost["flop_seconds"] * 1e3:9.2f} ms'
  ]
  for label, key in (
    ('bytes accessed', 'bytes_accessed'),
    ('HBM traffic', 'hbm_traffic'),
  ):
    rows.append(
      f'  {label:16s}{cost[key] / 1e9:10.2f} GB    '
      f'{cost[f"{key}_seconds"] * 1e3:9.2f} ms '
      f'{cost[f"{key}_per_study"] / 1e9:9.3f} GB a study'
    )
  for kind, size in cost['hbm'].items():
    rows.append(f'  HBM, {kind:11s}{size / 1e9:10.2f} GB')
  rows.append(
    f'  {"HBM, all":16s}{sum(cost["hbm"].values()) / 1e9:10.2f} GB '
    f'({cost["hbm_share"]:.0%} of the chip)'
  )
  for loop in cost['loops']:
    where = loop['source'].split('/')[-2:]
    rows.append(
      f'  loop of at most {loop["passes"]} passes, '
      f'{loop["hbm_bytes"] / 1e6:.1f} MB of HBM a pass ({"/".join(where)})'
    )
  for one in cost['collectives']:
    rows.append(
      f'  {one["count"]} x {one["kind"]} ({one["of"]}): {one["arrays"]} '
      f'arrays, {one["bytes"] / 1e6:.2f} MB'
    )
  return rows


def main(_):
  """Prints the table; what a person can mend is told in one sentence."""
  config = CONFIG.value
  batch = _BATCH.value or config.train.batch_size
  try:
    result = check(config, _TOPOLOGY.value, batch, _WORDS.value, _LARGEST.value)
  except ValueError as error:
    sys.exit(f'error: {error}')
  print(table(result))
  if _JSON.value:
    Path(_JSON.value).write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
  app.run(main, flags_parser=parse)
