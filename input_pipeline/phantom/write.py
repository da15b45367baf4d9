"""Writes a phantom as a data set in the R2Gen layout."""

import collections
import dataclasses
import hashlib
import json
import os
import pathlib

import numpy as np

from input_pipeline.atomic_write import atomic_folder, write_json
from input_pipeline.errors import UserError, reason
from input_pipeline.findings import Finding, read_findings
from input_pipeline.phantom.films import draw_films
from input_pipeline.phantom.report import write_report
from input_pipeline.phantom.sampling import (
  PHANTOM_FINDINGS,
  complete,
  sample_findings,
)
from input_pipeline.terminal import progress_bar

VERSION = 3  # goes up when the same seed gives other films or other words

SPLITS = ('train', 'val', 'test')
_TRAIN_SHARE, _VAL_SHARE = 0.86, 0.08
# What a report can say that looks the same on a film.
_DRAWN_AS = {
  'consolidation': 'opacity',
  'pneumonia': 'opacity',
  'mass': 'nodule',
}


class PhantomError(UserError):
  """A phantom that cannot be written as asked."""


@dataclasses.dataclass(frozen=True)
class _Patient:
  """`findings` are those of the report, `drawn` those of the films."""

  id: str
  split: str
  report: str
  findings: list[Finding]
  drawn: list[Finding]


def write_phantom(
  out: str | os.PathLike,
  studies: int,
  seed: int,
  size: int,
  workers: int,
  annotation: str | os.PathLike | None = None,
) -> bool:
  """Writes annotation.json, dataset.json and images/ into `out`.

  Every file is in place, or none: the folder is renamed when it is complete.

  Args:
    studies: how many; ignored with `annotation`, which has its own.
    size: of a film, in pixels.
    workers: processes that draw. The films do not depend on it.
    annotation: R2Gen annotation with real reports: its ids, splits and
      reports are kept, and films drawn from what a rule labeler reads there.

  Returns:
    False if `out` held exactly this phantom already.

  Raises:
    PhantomError: bad arguments, or `out` holds something else.
  """
  out = pathlib.Path(out).absolute()
  _check_numbers(studies, seed, size, workers, annotation)
  content = _read_annotation(annotation) if annotation else None
  description = _describe(studies, seed, size, content)
  if _is_complete(out, description):
    return False
  with atomic_folder(out) as partial:
    (partial / 'images').mkdir()
    if content:
      planned = _plan_annotated(json.loads(content), seed)
    else:
      planned = _plan(studies, seed)
    with progress_bar(
      total=len(planned), desc='Drawing phantom films', unit=' studies'
    ) as bar:
      draw_films(
        partial / 'images',
        [(study.id, study.drawn) for study in planned],
        seed,
        size,
        workers,
        bar.update,
      )
    write_json(partial / 'annotation.json', _to_annotation(planned))
    counts = collections.Counter(study.split for study in planned)
    splits = {split: counts[split] for split in SPLITS}
    write_json(partial / 'dataset.json', description | {'splits': splits})
  return True


def _check_numbers(studies, seed, size, workers, annotation):
  if studies < 10 and not annotation:
    raise PhantomError(f'studies is {studies}; expected at least 10.')
  if seed < 0:
    raise PhantomError(f'seed is {seed}; expected 0 or more.')
  if size < 32:
    raise PhantomError(f'size is {size} pixels; expected at least 32.')
  if workers < 1:
    raise PhantomError(f'workers is {workers}; expected at least 1.')


def _describe(studies, seed, size, content):
  """What dataset.json says, enough to know the same phantom again."""
  description = {
    'name': 'iu_xray-drawn' if content else 'phantom',
    'label_source': 'rules' if content else 'phantom',
    'version': VERSION,
    'seed': seed,
    'size': size,
  }
  if content:
    digest = hashlib.sha256(content).hexdigest()
    return description | {'annotation_sha256': digest}
  return description | {'studies': studies}


