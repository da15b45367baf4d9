"""Arrays of a split's studies that are computed once, and then read."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from cmn_jax.training import distributed
from cmn_jax.training.distributed import log
from cmn_jax.training.parallel import Parallel
from cmn_jax.training.studies import OverStudies
from input_pipeline import batches
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


def of_images(
  config: ConfigDict,
  data,
  split: str,
  name: str,
  key: object,
  variables: dict,
  function: Callable,
) -> dict[str, np.ndarray]:
  """What a function gives for the images of each study, computed once.

  Args:
    config: the whole one.
    data: `input_pipeline.data.Data`.
    split: of the data; its images are plain, without crop or flip.
    name: what the arrays are; see `per_study`, as for `key`.
    key: all that they depend on beside images and reports.
    variables: of the function, on the host.
    function: (variables, batch) to rows (B, ...) by name, of one device.
  """

  def compute():
    parallel = Parallel(config.train.parallel)
    rows = batches.eval_batches(
      data, split, batch_size=config.eval.batch_size, **distributed.part()
    )
    run = OverStudies(function, parallel)
    studies = len(data.studies[split])
    return dict(run(parallel.replicate(variables), rows, studies).arrays)

  return per_study(config.data.cache_dir, name, data, split, key, compute)
