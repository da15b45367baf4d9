"""What an EKAGen captioner trains and writes with: networks and a table.

Loaded at the start, checked against the data and each other, and then kept in
the captioner's own checkpoint: `predict` and evaluation read nothing else.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from cmn_jax.loaded import Loaded
from cmn_jax.models.ekagen import CaptionerShape
from cmn_jax.models.ekagen_config import EkagenConfig, shape_of
from cmn_jax.tasks.diagnosis import FilmReader
from cmn_jax.tasks.ekagen_checks import (
  KNOWLEDGE,
  check_knowledge,
  check_shared,
  check_teacher,
  fingerprint,
)
from cmn_jax.training.checkpoints import CheckpointError
from input_pipeline import vocabularies
from input_pipeline.errors import quoted_list

CAPTIONER, TEACHER = 'captioner', 'teacher'
DIAGNOSIS, LOCATOR = 'diagnosis', 'locator'
# All that is beside the captioner, and what of a folder of knowledge is not
# kept: the labels of the training studies, and whose they are.
PARTS = (TEACHER, KNOWLEDGE, DIAGNOSIS, LOCATOR)
TRAIN_LABELS, TRAIN_IDS = 'train_labels', 'train_ids'
TASK, KNOWLEDGE_TASK = 'ekagen', 'ekagen_knowledge'
_KINDS = ('params', 'batch_stats')


def id_rows(ids: Sequence[str]) -> np.ndarray:
  """Ids as arrays can be saved: UTF-8, filled up with zeros, (S, n) uint8."""
  encoded = [name.encode('utf-8', 'surrogatepass') for name in ids]
  return np.array(encoded, np.bytes_).reshape(-1, 1).view(np.uint8)


def _ids(rows_Sxn: np.ndarray) -> list[bytes]:
  return rows_Sxn.view(f'S{rows_Sxn.shape[1]}')[:, 0].tolist()


def part_of(variables: dict, name: str) -> dict:
  """The variables of a top-level part, as a network of its own has them."""
  return {kind: variables.get(kind, {}).get(name, {}) for kind in _KINDS}


@dataclasses.dataclass(frozen=True)
class Parts:
  """What is frozen beside the captioner, by name.

  Attributes:
    loaded: its variables, meta and where it came from; 'teacher' is a
      captioner with the meta of its run, 'knowledge' a table.
    train_labels_SxG: what the classifier said of the training studies, where
      a folder of knowledge gave it; None else.
    train_ids_Sxn: whose labels these are, see `id_rows`; None in knowledge of
      an older version, whose order is that of the data.
  """

  loaded: dict[str, Loaded]
  train_labels_SxG: np.ndarray | None = None
  train_ids_Sxn: np.ndarray | None = None

  def __contains__(self, name: str) -> bool:
    return name in self.loaded

  def __getitem__(self, name: str) -> Loaded:
    return self.loaded[name]

  def get(self, name: str) -> Loaded | None:
    """The part; None without it."""
    return self.loaded.get(name)

  def labels_of(self, studies: Sequence) -> np.ndarray:
    """The labels of these training studies, in their order, (S, G) bool.

    Raises:
      CheckpointError: some have none.
    """
    labels_SxG, origin = self.train_labels_SxG, self[KNOWLEDGE].origin
    again = 'make the knowledge again, of the data at hand'
    if self.train_ids_Sxn is None:
      if len(labels_SxG) != len(studies):
        raise CheckpointError(
          f'{origin} has labels of {len(labels_SxG)} training studies, there '
          f'are {len(studies)}: {again}'
        )
      return labels_SxG
    rows = {name: n for n, name in enumerate(_ids(self.train_ids_Sxn))}
    ids = _ids(id_rows([study.id for study in studies]))
    found = [rows.get(name) for name in ids]
    unknown = [s.id for s, n in zip(studies, found, strict=True) if n is None]
    if unknown:
      raise CheckpointError(
        f'{origin} has no labels of {len(unknown)} of {len(studies)} training '
        f'studies ({quoted_list(unknown)}): {again}'
      )
    return labels_SxG[found]

  @property
  def variables(self) -> dict:
    """{'params': {part: tree}, 'batch_stats': {part: tree}}."""
    kept = {kind: {} for kind in _KINDS}
    for name, part in self.loaded.items():
      for kind in _KINDS:
        if part.variables.get(kind):
          kept[kind][name] = part.variables[kind]
    return kept

  @property
  def meta(self) -> dict:
    """What a checkpoint keeps of each, enough for `inside`."""
    return {
      name: {
        'origin': part.origin,
        'fingerprint': fingerprint(part),
        'meta': part.meta,
      }
      for name, part in self.loaded.items()
    }

  @property
  def no_finding(self) -> int:
    """Index of that class of the knowledge."""
    return self[KNOWLEDGE].meta['no_finding']

  @property
  def table(self) -> tuple | None:
    """Fields of the system's `KnowledgeTable`; None without knowledge."""
    if KNOWLEDGE not in self:
      return None
    about = self[KNOWLEDGE].meta
    table = self[KNOWLEDGE].variables['params']['table']
    rows, length, width = table.shape
    classes = len(about['classes'])
    return about['form'], rows, classes, self.no_finding, length, width

  @property
  def teacher_shape(self) -> CaptionerShape | None:
    """Of the teacher; None without one."""
    if TEACHER not in self:
      return None
    return captioner_shape(self[TEACHER].meta)

  def reader(self, name: str) -> FilmReader | None:
    """Of 'diagnosis' or 'locator'; None without it."""
    return FilmReader.of(self[name].meta) if name in self else None


