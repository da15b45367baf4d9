"""Run by parallel_test on eight devices: two steps, in six ways, to a file.

python -m tests.made.parallel_program OUT.npz
"""

import itertools
import os
import sys

from tests.made.quickly_compiled import QUICKLY_COMPILED

if __name__ == '__main__':
  os.environ['JAX_PLATFORMS'] = 'cpu'
  os.environ['XLA_FLAGS'] = ' '.join(
    ['--xla_force_host_platform_device_count=8', *QUICKLY_COMPILED]
  )

# isort: split
import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.compiled_program import Program
from cmn_jax.decoding.generate import Decoding, make_writer
from cmn_jax.losses.contrastive import contrastive_loss
from cmn_jax.losses.report import ReportObjective
from cmn_jax.models.alignment import FORMS, AlignmentConfig
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.training.parallel import AXIS, KINDS, Parallel
from cmn_jax.training.state import init_state
from cmn_jax.training.step import make_train_step
from cmn_jax.training.studies import OverStudies
from tests.made import small

STUDIES = 8
# Alone, several studies each, and a study each: one of them is padding.
DEVICES = (1, 2, 8)


def batch():
  """Unequal token counts on each device, and padding on the last.

  The first and the sixth study have the same report.
  """
  data = small.batch(STUDIES)
  data['mask_B'][-1] = False
  data['ids_BxT'][0, 2:] = 0
  data['ids_BxT'][5] = data['ids_BxT'][0]
  return data


def contrastive_gradients(parallel: Parallel) -> dict:
  """By form, the loss and its gradient by weights that make unit vectors."""

  def step(weights_2x5x3, batch):
    def loss(weights_2x5x3, form):
      vectors = jnp.einsum('bsi,sif->sbf', batch['x_Bx2x5'], weights_2x5x3)
      films, texts = vectors / jnp.linalg.norm(vectors, axis=-1)[..., None]
      aligned = {'films_BxF': films, 'text_BxF': texts, 'temperature': 0.1}
      contrast = AlignmentConfig(form=form)
      pairs = contrastive_loss(
        contrast, aligned, batch['ids_BxT'], batch['mask_B'], AXIS
      )
      return sum(x / jax.lax.psum(n, AXIS) for x, n in pairs.values())

    found = {f: jax.value_and_grad(loss)(weights_2x5x3, f) for f in FORMS}
    return jax.lax.psum(found, AXIS)

  rng = np.random.default_rng(0)
  data = batch()
  data['x_Bx2x5'] = rng.normal(size=(STUDIES, 2, 5)).astype(np.float32)
  del data['images_BxIxHxW']
  weights = rng.normal(size=(2, 5, 3)).astype(np.float32)
  return parallel.map_step(step)(
    parallel.replicate(weights), parallel.split(data)
  )


def make_model() -> ReportGenerator:
  """With batch statistics of two blocks, and learned alignment."""
  alignment = AlignmentConfig(form='infonce', temperature=0.1)
  return ReportGenerator(small.tiny(alignment=alignment), AXIS)


def collectives(program) -> dict[str, np.ndarray]:
  """Of a compiled step: each kind's (exchanges, bytes)."""
  found = {}
  for one in Program(program.as_text()).collectives():
    count, size = found.get(one.kind, (0, 0))
    found[one.kind] = (count + 1, size + one.bytes)
  return {kind: np.array(pair) for kind, pair in found.items()}


def train(model: ReportGenerator, variables, parallel: Parallel):
  """Two steps: the variables after them, the metrics, and the collectives."""
  optimizer = optax.sgd(0.1)
  objective = ReportObjective(model, AlignmentConfig(form='infonce'))
  step = parallel.map_step(
    make_train_step(objective, optimizer, 0, AXIS), donate_state=True
  )
  state = parallel.replicate(
    jax.tree.map(np.array, init_state(variables, optimizer))
  )
  compiled = step.lower(state, parallel.split(batch())).compile()
  for _ in range(2):
    state, metrics = compiled(state, parallel.split(batch()))
  return state.variables, metrics, collectives(compiled)


def write(model: ReportGenerator, variables, parallel: Parallel):
  """Ids of the reports of all studies."""
  write = make_writer(model, Decoding('greedy', 1, 1.0, 1.0, 0))
  over = OverStudies(
    lambda variables, batch: {
      'ids': write(variables, batch['images_BxIxHxW'], batch['mask_B'])[0]
    },
    parallel,
  )
  data = {**batch(), 'study_B': np.arange(STUDIES)}
  data['mask_B'][:] = True
  return over(parallel.replicate(variables), [data], STUDIES).arrays['ids']


def main(out: str):
  """Writes 'kind/devices/...' arrays: loss, parameters, statistics, ids."""
  model = make_model()
  variables = small.variables(model, noise=0.05)
  results = {}
  for kind, devices in itertools.product(KINDS, DEVICES):
    parallel = Parallel(kind, jax.devices()[:devices])
    name = f'{kind}/{devices}'
    trained, metrics, exchanged = train(model, variables, parallel)
    for path, x in flax.traverse_util.flatten_dict(trained, sep='/').items():
      results[f'{name}/{path}'] = np.asarray(x)
    for term, (total, count) in metrics.items():
      results[f'{name}/{term}'] = np.array([total, count])
    for form, (value, gradient) in contrastive_gradients(parallel).items():
      results[f'{name}/{form}'] = np.asarray(value)
      results[f'{name}/{form}_gradient'] = np.asarray(gradient)
    if devices in (DEVICES[0], DEVICES[-1]):
      results[f'{name}/ids'] = write(model, variables, parallel)
    for what, pair in exchanged.items():
      results[f'exchanged/{name}/{what}'] = pair
  np.savez(out, **results)


if __name__ == '__main__':
  main(sys.argv[1])
