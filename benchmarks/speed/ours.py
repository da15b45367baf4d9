"""Our side of each workload; all but films on disk with jax, flax and optax."""

import functools
import hashlib
import itertools
import time
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed.flops import matmul_flops
from benchmarks.speed.machine import machine, matmul_peak
from benchmarks.speed.workloads import (
  END_BIAS,
  LENGTH,
  OPTIM,
  SEED,
  VIEWS,
  Plan,
  features,
  training_batch,
)
from cmn_jax.decoding.beam_search import beam_search
from cmn_jax.decoding.generate import Decoding, make_writer
from cmn_jax.interop.r2gencmn import from_r2gencmn, to_r2gencmn
from cmn_jax.losses.report import ReportObjective
from cmn_jax.models import memory
from cmn_jax.models.images import normalise_images
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.training import host_memory
from cmn_jax.training.optimizer import make_optimizer
from cmn_jax.training.parallel import AXIS, Parallel
from cmn_jax.training.state import init_state, init_variables, study_batch
from cmn_jax.training.step import make_train_step


def _kth_of(top, scores, k: int):
  return top(scores, k)[0][..., -1:]


# The K-th largest score of the memory; the last one is not exact.
SEARCHES = {
  'threshold': memory.kth_largest,
  'top_k': functools.partial(_kth_of, jax.lax.top_k),
  'approx_max_k': functools.partial(_kth_of, jax.lax.approx_max_k),
}


