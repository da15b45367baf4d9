"""What pmap and shard_map cost a step, beside its arithmetic.

  python -m benchmarks.parallel [--rounds 200]

A step of the demo's state and batch that computes next to nothing: each array
of the state is handed on, and one number is summed over the devices. What is
left is what it takes to place a batch and to start a program on 1, 2 and 8
simulated CPU devices, by each form, and by jax.jit on one. Give it an idle
machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from benchmarks.arguments import command, count

DEVICES = (1, 2, 8)
_STUDIES, _WORDS, _WARM = 8, 130, 10


def measure(devices: int, rounds: int) -> list[dict]:
  """Rows of one number of devices; of this process, which has as many.

  Args:
    devices: simulated ones.
    rounds: steps that are timed, of which the median counts.
  """
  import jax

  from cmn_jax.training.parallel import AXIS, KINDS, Parallel
  from cmn_jax.training.studies import place

  def step(axis):
    def run(state, batch):
      seen = batch['mask_B'].sum()
      seen = seen if axis is None else jax.lax.psum(seen, axis)
      return state.replace(step=state.step + 1), seen

    return run

  state, batch = _demo()
  rows = []
  for kind in KINDS:
    parallel = Parallel(kind)
    row = _row(
      kind,
      parallel.map_step(step(AXIS), donate_state=True),
      parallel.replicate(state),
      lambda parallel=parallel: place(parallel, batch),
      rounds,
    )
    rows.append({'devices': devices, **row})
  if devices == 1:
    alone = jax.jit(step(None), donate_argnums=0)
    state = jax.device_put(state)
    row = _row('jit', alone, state, lambda: jax.device_put(batch), rounds)
    rows.append({'devices': devices, **row})
  return rows


def _row(
  kind: str, step: Callable, state, placed: Callable, rounds: int
) -> dict:
  """Medians, in microseconds: placing a batch, and a step to its end."""
  import jax

  placing, calling = [], []
  for _ in range(_WARM + rounds):
    begin = time.perf_counter()
    batch = jax.block_until_ready(placed())
    middle = time.perf_counter()
    state, _ = jax.block_until_ready(step(state, batch))
    placing.append(middle - begin)
    calling.append(time.perf_counter() - middle)
  return {
    'form': kind,
    'arrays': len(jax.tree.leaves((state, batch))),
    'place': 1e6 * statistics.median(placing[_WARM:]),
    'step': 1e6 * statistics.median(calling[_WARM:]),
  }


def _demo():
  """The state before the demo's first step, and a batch of it."""
  import jax
  import numpy as np

  from cmn_jax.models.config import ModelConfig
  from cmn_jax.models.report_generator import ReportGenerator
  from cmn_jax.training.optimizer import OptimConfig, make_optimizer
  from cmn_jax.training.state import init_state, study_batch, variable_shapes
  from configs import phantom

  config = phantom.get_config('cmn')
  c = config.data
  one = study_batch(c.views, c.image_size, c.max_length)
  model = ReportGenerator(ModelConfig.of(config, _WORDS))
  variables = jax.tree.map(
    lambda x: np.zeros(x.shape, x.dtype), variable_shapes(model, one)
  )
  optimizer = make_optimizer(OptimConfig(**config.optim), 1, 1)
  batch = {k: np.repeat(np.asarray(x), _STUDIES, 0) for k, x in one.items()}
  # On the host: what is donated is gone for the next form.
  return jax.tree.map(np.asarray, init_state(variables, optimizer)), batch


def main(argv: list[str] | None = None) -> None:
  """Measures each number of devices in a process of its own."""
  parser = command('parallel', __doc__)
  parser.add_argument('--rounds', type=count, default=200, help='steps')
  parser.add_argument('--devices', type=int, help=argparse.SUPPRESS)
  args = parser.parse_args(argv)
  if args.devices:
    print(json.dumps(measure(args.devices, args.rounds)))
    return
  again = [sys.executable, '-m', 'benchmarks.parallel']
  print('| devices | form | arrays | place a batch, us | start a step, us |')
  print('| ---: | --- | ---: | ---: | ---: |')
  for devices in DEVICES:
    flag = f'--xla_force_host_platform_device_count={devices}'
    done = subprocess.run(
      [*again, f'--devices={devices}', f'--rounds={args.rounds}'],
      env={**os.environ, 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': flag},
      stdout=subprocess.PIPE,
      text=True,
      check=True,
    )
    for row in json.loads(done.stdout):
      print(
        f'| {row["devices"]} | {row["form"]} | {row["arrays"]} | '
        f'{row["place"]:.0f} | {row["step"]:.0f} |',
        flush=True,
      )


if __name__ == '__main__':
  main()
