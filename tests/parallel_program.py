"""Run by parallel_test on four devices: one step, in six ways, to a file.

python -m tests.parallel_program OUT.npz
"""

import os
import sys

os.environ['JAX_PLATFORMS'] = 'cpu'
# Compiled with little care: six programs are compared with each other.
os.environ['XLA_FLAGS'] = (
  '--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0'
)

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cmn_jax.evaluation.writing import ReportWriter
from cmn_jax.generation import Decoding
from cmn_jax.models.alignment import AlignmentShape
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.training.contrastive import FORMS, Contrast, contrastive_loss
from cmn_jax.training.parallel import AXIS, KINDS, Parallel
from cmn_jax.training.state import init_state, make_train_step
from tests import small

STUDIES = 8


def batch():
  """Unequal token counts on each device, and padding on the last.

  The first and the sixth study have the same report.
  """
  data = small.batch(STUDIES)
  data['mask_B'][-1] = False
  data['ids_BxT'][0, 2:] = 0
  data['ids_BxT'][5] = data['ids_BxT'][0]
  return data


def contrastive_gradient(parallel: Parallel, form: str):
  """Gradient of the loss by weights that make unit vectors, and its value."""
  contrast = Contrast(1.0, form, 0.0, True)

  def step(weights_2x5x3, batch):
    def loss(weights_2x5x3):
      vectors = jnp.einsum('bsi,sif->sbf', batch['x_Bx2x5'], weights_2x5x3)
      films, texts = vectors / jnp.linalg.norm(vectors, axis=-1)[..., None]
      aligned = {'films_BxF': films, 'text_BxF': texts, 'temperature': 0.1}
      pairs = contrastive_loss(
        contrast, aligned, batch['ids_BxT'], batch['mask_B'], AXIS
      )
      return sum(x / jax.lax.psum(n, AXIS) for x, n in pairs.values())

    return jax.lax.psum(jax.value_and_grad(loss)(weights_2x5x3), AXIS)

  rng = np.random.default_rng(0)
  data = batch()
  data['x_Bx2x5'] = rng.normal(size=(STUDIES, 2, 5)).astype(np.float32)
  del data['images_BxIxHxW']
  weights = rng.normal(size=(2, 5, 3)).astype(np.float32)
  return parallel.map_step(step)(
    parallel.replicate(weights), parallel.split(data)
  )


def main(out: str):
  """Writes 'kind/devices/...' arrays: loss, parameters, statistics, ids."""
  shape = small.shape(alignment=AlignmentShape('report', 0.1))
  model = ReportGenerator(shape, AXIS)
  variables = small.variables(model, noise=0.05)
  optimizer = optax.sgd(0.1)
  results = {}
  for kind in KINDS:
    for devices in (1, 2, 4):
      parallel = Parallel(kind, jax.devices()[:devices])
      step = parallel.map_step(
        make_train_step(
          model,
          optimizer,
          seed=0,
          contrast=Contrast(1.0, 'infonce', 0.0, True),
        ),
        donate_state=True,
      )
      state = parallel.replicate(
        jax.tree.map(np.array, init_state(variables, optimizer))
      )
      name = f'{kind}/{devices}'
      for _ in range(2):
        state, metrics = step(state, parallel.split(batch()))
      for term, (total, count) in metrics.items():
        results[f'{name}/{term}'] = np.array([total, count])
      for form in FORMS:
        value, gradient = contrastive_gradient(parallel, form)
        results[f'{name}/{form}'] = np.asarray(value)
        results[f'{name}/{form}_gradient'] = np.asarray(gradient)
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
