"""A step of EKAGen's build: whether it is done, and what it was made of."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cmn_jax.tasks.ekagen_parts import (
  KNOWLEDGE,
  LOCATOR,
  TEACHER,
  fingerprint_in,
)
from cmn_jax.tasks.mask_files import read_about
from cmn_jax.training.checkpoints import (
  CheckpointError,
  DamagedError,
  latest_folder,
  load_meta,
)

# What a finished step has left in its folder: one of these.
TEST, TRAINED, MASKS = 'evaluation/test.json', 'trained.txt', 'masks.txt'
_ENDS = (TEST, TRAINED, MASKS, 'meta')
# How `cmn_jax.ekagen build` names the number of classifiers that cross-fit.
FOLDS = '--folds'
# Fields of the masks' options, in the order of `EkagenConfig.mask_options`.
MASK_FIELDS = tuple(
  f'ekagen.mask_{name}' for name in ('rule', 'threshold', 'no_finding')
)


@dataclasses.dataclass(frozen=True)
class Step:
  """One of the steps.

  Attributes:
    folder: where it writes.
    does: in words.
    run: what it does; not called again once it is done.
    made_of: fingerprints of what it has read of other steps, by the names of
      their folders, and options by name; {} before there is anything.
    done: whether it is.
  """

  folder: Path
  does: str
  run: Callable[[], None]
  made_of: Callable[[], dict]
  done: Callable[[], bool]


def is_done(folder: Path) -> bool:
  """Whether a step has ended in its folder."""
  return any((folder / end).exists() for end in _ENDS)


def made_of_run(workdir: Path, fields: Mapping) -> dict:
  """What a captioner was made of; {} of a classifier.

  Args:
    workdir: of its run.
    fields: of its config, those that the steps before it give.
  """
  parts = _parts(workdir)
  made = {
    Path(fields[f'ekagen.{name}']).name: parts[name]['fingerprint']
    for name in (TEACHER, KNOWLEDGE, LOCATOR)
    if name in parts and f'ekagen.{name}' in fields
  }
  if KNOWLEDGE in made:
    made |= _knowledge_made_of(parts[KNOWLEDGE]['meta'])
  return made


def made_of_knowledge(folder: Path) -> dict:
  """What knowledge was made of."""
  return _knowledge_made_of(load_meta(folder)) if is_done(folder) else {}


def made_of_masks(folder: Path, locator: str) -> dict:
  """What masks were made of; the locator is the name of its folder."""
  if not is_done(folder):
    return {}
  about = read_about(folder, 'test')
  options = {f: about[f.removeprefix('ekagen.mask_')] for f in MASK_FIELDS}
  return {locator: about['locator'], **options}


class CurrentBuild:
  """What the steps of this build are made of now.

  Args:
    workdir: of all steps.
    options: values by name.
  """

  def __init__(self, workdir: Path, options: Mapping):
    self._workdir, self._known = workdir, dict(options)

  def check(self, steps: Sequence[Step]) -> None:
    """Raises CheckpointError where steps were made of what is another now.

    Such as after another --folds, or where a step before them was made anew.
    """
    faults = {}
    for step in steps:
      its = step.made_of()
      others = [x for x in its if self._now(x) not in (None, its[x])]
      if others:
        faults[step.folder.name] = others
    if faults:
      told = '; '.join(
        f'{name} was made with another {", ".join(others)}'
        for name, others in faults.items()
      )
      raise CheckpointError(
        f'{self._workdir} holds steps that do not fit this build ({told}): '
        f'remove {", ".join(faults)} there and give the command again, or '
        'choose another --workdir'
      )

  def _now(self, name: str):
    """A fingerprint or a value; None of a step that is not done."""
    folder = self._workdir / name
    if name not in self._known and is_done(folder):
      self._known[name] = fingerprint_in(folder)
    return self._known.get(name)


def _knowledge_made_of(meta: Mapping) -> dict:
  """What a meta of knowledge says that it was made of.

  Returns:
    {step of a build: fingerprint} and the number of folds; what an older
    version does not say is left out.
  """
  made = {
    'diagnosis': meta['diagnosis']['fingerprint'],
    'first_teacher': meta['captioner']['fingerprint'],
  }
  if 'folds' in meta:
    made[FOLDS] = meta['folds']
  for n, fold in enumerate(meta.get('fold_fingerprints', ()), 1):
    made[f'diagnosis_fold_{n}'] = fold
  return made


def _parts(workdir: Path) -> dict:
  """What the newest checkpoint says of its parts; {} without any."""
  folder = latest_folder(workdir)
  try:
    return load_meta(folder).get('parts', {}) if folder else {}
  except DamagedError:  # Training sets it aside.
    return {}
