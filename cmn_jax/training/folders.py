"""Folders of a model that no run has left: written whole, or not at all."""

import shutil
from pathlib import Path

from cmn_jax.training.checkpoints import CheckpointError, save_model


def check_free(out: Path | str) -> None:
  """Raises CheckpointError unless a folder can be made there."""
  out = Path(out)
  if out.exists() and (not out.is_dir() or any(out.iterdir())):
    raise CheckpointError(
      f'{out} exists and is not empty: choose another --out'
    )


def write_folder(out: Path | str, variables: dict, meta: dict) -> None:
  """Writes out/model and out/meta, both or nothing; `out` must be free."""
  out = Path(out).absolute()
  partial = out.with_name(f'{out.name}.partial')
  shutil.rmtree(partial, ignore_errors=True)
  try:
    save_model(partial, variables, meta)
    if out.exists():
      out.rmdir()
    partial.rename(out)
  finally:
    shutil.rmtree(partial, ignore_errors=True)
