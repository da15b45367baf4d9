"""Our side of EKAGen's workloads."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed import ekagen_sizes as ekagen
from benchmarks.speed.ours import Ours
from benchmarks.speed.workloads import END_BIAS, SEED, Plan
from cmn_jax.decoding.ekagen import make_film_writer
from cmn_jax.interop.ekagen import from_captioner, to_captioner
from cmn_jax.interop.film_classifiers import from_classifier, to_classifier
from cmn_jax.losses.ekagen import EkagenObjective
from cmn_jax.models.ekagen import END, Captioner, frozen_params
from cmn_jax.models.ekagen_system import EkagenSystem
from cmn_jax.models.film_classifier import FilmClassifier, SingleFilmClassifier
from cmn_jax.models.images import as_pixels
from cmn_jax.models.knowledge import CLASSES
from cmn_jax.tasks.diagnosis import FilmReader
from cmn_jax.tasks.ekagen_parts import part_of
from cmn_jax.training.optimizer import make_optimizer
from cmn_jax.training.parallel import AXIS, Parallel
from cmn_jax.training.state import init_state, study_batch, variable_shapes
from cmn_jax.training.step import make_train_step
from input_pipeline.findings.vocabulary import CHEXPERT_14

_PARTS = ('captioner', 'bot')


class EkagenOurs(Ours):
  """The workloads by name, as `Ours` has them."""

  def __init__(self, plan: Plan):
    super().__init__(plan)
    self._sizes = ekagen.sizes_of(plan.ekagen_size)
    self._reader = FilmReader(
      CHEXPERT_14,
      (ekagen.THRESHOLD,) * ekagen.CLASSES,
      ekagen.BOT_SIDE,
      FilmClassifier('swin_t', 64, ekagen.CLASSES, shift_last_stage=True),
    )

  def ekagen_prepare(self) -> dict:
    """Draws the weights of both sides; says what the machine is."""
    shape, network = self._sizes.shape, self._reader.network
    system = self._system()
    blank = study_batch(1, self._sizes.image, shape.max_length + 1)
    blank['labels_BxG'] = jnp.zeros((1, ekagen.CLASSES), bool)
    drawn = _drawn(system.clone(teacher_shape=None), blank)
    captioner = part_of(drawn, 'captioner')
    logits = captioner['params']['logits_2']
    logits['bias'][END] = END_BIAS
    blank = study_batch(1, ekagen.BOT_SIDE, 1)
    single = SingleFilmClassifier(**dataclasses.asdict(self._reader.network))
    bot = _drawn(single, blank)
    np.savez(
      self._plan.ekagen_weights('captioner'), **to_captioner(shape, captioner)
    )
    np.savez(
      self._plan.ekagen_weights('bot'),
      **to_classifier(network, bot, CHEXPERT_14),
    )
    return self._facts()

  def _parts(self) -> dict:
    """Variables of captioner and classifier."""
    found = {}
    for part in _PARTS:
      with np.load(self._plan.ekagen_weights(part)) as arrays:
        found[part] = dict(arrays)
    captioner = Captioner(self._sizes.shape)
    return {
      'captioner': from_captioner(captioner, found['captioner'], 'weights'),
      'bot': from_classifier(
        self._reader.network, found['bot'], CHEXPERT_14, 'weights'
      ),
    }

  def _system(self, axis: str | None = None) -> EkagenSystem:
    """Student, teacher and table."""
    s, classes = self._sizes.shape, ekagen.CLASSES
    row = (s.max_length, s.width)
    table = (CLASSES, classes, classes, ekagen.NO_FINDING_CLASS, *row)
    return EkagenSystem(s, ekagen.RULES, s, table, axis)

  def _variables(self) -> dict:
    """Of the system: the student starts as its teacher."""
    one = self._parts()['captioner']
    keys = np.eye(ekagen.CLASSES, dtype=np.int8)
    variables = {
      kind: {'captioner': one[kind], 'teacher': one[kind]}
      for kind in ('params', 'batch_stats')
    }
    variables['params']['knowledge'] = {
      'table': ekagen.table(self._sizes),
      'keys': keys,
    }
    return variables

  def ekagen_train_step(self):
    """A student's step on one batch, again and again."""
    system, variables = self._system(AXIS), self._variables()
    shape, studies = self._sizes.shape, self._sizes.train
    left = frozen_params(shape, variables['params']['captioner'])
    frozen = ['teacher', 'knowledge', *(f'captioner/{path}' for path in left)]
    optimizer = make_optimizer(ekagen.OPTIM, steps_per_epoch=100, epochs=100)
    parallel = Parallel(self._plan.parallel, jax.devices()[:1])
    objective = EkagenObjective(system, ekagen.RULES)
    step = make_train_step(objective, optimizer, SEED, AXIS)
    mapped = parallel.map_step(step, donate_state=True)
    state = init_state(jax.device_put(variables), optimizer, frozen)
    held = [parallel.replicate(state)]
    batch = parallel.split(self._batch(studies))
    run_step = self._compile(mapped, held[0], batch)

    def run():
      held[0], metrics = run_step(held[0], batch)
      jax.block_until_ready(metrics)

    return run

  def _batch(self, studies: int) -> dict:
    films = ekagen.films(self._sizes, studies)
    rng = np.random.default_rng(SEED)
    masks = rng.uniform(size=films[:, 0].shape) < 0.5
    return {
      'images_BxIxHxW': films,
      'ids_BxT': ekagen.reports(self._sizes),
      'mask_B': np.ones(studies, bool),
      'mask_BxI': np.ones((studies, 1), bool),
      'bits_BxHxw': np.packbits(masks, axis=-1),
      'labels_BxG': rng.uniform(size=(studies, ekagen.CLASSES)) < 0.3,
    }

  def ekagen_write(self):
    """Films to ids: the classifier's labels, their knowledge, the words."""
    system, variables = self._system(), self._variables()
    films = ekagen.films(self._sizes, self._sizes.write)
    mask_B = np.ones(len(films), bool)
    write_films = make_film_writer(1, self._sizes.words)

    def write(module: EkagenSystem, films, labels_BxG):
      seen = module.captioner.encode(as_pixels(films), mask_B)
      known = module.know(labels_BxG)
      return write_films(module.captioner, seen, mask_B, known)[0]

    def from_films(variables, bot, films):
      labels_BxG = self._reader.labels(bot, films[:, 0])
      return system.apply(variables, films, labels_BxG, method=write)

    arguments = jax.device_put((variables, self._parts()['bot'], films))
    run = self._compile(
      jax.jit(from_films), *arguments, while_trips=self._sizes.words
    )
    return lambda: np.asarray(run(*arguments)).tolist()


def _drawn(model, blank: dict) -> dict:
  """Random variables, without a program that would be compiled for them."""
  rng = np.random.default_rng(SEED)

  def one(path, like):
    if like.ndim > 1:
      fan_in = np.prod(like.shape[:-1])
      drawn = rng.standard_normal(like.shape) * np.sqrt(2 / fan_in)
      return drawn.astype(np.float32)
    ones = path[-1].key in ('scale', 'var')
    return np.full(like.shape, float(ones), np.float32)

  shapes = variable_shapes(model, blank)
  return jax.tree_util.tree_map_with_path(one, shapes)