class Ours:
  """The workloads by name; each gives a function that runs it.

  Attributes:
    compile_seconds: what compiling the last workload took.
    flops: of its matrix products, None where they are not counted.
    warm_up: what warms up instead of a whole run, or None.
  """

  def __init__(self, plan: Plan):
    self._plan = plan
    self.compile_seconds = 0.0
    self.flops = self.warm_up = None

  def _model(
    self, vocabulary: int | None = None, axis: str | None = None
  ) -> ReportGenerator:
    return ReportGenerator(self._plan.model(vocabulary), axis)

  def prepare(self) -> dict:
    """Draws the weights of both sides; says what the machine is."""
    model = self._model()
    arrays = to_r2gencmn(model.config, self._drawn(model), {})
    np.savez(self._plan.weights, **arrays)
    return self._facts()

  def _facts(self) -> dict:
    """Of the machine."""
    peak = matmul_peak(self._plan.model().precision)
    return machine() | {'matmul_peak_flops': peak}

  def _drawn(self, model: ReportGenerator):
    """Random weights that never end a report."""
    blank = study_batch(VIEWS, self._plan.image_size, LENGTH)
    variables = init_variables(model, SEED, blank)
    logits = variables['params']['logits']
    logits['bias'] = logits['bias'].at[0].set(END_BIAS)
    return variables

  def _variables(self):
    with np.load(self._plan.weights) as arrays:
      return jax.device_put(
        from_r2gencmn(self._model(), dict(arrays), 'the weights')
      )

  def _compile(self, jitted, *arguments, while_trips: int = 1):
    """The compiled function; notes the time and counts the products."""
    begin = time.perf_counter()
    compiled = jitted.lower(*arguments).compile()
    self.compile_seconds = time.perf_counter() - begin
    # As a training run does it with its step.
    host_memory.set_aside(compiled.memory_analysis().temp_size_in_bytes)
    self.flops = matmul_flops(jitted, *arguments, while_trips=while_trips)
    return compiled

  def memory(self):
    """Gradients of the memory's arrays and of the queries."""
    params = self._variables()['params']
    params = {name: params[name] for name in ('memory', 'memory_query')}
    c = self._plan.model()
    query = memory.MemoryQuery(
      c.width, c.heads, c.memory_top_k, c.memory_dropout, c.precision
    )
    x_BxQxD = features(self._plan, c.width)
    out_BxQxD = np.random.default_rng(3).normal(size=x_BxQxD.shape)
    out_BxQxD = jnp.asarray(out_BxQxD, jnp.float32)

    def gradients(params, x, key):
      def loss(params, x):
        own = {'params': params['memory_query']}
        y = query.apply(own, x, params['memory'], True, rngs={'dropout': key})
        return jnp.sum(y * out_BxQxD)

      return jax.grad(loss, (0, 1))(params, x)

    arguments = params, jnp.asarray(x_BxQxD), jax.random.key(0)
    search = SEARCHES[self._plan.search]
    with mock.patch.object(memory, 'kth_largest', search):
      run = self._compile(jax.jit(gradients), *arguments)
    return lambda: jax.block_until_ready(run(*arguments)) and None

  def encoder(self):
    """Feature maps of one batch."""
    model, batch = self._model(), training_batch(self._plan)
    images = normalise_images(batch['images_BxIxHxW'])

    def encode(variables, images, mask_B):
      return model.apply(
        variables, images, mask_B, method=ReportGenerator.visual_features
      )

    arguments = self._variables(), images, batch['mask_B']
    run = self._compile(jax.jit(encode), *arguments)
    return lambda: jax.block_until_ready(run(*arguments)) and None

  def train_step(self):
    """A step on one batch, again and again."""
    step, state, batch = self._step()
    held = [state]

    def run():
      held[0], metrics = step(held[0], batch)
      jax.block_until_ready(metrics)

    return run

  def _step(self):
    """The compiled step as a run maps it, its state and its batch."""
    objective = ReportObjective(self._model(axis=AXIS))
    optimizer = make_optimizer(OPTIM, steps_per_epoch=100, epochs=100)
    parallel = Parallel(self._plan.parallel, jax.devices()[:1])
    step = make_train_step(objective, optimizer, SEED, AXIS)
    mapped = parallel.map_step(step, donate_state=True)
    state = parallel.replicate(init_state(self._variables(), optimizer))
    batch = parallel.split(training_batch(self._plan))
    return self._compile(mapped, state, batch), state, batch

  def digest(self):
    """Three steps from the start; gives the parameters' digest."""
    step, state, batch = self._step()
    start = jax.device_get(state)

    def run():
      state = jax.device_put(start, jax.tree.map(lambda x: x.sharding, held[0]))
      for _ in range(3):
        state, _ = step(state, batch)
      arrays = jax.tree.leaves(jax.device_get(state.params))
      return hashlib.sha256(b''.join(x.tobytes() for x in arrays)).hexdigest()

    held = [state]
    return run

  def write_reports(self):
    """Words of one batch from its patches."""
    plan, model = self._plan, self._model()
    variables = self._variables()
    width = variables['params']['patch_embed']['kernel'].shape[0]
    features_BxPxF = jnp.asarray(features(plan, width))

    def write(module: ReportGenerator, features_BxPxF):
      patches, mask = module.encode_features(features_BxPxF)
      shared, cache = module.start_decoding(patches, mask, plan.beam)

      def step(ids_BxK, position, cache):
        return module.decode_step(ids_BxK, position, cache, shared)[:2]

      mask_B = jnp.ones(plan.batch, bool)
      return beam_search(step, cache, mask_B, plan.beam, LENGTH)[0]

    arguments = variables, features_BxPxF
    jitted = jax.jit(lambda v, x: model.apply(v, x, method=write))
    run = self._compile(jitted, *arguments, while_trips=LENGTH)
    return lambda: np.asarray(run(*arguments)).tolist()

  def test_split(self):
    """Films on disk to text, batch by batch, as `evaluate` does it."""
    from benchmarks.speed import films
    from input_pipeline.batches import eval_batches

    plan, data = self._plan, films.open_films(self._plan)
    model = self._model(data.tokenizer.vocabulary)
    variables = self._drawn(model)
    images = training_batch(plan)['images_BxIxHxW']
    mask_B = np.ones(plan.batch, bool)
    decoding = Decoding(
      'beam', plan.beam, temperature=1.0, top_p=1.0, seed=SEED
    )
    write = self._compile(
      jax.jit(make_writer(model, decoding)),
      variables,
      images,
      mask_B,
      while_trips=LENGTH,
    )
    count, _ = plan.split_share('ours')
    self.flops *= count

    def run(count=count):
      split = itertools.chain.from_iterable(
        eval_batches(data, 'test', batch_size=plan.batch)
        for _ in itertools.count()
      )
      for batch in itertools.islice(split, count):
        ids_BxT, _ = write(variables, batch['images_BxIxHxW'], mask_B)
        for ids in np.asarray(ids_BxT):
          data.text_of(ids)

    self.warm_up = lambda: run(1)
    return run

  def input(self):
    """One epoch of training films; gives the batches that it had."""
    from benchmarks.speed import films

    data = films.open_films(self._plan)
    steps = len(data.studies['train']) // self._plan.batch
    self.compile_seconds, self.flops = 0.0, None

    def run():
      for _ in itertools.islice(films.train_batches(data, self._plan), steps):
        pass
      return steps

    return run
