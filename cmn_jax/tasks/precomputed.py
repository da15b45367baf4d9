"""Arrays of a split's studies that are computed once, and then read."""

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from cmn_jax.training import distributed
from cmn_jax.training.distributed import log
from cmn_jax.training.parallel import Parallel
from cmn_jax.training.studies import OverStudies
from input_pipeline import batches
from input_pipeline.atomic_write import atomic_path
from input_pipeline.config import DataConfig
from input_pipeline.errors import first_line

# Changes with what the arrays in the cache are, and with how they come about.
_FORMAT = 4


def of_images(
  config: ConfigDict,
  data,
  split: str,
  name: str,
  key: object,
  variables: dict,
  function: Callable,
  more: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
  """What a function gives for the images of each study of a split, (S, ...).

  Computed once: the arrays are read from data.cache_dir where they are there.

  Args:
    config: the whole one.
    data: `input_pipeline.data.Data`.
    split: of the data; its images are plain, without crop or flip.
    name: what the arrays are, such as 'maps'.
    key: all that they depend on beside the split's images and reports, such
      as a model's fingerprint; told apart by its repr.
    variables: of the function, on the host.
    function: (variables, batch) to rows (B, ...) by name, of one device.
    more: arrays (S, ...) that join each batch by its studies.
  """
  studies = data.studies[split]
  about = [
    _FORMAT,
    key,
    data.films.key,
    # Streamed images have these from the config alone.
    tuple(DataConfig(**config.data).sizes.values()),
    config.model.dtype,
    [study.id for study in studies],
    data.ids[split].tobytes(),
  ]
  digest = hashlib.sha256(repr(about).encode()).hexdigest()[:16]
  folder = Path(config.data.cache_dir).expanduser() / 'precomputed'
  path = folder / f'{split}-{name}-{digest}.npz'
  arrays = _read(path)
  # Processes whose caches differ compute together.
  if not distributed.any_says(arrays is None):
    return arrays
  log(f'computing {name} of {len(studies)} {split} studies, once')
  parallel = Parallel(config.train.parallel)
  plain = batches.eval_batches(
    data, split, batch_size=config.eval.batch_size, **distributed.part()
  )
  rows = (
    {**batch, **{k: x[batch['study_B']] for k, x in (more or {}).items()}}
    for batch in plain
  )
  run = OverStudies(function, parallel)
  arrays = run(parallel.replicate(variables), rows, len(studies)).arrays
  folder.mkdir(parents=True, exist_ok=True)
  with atomic_path(path) as partial, partial.open('wb') as file:
    np.savez(file, **arrays)
  return dict(arrays)


def _read(path: Path) -> dict[str, np.ndarray] | None:
  """The arrays of a file; None where there is none, or one that is cut off."""
  try:
    with np.load(path) as arrays:
      return dict(arrays)
  except FileNotFoundError:
    return None
  except (EOFError, ValueError, zipfile.BadZipFile) as error:
    log(f'{path} is damaged ({first_line(error)}): computed anew')
    return None
