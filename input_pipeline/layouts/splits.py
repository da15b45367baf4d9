"""Which study is for training, for choosing, and for the one test."""

import collections
import hashlib
import json
import pathlib

from input_pipeline.findings import NO_FINDING, chexpert_labels
from input_pipeline.study import SPLITS, DataError, join_key
from input_pipeline.tokenizers import clean_iu_xray

HASH_SPLIT = 'hash-v1'
OFFICIAL_SPLIT = 'r2gen'

# Of the ids and their splits, by `members_digest`.
_OFFICIAL_DIGEST = '03028610d862ac3e'
_SALT = b'cmn_jax hash-v1\n'
_ENDS = {'train': 0.7, 'val': 0.8, 'test': 1.0}


def hash_split(studies):
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


def read_split_file(path):
  """{key of a study: (id, split, rank)} of an annotation.json; and its name.

  The key is the number and the series of the Indiana collection, or, where an
  id has none, the id.
  """
  path = pathlib.Path(path)
  try:
    annotation = json.loads(path.read_bytes())
  except FileNotFoundError:
    raise DataError(f'There is no split file {path}.') from None
  except ValueError as error:
    raise DataError(f'The split file {path} is not JSON: {error}.') from None
  entries, members = {}, []
  for split in SPLITS:
    listed = annotation.get(split) if isinstance(annotation, dict) else None
    if not isinstance(listed, list):
      raise DataError(f'The split file {path} has no list {split!r}.')
    for entry in listed:
      name = entry.get('id') if isinstance(entry, dict) else None
      if not isinstance(name, str) or study_key(name) in entries:
        raise DataError(
          f'The split file {path} names {name!r} twice or as no text.'
        )
      entries[study_key(name)] = name, split, len(entries)
      members.append((name, split))
  return entries, split_name(path.name, members)


def study_key(name):
  """What a study is called in every layout of the Indiana collection."""
  return join_key(name) or name


def split_name(file_name, members):
  """'r2gen' for the official split of IU X-Ray, else the name of its file."""
  official = members_digest(members) == _OFFICIAL_DIGEST
  return OFFICIAL_SPLIT if official else file_name


def members_digest(members):
  """16 hex digits of (id, split) pairs in any order."""
  lines = sorted(f'{name}\t{split}\n' for name, split in members)
  return hashlib.sha256(''.join(lines).encode()).hexdigest()[:16]


def _hash(text):
  return hashlib.sha256(_SALT + text.encode('utf-8', 'replace')).digest()
