"""Which study is for training, for choosing, and for the one test."""

import collections
import hashlib
import pathlib
from collections.abc import Iterable, Sequence

from input_pipeline.errors import quoted
from input_pipeline.findings import NO_FINDING, chexpert_labels
from input_pipeline.layouts import official
from input_pipeline.layouts.rows import read_json
from input_pipeline.study import SPLITS, DataError, Study, join_key
from input_pipeline.tokenizers import clean_iu_xray

HASH_SPLIT = 'hash-v1'
_SALT = b'cmn_jax hash-v1\n'
_ENDS = {'train': 0.7, 'val': 0.8, 'test': 1.0}


def hash_split(studies: Sequence[Study]) -> list[str]:
  """The split 'hash-v1' of each of `studies`, in their order.

  Studies whose cleaned report is the same stay together. The groups of normal
  and of other reports are each put in the order of a salted hash of the
  report and cut at 70 % and 80 % of the studies. 'Normal' is what the rules
  read in the text, so that all layouts of the same studies split alike.
  """
  hashes = [_hash(clean_iu_xray(study.report)) for study in studies]
  sizes, normal = collections.Counter(hashes), {}
  for study, digest in zip(studies, hashes, strict=True):
    if digest not in normal:
      labels = chexpert_labels(clean_iu_xray(study.report))
      normal[digest] = labels[NO_FINDING] is not None
  split_of = {}
  for stratum in (True, False):
    groups = sorted(d for d in sizes if normal[d] is stratum)
    total, before = sum(sizes[d] for d in groups), 0
    for digest in groups:
      centre = (before + sizes[digest] / 2) / total
      split_of[digest] = next(s for s in SPLITS if centre < _ENDS[s])
      before += sizes[digest]
  return [split_of[digest] for digest in hashes]


def read_split_file(path: str) -> dict[str, tuple[str, str, int]]:
  """{key of a study: (id, split, rank)} of an annotation.json.

  Raises:
    DataError: no such file, not an annotation, or a study twice.
  """
  if not pathlib.Path(path).is_file():
    raise DataError(f'There is no split file {path}.')
  annotation = read_json(pathlib.Path(path))
  entries = {}
  for split in SPLITS:
    listed = annotation.get(split) if isinstance(annotation, dict) else None
    if not isinstance(listed, list):
      raise DataError(f'The split file {path} has no list {split!r}.')
    for entry in listed:
      name = entry.get('id') if isinstance(entry, dict) else None
      if not isinstance(name, str) or study_key(name) in entries:
        raise DataError(
          f'The split file {path} names {quoted(name)} twice or as no text.'
        )
      entries[study_key(name)] = name, split, len(entries)
  return entries


def study_key(name: str) -> str:
  """What a study is called in every layout of the Indiana collection.

  Of other collections, the id itself.
  """
  return join_key(name) or name


def part_digest(studies: Iterable[Study]) -> str:
  """12 hex digits of the studies of one part: equal ones, equal digits."""
  keys = sorted(study_key(study.id) for study in studies)
  return hashlib.sha256('\n'.join(keys).encode()).hexdigest()[:12]


def split_source(source: str, studies: dict[str, list[Study]]) -> str:
  """Whose split this is: `source`, or R2Gen's where all studies are its own.

  'r2gen' if none of its studies is missing, else 'r2gen, 2,953 of 2,955'.
  """
  parts = [
    (official.split_of(study.id), split)
    for split, members in studies.items()
    for study in members
  ]
  if source == HASH_SPLIT or any(own != split for own, split in parts):
    return source
  if all(is_official(*part) for part in studies.items()):
    return official.NAME
  whole = sum(official.COUNTS.values())
  return f'{official.NAME}, {len(parts):,} of {whole:,}'


def is_official(split: str, studies: list[Study]) -> bool:
  """Whether the studies are the part `split` of R2Gen's split, all of it."""
  return part_digest(studies) == official.DIGESTS[split]


def _hash(text):
  return hashlib.sha256(_SALT + text.encode('utf-8', 'replace')).digest()
