"""Our side of each work."""

import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
from cmn_jax.models.films import normalise_films

from benchmarks.speed.flops import matmul_flops
from benchmarks.speed.machine import machine, matmul_peak
from benchmarks.speed.works import END_BIAS, Plan, features, training_batch
from cmn_jax import experiment
from cmn_jax.decoding.beam_search import beam_search
from cmn_jax.decoding.generate import make_writer
from cmn_jax.interop.r2gencmn import from_r2gencmn, to_r2gencmn
from cmn_jax.models.memory import MemoryQuery
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.training.state import init_state, init_variables, make_train_step


class Ours:
  """The works by name; each gives a function without arguments that runs it.

  Attributes:
    compile_seconds: what compiling the last work took.
    flops: of the last work's matrix products, None where they are not counted.
    warm_up: what warms up instead of a whole run, or None.
  """

  def __init__(self, plan: Plan):
    self._plan = plan
    self._config = plan.config()
    self.compile_seconds = 0.0
    self.flops = self.warm_up = None

  def _model(self, vocabulary: int) -> ReportGenerator:
    return experiment.make_model(self._config, vocabulary, axis_name=None)

  def prepare(self) -> dict:
    """Draws the weights of both sides; tells what the machine is."""
    model = self._model(self._plan.vocabulary)
    arrays = to_r2gencmn(model.shape, self._drawn(model), {})
    np.savez(self._plan.weights, **arrays)
    dtype = experiment.DTYPES[self._plan.dtype]
    return machine() | {'matmul_peak_flops': matmul_peak(dtype)}

  def _drawn(self, model: ReportGenerator):
    """Random weights that never end a report."""
    views, size = self._config.data.views, self._plan.image_size
    variables = init_variables(model, self._config.seed, views, size)
    logits = variables['params']['logits']
    logits['bias'] = logits['bias'].at[0].set(END_BIAS)
    return variables

  def _variables(self, model: ReportGenerator):
    with np.load(self._plan.weights) as arrays:
      return jax.device_put(from_r2gencmn(model, dict(arrays), 'the weights'))

  def _compile(self, function, *arguments, while_trips: int = 1, donate=()):
    """The compiled function; notes the time and counts the products."""
    begin = time.perf_counter()
    jitted = jax.jit(function, donate_argnums=donate)
    compiled = jitted.lower(*arguments).compile()
    self.compile_seconds = time.perf_counter() - begin
    self.flops = matmul_flops(function, *arguments, while_trips=while_trips)
    return compiled

  def memory(self):
    """Gradients of the memory's arrays and of the queries."""
    model = self._model(self._plan.vocabulary)
    params = self._variables(model)['params']
    params = {name: params[name] for name in ('memory', 'memory_query')}
    s = model.shape
    query = MemoryQuery(
      s.width, s.heads, s.memory_top_k, s.memory_dropout, model.dtype
    )
    x_BxQxD = features(self._plan, model.shape.width)
    out_BxQxD = np.random.default_rng(3).normal(size=x_BxQxD.shape)
    out_BxQxD = jnp.asarray(out_BxQxD, jnp.float32)

    def gradients(params, x, key):
      def loss(params, x):
        own = {'params': params['memory_query']}
        y = query.apply(own, x, params['memory'], True, rngs={'dropout': key})
        return jnp.sum(y * out_BxQxD)

      return jax.grad(loss, (0, 1))(params, x)

    arguments = params, jnp.asarray(x_BxQxD), jax.random.key(0)
    run = self._compile(gradients, *arguments)
    return lambda: jax.block_until_ready(run(*arguments)) and None

  def encoder(self):
    """Feature maps of one batch."""
    model = self._model(self._plan.vocabulary)
    variables = self._variables(model)
    batch = training_batch(self._plan)
    images = jnp.asarray(normalise_films(batch['images_BxIxHxW']))

    def encode(variables, images, mask_B):
      return model.apply(
        variables, images, mask_B, method=ReportGenerator.visual_features
      )

    arguments = variables, images, batch['mask_B']
    run = self._compile(encode, *arguments)
    return lambda: jax.block_until_ready(run(*arguments)) and None

  def train_step(self):
    """A step on one batch, again and again."""
    batch = jax.tree.map(jnp.asarray, training_batch(self._plan))
    step, state = self._step(batch)
    held = [state]

    def run():
      held[0], metrics = step(held[0], batch)
      jax.block_until_ready(metrics)

    return run

  def _step(self, batch):
    model = self._model(self._plan.vocabulary)
    optimizer = experiment.make_optimizer_of(self._config, 1)
    state = init_state(self._variables(model), optimizer)
    step = make_train_step(model, optimizer, self._config.seed)
    return self._compile(step, state, batch, donate=(0,)), state

  def write_reports(self):
    """Words of one batch from its patches."""
    plan, model = self._plan, self._model(self._plan.vocabulary)
    length = model.shape.max_length
    variables = self._variables(model)
    width = variables['params']['patch_embed']['kernel'].shape[0]
    features_BxPxF = jnp.asarray(features(plan, width))

    def write(module: ReportGenerator, features_BxPxF):
      patches, mask = module.encode_features(features_BxPxF)
      shared, cache = module.start_decoding(patches, mask, plan.beam)

      def step(ids_BxK, position, cache):
        return module.decode_step(ids_BxK, position, cache, shared)[:2]

      mask_B = jnp.ones(plan.batch, bool)
      return beam_search(step, cache, mask_B, plan.beam, length)[0]

    arguments = variables, features_BxPxF
    run = self._compile(
      lambda v, x: model.apply(v, x, method=write),
      *arguments,
      while_trips=length,
    )
    return lambda: np.asarray(run(*arguments)).tolist()

  def test_split(self):
    """Films on disk to text, batch by batch, as `evaluate` does it."""
    from input_pipeline import batches as pipeline

    plan, data = self._plan, self._open_data()
    model = self._model(data.tokenizer.vocab_size + 1)
    variables = self._drawn(model)
    write = make_writer(model, experiment.make_decoding(self._config))

    def write_films(variables, films_BxIxHxW, mask_B):
      return write(variables, normalise_films(films_BxIxHxW), mask_B)[0]

    films = training_batch(plan)['images_BxIxHxW']
    mask_B = np.ones(plan.batch, bool)
    trips = model.shape.max_length
    compiled = self._compile(
      write_films, variables, films, mask_B, while_trips=trips
    )
    batches, _ = plan.split_share('ours')
    self.flops *= batches

    def run(batches=batches):
      split = itertools.chain.from_iterable(
        pipeline.eval_batches(data, 'test', batch_size=plan.batch)
        for _ in itertools.count()
      )
      for batch in itertools.islice(split, batches):
        ids_BxT = compiled(variables, batch['images_BxIxHxW'], mask_B)
        for ids in np.asarray(ids_BxT):
          data.text_of(ids)

    self.warm_up = lambda: run(1)
    return run

  def _open_data(self):
    from input_pipeline.data import DataConfig, open_data

    return open_data(DataConfig(**self._config.data))

  def _batches(self, data):
    from input_pipeline import batches
    from input_pipeline.config import DataConfig

    c = self._config
    return batches.train_batches(
      data,
      batch_size=self._plan.batch,
      seed=c.seed,
      augmentation=DataConfig(**c.data).augmentation,
    )

  def input(self):
    """One epoch of training films; gives the batches that it had."""
    data = self._open_data()
    steps = len(data.studies['train']) // self._plan.batch
    self.compile_seconds, self.flops = 0.0, None

    def run():
      for _ in itertools.islice(self._batches(data), steps):
        pass
      return steps

    return run

  def wait(self):
    """Steps fed from disk: gives the seconds that each waited for its batch."""
    batches = self._batches(self._open_data())
    first = training_batch(self._plan)
    step, state = self._step(first)
    held, waits = [state], []

    def run():
      begin = time.perf_counter()
      batch = next(batches)
      waits.append(time.perf_counter() - begin)
      held[0], metrics = step(held[0], {name: batch[name] for name in first})
      jax.block_until_ready(metrics)
      return waits[1:]  # The first of all opens the files.

    return run
