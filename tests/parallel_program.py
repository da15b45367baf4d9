"""Run by parallel_test on four devices: one step, in six ways, to a file.

python -m tests.parallel_program OUT.npz
"""

import os
import sys

os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count=4'

import flax
import jax
import numpy as np
import optax

from cmn_jax.evaluation.writing import ReportWriter
from cmn_jax.generation import Decoding
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.training.parallel import AXIS, KINDS, Parallel
from cmn_jax.training.state import init_state, make_train_step
from tests import small

STUDIES = 8


def batch():
  """Unequal token counts on each device, and padding on the last."""
  data = small.batch(STUDIES)
  data['mask_B'][-1] = False
  data['ids_BxT'][0, 2:] = 0
  return data


def main(out: str):
  """Writes 'kind/devices/...' arrays: loss, parameters, statistics, ids."""
  model = ReportGenerator(small.shape(), AXIS)
  variables = small.variables(model, noise=0.05)
  optimizer = optax.sgd(0.1)
  results = {}
  for kind in KINDS:
    for devices in (1, 2, 4):
      parallel = Parallel(kind, jax.devices()[:devices])
      step = parallel.map_step(
        make_train_step(model, optimizer, seed=0), donate_state=True
      )
      state = parallel.replicate(
        jax.tree.map(np.array, init_state(variables, optimizer))
      )
      name = f'{kind}/{devices}'
      for _ in range(2):
        state, metrics = step(state, parallel.split(batch()))
      total, count = metrics['loss']
      results[f'{name}/loss'] = np.array([total, count])
      for path, x in flax.traverse_util.flatten_dict(
        state.variables, sep='/'
      ).items():
        results[f'{name}/{path}'] = np.asarray(x)
      writer = ReportWriter(model, Decoding('beam', 2, 1.0, 1.0, 0), parallel)
      data = {**batch(), 'study_B': np.arange(STUDIES)}
      data['mask_B'][:] = True
      written = writer.write(parallel.replicate(variables), [data], STUDIES)
      results[f'{name}/ids'] = written.ids_SxT
  np.savez(out, **results)


if __name__ == '__main__':
  main(sys.argv[1])