def captioner_shape(meta: dict) -> CaptionerShape:
  """Of the captioner in a checkpoint of the task 'ekagen'."""
  vocabulary = vocabularies.from_json(meta['tokenizer']).vocabulary
  return shape_of(ConfigDict(meta['config']), vocabulary, meta['fused'])


def inside(loaded: Loaded) -> Parts:
  """The parts that a captioner's checkpoint keeps."""
  return Parts(
    {
      name: Loaded(
        part_of(loaded.variables, name), about['meta'], about['origin']
      )
      for name, about in loaded.meta['parts'].items()
    }
  )


def load_captioner(folder: str, field: str) -> Loaded:
  """The captioner alone of a trained one, with its meta.

  Raises:
    CheckpointError: nothing there, or no captioner.
  """
  loaded = Loaded.load(folder)
  if loaded.meta.get('task') != TASK:
    raise CheckpointError(
      f'{field} names {loaded.origin}, which holds what the task '
      f'{loaded.meta.get("task")!r} trained: name a run of the variant '
      'ekagen_teacher or of a student'
    )
  captioner = part_of(loaded.variables, CAPTIONER)
  return Loaded(captioner, loaded.meta, loaded.origin)


def load_knowledge(folder: str) -> Parts:
  """A folder of knowledge: the table, and the classifier of its labels.

  Raises:
    CheckpointError: nothing there, or no knowledge.
  """
  loaded = Loaded.load(folder)
  if loaded.meta.get('task') != KNOWLEDGE_TASK:
    raise CheckpointError(
      f'ekagen.knowledge names {loaded.origin}, which holds no knowledge: name '
      'a folder of `python -m cmn_jax.ekagen knowledge`'
    )
  about = loaded.meta['diagnosis']
  diagnosis = Loaded(
    part_of(loaded.variables, DIAGNOSIS), about['meta'], about['origin']
  )
  table = Loaded(
    part_of(loaded.variables, KNOWLEDGE), loaded.meta, loaded.origin
  )
  params = loaded.variables['params']
  labels_SxG = params.get(TRAIN_LABELS)
  return Parts(
    {KNOWLEDGE: table, DIAGNOSIS: diagnosis},
    None if labels_SxG is None else np.asarray(labels_SxG).astype(bool),
    params.get(TRAIN_IDS),
  )


def fingerprint_in(folder: Path | str) -> str:
  """Of what others keep of a folder as their part.

  That is of a run of the task 'ekagen' its captioner, and of knowledge its
  table.

  Raises:
    CheckpointError: nothing there, or not readable.
  """
  loaded = Loaded.load(folder)
  name = {TASK: CAPTIONER, KNOWLEDGE_TASK: KNOWLEDGE}.get(loaded.task)
  variables = part_of(loaded.variables, name) if name else loaded.variables
  return fingerprint(dataclasses.replace(loaded, variables=variables))


def gather(config: ConfigDict, data, ekagen: EkagenConfig) -> Parts:
  """What the config names, checked against the data and each other.

  Raises:
    UserError: something is not there, or does not fit.
  """
  loaded, labels = {}, ()
  if ekagen.knowledge:
    knowledge = load_knowledge(ekagen.knowledge)
    loaded |= knowledge.loaded
    labels = knowledge.train_labels_SxG, knowledge.train_ids_Sxn
    check_knowledge(loaded[KNOWLEDGE], config, data)
  if ekagen.locator:
    loaded[LOCATOR] = Loaded.load(ekagen.locator)
    FilmReader.of(loaded[LOCATOR].meta, loaded[LOCATOR].origin)
  if ekagen.teacher:
    teacher = load_captioner(ekagen.teacher, 'ekagen.teacher')
    check_teacher(teacher, config, data)
    check_shared(teacher, loaded.get(KNOWLEDGE))
    loaded[TEACHER] = dataclasses.replace(teacher, meta=_kept(teacher.meta))
  return Parts(loaded, *labels)


def check_same(parts: Parts, ekagen: EkagenConfig) -> None:
  """Raises CheckpointError where a folder holds another part than a checkpoint.

  Folders that are gone, or not named, are not asked for.
  """
  for name, folder in (
    (TEACHER, ekagen.teacher),
    (KNOWLEDGE, ekagen.knowledge),
    (LOCATOR, ekagen.locator),
  ):
    if not folder or not Path(folder).exists():
      continue
    mine = fingerprint(parts[name]) if name in parts else None
    if fingerprint_in(folder) != mine:
      raise CheckpointError(
        f'ekagen.{name} names {folder}, which is another {name} than the one '
        'that the checkpoint was trained with: leave it out, or name the same'
      )


def _kept(meta: dict) -> dict:
  """Of a teacher's meta what is read again; its own teachers are not."""
  names = ('format', 'task', 'config', 'tokenizer', 'fused')
  kept = {name: meta[name] for name in names}
  names = ('origin', 'fingerprint')
  kept['parts'] = {
    part: {k: about[k] for k in names}
    for part, about in meta['parts'].items()
    if part == KNOWLEDGE
  }
  return kept
