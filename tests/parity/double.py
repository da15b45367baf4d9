"""Training and reports in float64 on both sides: no rounding to be amplified.

  python -m tests.parity.double CHECKOUT small|published \
    none|separate|shared|reports

Prints the differences, or the rows of the reports, as JSON. A process of its
own: jax decides at its start whether there is float64, and our code's float32
is made to mean float64.
"""

import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np


def main(checkout: str, size: str, what: str):
  """Compares the training of one model by its memory, or its reports."""
  os.environ['JAX_PLATFORMS'] = 'cpu'
  import jax
  import jax.numpy as jnp

  jax.config.update('jax_enable_x64', True)
  jnp.float32 = jnp.float64  # Before our code reads it.
  import torch

  from benchmarks import authors
  from cmn_jax.interop.r2gencmn import POSITION_NAMES, r2gencmn_rows
  from cmn_jax.models import memory as memory_module
  from cmn_jax.models.layers import sinusoids
  from tests.parity import models, reports, steps, twin
  from tests.parity.kept import Kept

  # Ours looks at the bits of float32.
  memory_module.kth_largest = lambda scores, k: jax.lax.top_k(scores, k)[0][
    ..., -1:
  ]
  authors.install(Path(checkout))
  count, size = steps.DOUBLE_STEPS[size], models.SIZES[size]
  if what in ('shared', 'reports'):
    seed = reports.SEED if what == 'reports' else 4
    theirs, ours, variables = models.pair(size, 2, seed)
    table = r2gencmn_rows(size.shape)
    state = theirs.state_dict()
    # Tables of positions are float32 on both sides, and round differently.
    for name in POSITION_NAMES:
      state[name] = torch.from_numpy(sinusoids(*state[name].shape[1:]))[None]
    theirs.load_state_dict(state)
  else:
    theirs, ours, variables, table = steps.twin_pair(what)
    twin.Twin.positions = lambda self, x: torch.from_numpy(
      sinusoids(*x.shape[1:])
    )
  variables = jax.tree.map(np.float64, variables)
  with tempfile.TemporaryDirectory() as folder:
    kept = Kept(Path(folder), Path(checkout))
    if what == 'reports':
      asked = reports.asked(size, 2, literal=0)
      asked = dataclasses.replace(asked, name=f'{asked.name} in float64')
      rows = reports.compare_reports(
        theirs.double(), ours, variables, asked, reports.METHODS, kept
      )
      found = [dataclasses.asdict(row) for row in rows]
    else:
      found = _training(size, theirs, ours, variables, table, kept, count)
  json.dump(found, sys.stdout)


def _training(size, theirs, ours, variables, table, kept, count) -> dict:
  from tests.parity import models, steps, training

  batches = steps.training_batches(size)
  log_probs = models.worst_log_prob(
    theirs.double(), ours, variables, batches[0]
  )
  found = training.compare(theirs, ours, variables, table, batches, kept, count)
  assert found.zero_gradient < 1e-12, 'this was not float64'
  return {'log_probs': log_probs, **vars(found)}


if __name__ == '__main__':
  main(*sys.argv[1:])
