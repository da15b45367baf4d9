"""What the authors' code answered, kept: a long check can be gone on with."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np


class Kept:
  """A folder of answers by all that they depend on.

  Attributes:
    folder: where they are.
    code: digest of the authors' code.
  """

  def __init__(self, folder: Path, checkout: Path):
    self.folder = folder
    digest = hashlib.sha256()
    for path in sorted(checkout.rglob('*.py')):
      digest.update(path.read_bytes())
    self.code = digest.hexdigest()

  def get(
    self, compute: Callable[[], dict[str, np.ndarray]], **inputs
  ) -> dict[str, np.ndarray]:
    """compute()'s arrays, from the folder where the same was asked before.

    Args:
      compute: asks the authors' code.
      **inputs: all that the answer depends on: arrays, or what has a repr.
    """
    path = self.folder / f'{digest_of({"code": self.code, **inputs})}.npz'
    if not path.exists():
      arrays = compute()
      self.folder.mkdir(parents=True, exist_ok=True)
      partial = path.with_suffix('.partial')
      with partial.open('wb') as file:
        np.savez(file, **arrays)
      os.replace(partial, path)
    with np.load(path) as arrays:
      return dict(arrays)


def digest_of(inputs: Mapping) -> str:
  """A digest of names and arrays (or what has a repr), in their order."""
  digest = hashlib.sha256()
  for name, value in inputs.items():
    digest.update(f'{name}:'.encode())
    if isinstance(value, np.ndarray):
      digest.update(f'{value.dtype}{value.shape}'.encode())
      digest.update(np.ascontiguousarray(value).tobytes())
    else:
      digest.update(repr(value).encode())
  return digest.hexdigest()
