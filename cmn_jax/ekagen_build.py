"""All of EKAGen from a data set: classifiers, knowledge, teachers, students.

Each step has a folder of its own and goes on where it was stopped.
"""

import re
import time
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from cmn_jax.arguments import read_config
from cmn_jax.ekagen_steps import (
  FOLDS,
  MASK_FIELDS,
  MASKS,
  TEST,
  TRAINED,
  CurrentBuild,
  Step,
  is_done,
  made_of_knowledge,
  made_of_masks,
  made_of_run,
)
from cmn_jax.evaluate import evaluate
from cmn_jax.loaded import Loaded
from cmn_jax.models.ekagen_config import EkagenConfig
from cmn_jax.tasks.ekagen_knowledge import make_knowledge
from cmn_jax.tasks.ekagen_parts import TASK, load_captioner
from cmn_jax.tasks.mask_files import write_masks
from cmn_jax.train import train
from cmn_jax.training.checkpoints import find_step, load_meta, score_of
from cmn_jax.training.distributed import log
from cmn_jax.training.resuming import check_same_run
from configs.ekagen import STEPS, STUDENT
from input_pipeline.atomic_write import write_text
from input_pipeline.data import DataConfig, open_data
from input_pipeline.errors import UserError
from input_pipeline.terminal import folded

_OF_STEP = re.compile(rf'--({"|".join(STEPS)})\.(.*)', re.DOTALL)


def build(
  arguments: list[str], workdir: str, rounds: int = 1, folds: int = 0
) -> list[Path]:
  """Does what is left of all steps.

  Args:
    arguments: --config=FILE[:VARIANT], --config.field=value of all steps, and
      --STEP.field=value of one.
    workdir: of all steps.
    rounds: students at most; from the second on each is taught by the one
      before, while validation gains.
    folds: classifiers that cross-fit the labels of the training studies.

  Returns:
    The folders of the students, the best by validation first.

  Raises:
    UserError: a step cannot be done; those before it are whole.
  """
  if rounds < 1 or folds < 0 or folds == 1:
    raise UserError(
      f'--rounds is {rounds} and --folds is {folds}: expected at least 1 '
      'student, and no or at least 2 classifiers'
    )
  plan = Plan(arguments, Path(workdir), folds)
  students = [plan.folder('student')]
  steps = plan.steps()
  total = len(steps) + rounds - 1
  for step in tuple(steps):
    _do(step, steps, total, plan)
  for n in range(2, rounds + 1):
    step = plan.student(n, teacher=students[-1])
    steps.append(step)
    _do(step, steps, total, plan)
    gain = _score(step.folder) - _score(students[-1])
    students.append(step.folder)
    if gain <= 0:
      log(f'student {n} gains nothing on validation: no more rounds')
      break
  students.sort(key=_score, reverse=True)
  log(f'done: the student that validation chose is in {students[0]}')
  return students


