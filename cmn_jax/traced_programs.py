"""Traces of programs on disk: a start that finds one runs no model's Python.

JAX's compilation cache keeps what XLA makes of a program, and looks it up by
the program's text: that text takes seconds of Python for a hundred layers, and
is what is kept here, beside it, in the form of `jax.export`.
"""

import functools
import hashlib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import jax
import jax.export

from input_pipeline.atomic_write import atomic_path

_FOLDER = 'traced'
_PACKAGES = 'jax', 'jaxlib', 'flax'
# Of JAX's settings, those that change what a function computes.
_SETTINGS = (
  *('jax_enable_x64', 'jax_default_matmul_precision'),
  *('jax_default_prng_impl', 'jax_threefry_partitionable'),
)


def jit_and_keep(function: Callable, about: object) -> Callable:
  """`jax.jit(function)`, whose traces are kept for later processes.

  Without a compilation cache, or where a program cannot be kept, it is
  `jax.jit` alone.

  Args:
    function: of trees of arrays.
    about: of which the repr tells all that the function closes over and that
      changes its program. The project's own source is told apart by itself;
      code from elsewhere, such as an encoder of one's own, is not.
  """
  jitted, traces = jax.jit(function), {}

  def call(*args):
    folder = jax.config.jax_compilation_cache_dir
    if not folder or '://' in folder:  # JAX alone knows buckets.
      return jitted(*args)
    shapes = jax.tree.map(jax.typeof, args)
    key = repr(shapes)
    if key not in traces:
      name = hashlib.sha256(
        '\n'.join([_surroundings(), repr(about), key]).encode()
      ).hexdigest()
      file = Path(folder) / _FOLDER / f'{name}.stablehlo'
      exported = _read(file) or _export(jitted, args, file)
      traces[key] = jax.jit(exported.call) if exported else jitted
    return traces[key](*args)

  return call


@functools.cache
def _surroundings() -> str:
  """The project's source, versions, settings and the kind of device."""
  digest = hashlib.sha256()
  root = Path(__file__).parents[1]
  for package in 'cmn_jax', 'input_pipeline':
    for path in sorted((root / package).rglob('*.py')):
      digest.update(str(path.relative_to(root)).encode())
      digest.update(path.read_bytes())
  versions = [metadata.version(name) for name in _PACKAGES]
  settings = [repr(getattr(jax.config, name)) for name in _SETTINGS]
  device = jax.devices()[0]
  kind = device.platform, device.device_kind
  return '\n'.join([digest.hexdigest(), *versions, *settings, *kind])


def _read(file: Path) -> jax.export.Exported | None:
  try:
    return jax.export.deserialize(bytearray(file.read_bytes()))
  except Exception:  # Not there, cut short or of another form: it is made.
    return None


def _export(jitted, args, file: Path) -> jax.export.Exported | None:
  """Traces and keeps; None where JAX cannot export such a program."""
  try:
    exported = jax.export.export(jitted)(*args)
    content = exported.serialize()
  except Exception:  # The plain program then says what is wrong, if anything.
    return None
  try:
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as partial:
      partial.write_bytes(content)
  except OSError:  # A full or read-only disk: this process has its trace.
    pass
  return exported
