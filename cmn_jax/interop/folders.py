"""A converted checkpoint's folder: model/ and meta/, both or nothing."""

from pathlib import Path

from cmn_jax.interop.names import ConversionError
from cmn_jax.training.checkpoints import save_model
from input_pipeline.atomic_write import atomic_folder


def check_free(out: Path | str) -> None:
  """Raises ConversionError where a folder that is to be made holds anything."""
  out = Path(out)
  if out.exists() and (not out.is_dir() or any(out.iterdir())):
    raise ConversionError(
      f'{out} exists and is not empty: choose another --out'
    )


def check_new(out: Path | str) -> None:
  """Raises ConversionError where a file that is to be made exists."""
  if Path(out).exists():
    raise ConversionError(f'{out} exists: choose another --out')


def write_folder(out: Path | str, variables: dict, meta: dict) -> None:
  """Writes out/model and out/meta; an empty folder may be there."""
  with atomic_folder(Path(out).absolute()) as partial:
    save_model(partial, variables, meta)
