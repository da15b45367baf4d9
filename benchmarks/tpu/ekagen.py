"""EKAGen's programs, compiled by libtpu: what its teacher costs a student."""

import jax.numpy as jnp

from benchmarks.tpu.programs import Subject, compile_for
from cmn_jax.decoding.ekagen import make_film_writer
from cmn_jax.losses.ekagen import EkagenObjective
from cmn_jax.models.config import DTYPES
from cmn_jax.models.ekagen import CaptionerShape, frozen_params
from cmn_jax.models.ekagen_config import EkagenConfig, shape_of
from cmn_jax.models.ekagen_system import EkagenSystem
from cmn_jax.models.knowledge import CLASSES
from cmn_jax.training.parallel import AXIS
from cmn_jax.training.state import variable_shapes
from input_pipeline.findings import NO_FINDING
from input_pipeline.findings.vocabulary import CHEXPERT_14

_CLASSES = len(CHEXPERT_14)


class EkagenSubject(Subject):
  """As `Subject`: a student beside a teacher of its own size, knowledge fused.

  The masks are at hand, as in training: no locator is in the programs.
  """

  def programs(self) -> dict:
    """See `Subject`; the step without a teacher beside it, too."""
    return {
      **super().programs(),
      'train_step_without_teacher': lambda n: self.train_step(n, False),
    }

  def train_step(self, studies: int, teacher: bool = True):
    """The student's step for a batch of `studies` over all chips."""
    model = self._system(AXIS, teacher)
    variables = self._variables(model.clone(axis_name=None))
    left = frozen_params(self._shape, variables['params']['captioner'])
    frozen = ['knowledge', *(f'captioner/{path}' for path in left)]
    frozen += ['teacher'] * teacher
    objective = EkagenObjective(model, self._rules)
    return self._compile_step(objective, variables, studies, frozen)

  def writer(self, studies: int):
    """Labels and films to ids, for `studies` over all chips."""
    model = self._system(None, False)
    write_films = make_film_writer(
      1, min(self._rules.max_words, self._shape.max_length)
    )

    def write(module: EkagenSystem, batch):
      known = module.know(batch['labels_BxG'])
      seen = module.encode(batch)
      return write_films(module.captioner, seen, batch['mask_B'], known)[0]

    def write_batch(variables, batch):
      return model.apply(variables, batch, method=write)

    batch = self._batch(studies)
    del batch['ids_BxT']
    return compile_for(
      self.parallel.studies_program(write_batch),
      *self.parallel.describe(self._variables(model), batch),
    )

  @property
  def _shape(self) -> CaptionerShape:
    return shape_of(self.config, self.words, knowledge=True)

  @property
  def _rules(self) -> EkagenConfig:
    return EkagenConfig.of(self.config.ekagen)

  def _system(self, axis: str | None, teacher: bool) -> EkagenSystem:
    shape, c = self._shape, self.config.model
    no_finding = CHEXPERT_14.index(NO_FINDING)
    sizes = (_CLASSES, _CLASSES, no_finding, shape.max_length, shape.width)
    return EkagenSystem(
      shape,
      self._rules,
      shape if teacher else None,
      (CLASSES, *sizes),
      axis,
      DTYPES[c.dtype],
      c.remat,
    )

  def _variables(self, model: EkagenSystem):
    """Shapes; the teacher's are those of a captioner."""
    blank = self._blank()
    variables = variable_shapes(model.clone(teacher_shape=None), blank)
    if model.teacher_shape:
      for part in variables.values():
        if 'captioner' in part:
          part['teacher'] = part['captioner']
    return variables

  def _blank(self) -> dict:
    blank = super()._blank()
    side = self.config.data.image_size
    return blank | {
      'labels_BxG': jnp.zeros((1, _CLASSES), bool),
      'bits_BxHxw': jnp.zeros((1, side, -(-side // 8)), jnp.uint8),
    }
