"""EKAGen's captioner in float64 on both sides: no rounding in the way.

  python -m tests.parity.ekagen_double CHECKOUT small|published

Prints the rows as JSON. A process of its own: jax decides at its start whether
there is float64, and our code's float32 is made to mean float64.
"""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.parity.results import Row, at_most

LIMIT = 1e-6


def double(checkout: Path, name: str) -> list[Row]:
  """Log-probabilities and gradients, in a process of their own."""
  program = [sys.executable, '-m', 'tests.parity.ekagen_double']
  done = subprocess.run(
    [*program, str(checkout), name], stdout=subprocess.PIPE, text=True
  )
  if done.returncode:
    raise SystemExit(f'error: {" ".join(program)} failed')
  return [Row(**row) for row in json.loads(done.stdout)]


def main(checkout: str, name: str):
  """Compares captioners of one size."""
  os.environ['JAX_PLATFORMS'] = 'cpu'
  import jax
  import jax.numpy as jnp

  jax.config.update('jax_enable_x64', True)
  jnp.float32 = jnp.float64  # Before our code reads it.
  import numpy as np
  import torch

  from benchmarks import ekagen_authors as authors
  from cmn_jax.models.ekagen_layers import places
  from tests.parity import ekagen_checks as of

  authors.install(Path(checkout))
  theirs, model, variables, knowledge = of.pair(name)
  theirs.double()

  class Places(torch.nn.Module):
    """Ours: the tables are float32 on both sides, and round differently."""

    def forward(self, nested):
      b, _, h, w = nested.tensors.shape
      table = torch.from_numpy(places(h, w, model.shape.width)).T
      return table.reshape(1, -1, h, w).expand(b, -1, -1, -1)

  theirs.backbone[1] = Places()
  variables, knowledge = jax.tree.map(np.float64, (variables, knowledge))
  films, ids, teacher = of.gradient_inputs(name)
  asked = np.float64(films), ids, np.float64(teacher)
  want = of.their_log_probs(theirs, *asked[:2])
  got = of.our_log_probs(model)(variables, *asked[:2], knowledge[: len(films)])
  assert got.dtype == np.float64
  errors = of.gradient_errors(
    of.our_gradients(model, variables, knowledge, *asked),
    of.their_gradients(theirs, *asked),
  )
  on = f'{name} size in float64, {len(films)} studies'
  rows = [
    at_most('log-probabilities', on, np.abs(got - want).max(), LIMIT),
    at_most(
      f'gradients, worst of {len(errors)}', on, max(errors.values()), LIMIT
    ),
  ]
  json.dump([dataclasses.asdict(row) for row in rows], sys.stdout)


if __name__ == '__main__':
  main(*sys.argv[1:])
