"""Arrays of a split's studies that are computed once, and then read."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cmn_jax.training.distributed import log
from input_pipeline.atomic_write import atomic_path

# Changes with what the arrays in the cache are.
_FORMAT = 2


def per_study(
  cache_dir: str,
  name: str,
  data,
  split: str,
  key: object,
  compute: Callable[[], dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
  """Arrays (S, ...) of a split, from the cache where they are there.

  Args:
    cache_dir: the cache's folder.
    name: what they are, such as 'features'.
    data: `input_pipeline.data.Data`.
    split: of which they are.
    key: all that they depend on beside the split's images and reports, such
      as a model's fingerprint; told apart by its repr.
    compute: gives them where they are not there.
  """
  about = [
    _FORMAT,
    key,
    data.films.key,
    [study.id for study in data.studies[split]],
    data.ids[split].tobytes(),
  ]
  digest = hashlib.sha256(repr(about).encode()).hexdigest()[:16]
  folder = Path(cache_dir).expanduser() / 'precomputed'
  path = folder / f'{split}-{name}-{digest}.npz'
  if path.exists():
    with np.load(path) as arrays:
      return dict(arrays)
  log(f'computing {name} of {len(data.studies[split])} {split} studies, once')
  arrays = compute()
  folder.mkdir(parents=True, exist_ok=True)
  with atomic_path(path) as partial, partial.open('wb') as file:
    np.savez(file, **arrays)
  return arrays