class Plan:
  """What each step is, of one command.

  Attributes:
    workdir: of all steps.
    seconds: that each step of this run took.
    current: what its steps are made of.
  """

  def __init__(self, arguments: list[str], workdir: Path, folds: int):
    self.workdir, self.seconds = workdir, []
    self._folds = folds
    self._own = {name: [] for name in STEPS}
    self._all, self._file, self._variant = [], None, STUDENT
    for argument in arguments:
      step = _OF_STEP.fullmatch(argument)
      if step:
        self._own[step[1]].append(f'--config.{step[2]}')
      elif argument.startswith('--config='):
        file, _, variant = argument.removeprefix('--config=').partition(':')
        self._file, self._variant = file, variant or STUDENT
      else:
        self._all.append(argument)
    if self._file is None:
      raise UserError(
        '--config=FILE[:VARIANT] is missing: name a config, such as '
        'configs/iu_xray.py, and a variant of a student'
      )
    others = {STEPS[name] for name in STEPS if name != 'student'}
    if self.config('student').task != TASK or self._variant in others:
      raise UserError(
        f'--config names the variant {self._variant}, which is no student: '
        f'name one, such as {STUDENT}, or none'
      )
    for name in STEPS:
      if (seeds := self.config(name).seeds) != 1:
        raise UserError(
          f'seeds is {seeds}, and a build trains each step once: leave it out, '
          'and build with each config.seed in a --workdir of its own'
        )
    masks = dict(zip(MASK_FIELDS, self._mask_options, strict=True))
    self.current = CurrentBuild(workdir, {FOLDS: folds, **masks})

  def folder(self, name: str) -> Path:
    """Of a step."""
    return self.workdir / name

  def config(self, name: str, **fields) -> ConfigDict:
    """Of a step that trains, with fields that the steps before it give."""
    variant = self._variant if name == 'student' else STEPS[name]
    config = read_config(
      [f'--config={self._file}:{variant}', *self._all, *self._own[name]]
    )
    config = ConfigDict(config).unlock()
    config.update_from_flattened_dict(fields)
    return config.lock()

  def steps(self) -> list[Step]:
    """All of them up to the first student."""
    knowledge = self.folder('knowledge')
    return [
      self._training('diagnosis', 'a classifier, for labels'),
      *(self._fold(n) for n in range(1, self._folds + 1)),
      *(
        [self._training('locator', 'a classifier, for masks')]
        if self._locator == self.folder('locator')
        else []
      ),
      Step(
        self.folder('masks'),
        'what the masks cover',
        self._write_masks,
        lambda: made_of_masks(self.folder('masks'), self._locator.name),
        lambda: is_done(self.folder('masks')),
      ),
      self._training(
        'first_teacher',
        'a captioner of whole films, for its embedding',
        evaluated=False,
        **self.start('first_teacher'),
      ),
      Step(
        knowledge,
        'reports that speak for classes, as that captioner embeds them',
        self._make_knowledge,
        lambda: made_of_knowledge(knowledge),
        lambda: is_done(knowledge),
      ),
      self._training(
        'teacher',
        'a captioner of whole films, with knowledge',
        **self.start('teacher'),
        **{'ekagen.knowledge': str(knowledge)},
      ),
      self.student(1, teacher=self.folder('teacher')),
    ]

  def student(self, number: int, teacher: Path) -> Step:
    """One student, in its folder."""
    name = 'student' if number == 1 else f'student_{number}'
    fields = {
      **self.start('student'),
      'ekagen.knowledge': str(self.folder('knowledge')),
      'ekagen.locator': str(self._locator),
      'ekagen.teacher': str(teacher),
    }
    return self._training(
      'student', 'a captioner of masked films', folder=name, **fields
    )

  def _training(self, name, does, folder='', evaluated=True, **fields) -> Step:
    workdir = self.folder(folder or name)
    config = self.config(name, **fields)
    end = workdir / (TEST if evaluated else TRAINED)

    def run():
      train(config, workdir)
      if evaluated:
        evaluate(config, workdir)
      else:
        write_text(end, 'all epochs\n')

    def done():
      if not end.exists():
        return False
      saved = load_meta(find_step(workdir))
      check_same_run(saved['config'], config, workdir)
      return True

    return Step(workdir, does, run, lambda: made_of_run(workdir, fields), done)

  def _fold(self, number: int) -> Step:
    fold = f'{number}/{self._folds}'
    return self._training(
      'diagnosis',
      f'the classifier that has not seen part {fold}',
      folder=f'diagnosis_fold_{number}',
      **{'classifier.fold': fold},
    )

  def start(self, name: str) -> dict:
    """A captioner's encoder starts from the classifier's where it can.

    That is where nothing else is named and both have the same one: trained on
    words alone a random encoder hardly learns to see.

    Args:
      name: of the captioner's step, a key of STEPS.

    Returns:
      model.pretrained as a field, or nothing.
    """
    mine, its = (self.config(step).model for step in (name, 'diagnosis'))
    same = (mine.encoder, mine.encoder_width) == (
      its.encoder,
      its.encoder_width,
    )
    if mine.pretrained or not same:
      return {}
    return {'model.pretrained': str(self.folder('diagnosis'))}

  @property
  def _mask_options(self) -> tuple:
    return EkagenConfig.of(self.config('student').ekagen).mask_options

  @property
  def _locator(self) -> Path:
    """The classifier whose maps become masks: the first, where both are one."""
    mine, its = (
      {**self.config(name).to_dict(), 'name': '', 'named': ''}
      for name in ('locator', 'diagnosis')
    )
    return self.folder('diagnosis' if mine == its else 'locator')

  def _make_knowledge(self):
    config = self.config('teacher')
    folds = [
      Loaded.load(self.folder(f'diagnosis_fold_{n}'))
      for n in range(1, self._folds + 1)
    ]
    lines = make_knowledge(
      load_captioner(str(self.folder('first_teacher')), 'first_teacher'),
      Loaded.load(self.folder('diagnosis')),
      config,
      open_data(DataConfig(**config.data)),
      self.folder('knowledge'),
      folds=folds,
    )
    log('\n'.join(lines))

  def _write_masks(self):
    config, out = self.config('student'), self.folder('masks')
    lines = write_masks(
      Loaded.load(self._locator),
      config,
      open_data(DataConfig(**config.data)),
      out,
      *self._mask_options,
    )
    log('\n'.join(lines))
    write_text(out / MASKS, '\n'.join(lines) + '\n')


def _do(step: Step, steps: Sequence[Step], total: int, plan: Plan) -> None:
  """One step, if it is not done, and how long is left by those so far."""
  plan.current.check(steps)
  number = steps.index(step) + 1
  where = f'step {number} of {total}, {step.folder.name}'
  if step.done():
    log(f'{where}: done')
    return
  left = ''
  if plan.seconds:
    mean = sum(plan.seconds) / len(plan.seconds)
    minutes = mean * (total - number + 1) / 60
    left = f'; about {minutes:.0f} min left, by the steps so far'
  log(folded(f'{where}: {step.does}{left}'))
  begin = time.monotonic()
  step.run()
  plan.seconds.append(time.monotonic() - begin)


def _score(workdir: Path) -> float:
  return score_of(load_meta(find_step(workdir)))