def _is_complete(out, description):
  """Whether `out` holds this phantom; raises if it holds anything else."""
  if not out.exists():
    return False
  if not out.is_dir():
    raise PhantomError(f'{out} is a file; expected a folder to be made.')
  if not any(out.iterdir()):
    return False
  try:
    found = json.loads((out / 'dataset.json').read_text())
  except (OSError, ValueError):
    found = None
  if not isinstance(found, dict) or 'version' not in found:
    raise PhantomError(
      f'{out} is not empty and holds no phantom. Choose another folder.'
    )
  differences = [
    f'{key} is {found.get(key)!r}, not {value!r}'
    for key, value in description.items()
    if found.get(key) != value
  ]
  if differences:
    raise PhantomError(
      f'{out} holds another phantom ({", ".join(differences)}). Choose '
      f'another folder, or remove this one.'
    )
  return True


def _plan(count, seed):
  splits = _draw_splits(count, seed)
  studies = []
  for index in range(count):
    rng = np.random.default_rng([seed, index, 0])
    findings = sample_findings(rng)
    report = write_report(findings, rng)
    id_ = f'phantom-{index:06d}'
    studies.append(_Patient(id_, splits[index], report, findings, findings))
  return studies


def _draw_splits(count, seed):
  """86 % train, 8 % val, 6 % test, at least one study in each."""
  val = max(1, round(_VAL_SHARE * count))
  train = min(round(_TRAIN_SHARE * count), count - val - 1)
  splits = ['train'] * train + ['val'] * val + ['test'] * (count - train - val)
  return np.random.default_rng([seed, count, 2]).permutation(splits).tolist()


def _read_annotation(path):
  try:
    content = pathlib.Path(path).read_bytes()
    annotation = json.loads(content)
  except (OSError, ValueError) as error:
    raise PhantomError(
      f'Cannot read the annotation {path}: {reason(error)}.'
    ) from None
  if not isinstance(annotation, dict) or set(annotation) != set(SPLITS):
    raise PhantomError(
      f'{path} is no R2Gen annotation: expected an object with train, val '
      f'and test.'
    )
  ids = set()
  for split in SPLITS:
    for number, entry in enumerate(annotation[split]):
      if fault := _fault_of_entry(entry, ids):
        raise PhantomError(f'{path}: entry {number} of {split}: {fault}.')
      ids.add(entry['id'])
  return content


def _fault_of_entry(entry, ids_before):
  for key in ('id', 'report'):
    if not isinstance(entry, dict) or not isinstance(entry.get(key), str):
      return f'expected an object with the text {key!r}'
  id_ = entry['id']
  if not id_ or id_ in ('.', '..') or pathlib.PurePath(id_).name != id_:
    return f'the id {id_!r} cannot name a folder'
  if id_ in ids_before:
    return f'the id {id_!r} was used before'
  return None


def _plan_annotated(annotation, seed):
  entries = [(split, entry) for split in SPLITS for entry in annotation[split]]
  studies = []
  for index, (split, entry) in enumerate(entries):
    rng = np.random.default_rng([seed, index, 0])
    findings = [
      finding
      for finding in read_findings(entry['report'])
      if finding.status == 'positive'
    ]
    drawn = [complete(finding, rng) for finding in _drawable(findings)]
    studies.append(
      _Patient(entry['id'], split, entry['report'], findings, drawn)
    )
  return studies


def _drawable(findings):
  """The findings that the phantom has, each once in each place."""
  drawable = {}
  for finding in findings:
    name = _DRAWN_AS.get(finding.name, finding.name)
    if name in PHANTOM_FINDINGS:
      finding = dataclasses.replace(finding, name=name)
      drawable[name, finding.side, finding.zone] = finding
  return list(drawable.values())


def _to_annotation(studies):
  annotation = {split: [] for split in SPLITS}
  for study in studies:
    findings = [vars(finding).copy() for finding in study.findings]
    for finding in findings:
      del finding['status']  # all of them are positive
    annotation[study.split].append(
      {
        'id': study.id,
        'report': study.report,
        'image_path': [f'{study.id}/0.png', f'{study.id}/1.png'],
        'split': study.split,
        'findings': findings,
      }
    )
  return annotation
