"""TensorFlow and TFDS: quiet, and kept off the accelerators, which are JAX's.

Take both from here, never directly. They load when something of them is first
asked for, as importing takes longer than writing a report: who imports this
module has not paid for it, if no name of theirs is used at its top level.
"""

import functools
import importlib
import os
import tempfile

# Read when TensorFlow is imported, so set before.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')  # it announces itself
if os.path.expanduser('~') == '~':  # Keras would make a folder of that name.
  os.environ.setdefault('KERAS_HOME', f'{tempfile.gettempdir()}/keras')

__all__ = ['load', 'tf', 'tfds']


@functools.cache
def load(name: str = 'tensorflow'):
  """The module; for who imports what imports TensorFlow by itself."""
  module = importlib.import_module(name)
  if name == 'tensorflow':
    module.config.set_visible_devices([], 'GPU')
  else:
    load()
    module.disable_progress_bar()  # the builders show their own, with a total
  return module


class _Late:
  """A module by its name, not imported before it is read."""

  def __init__(self, name: str):
    self._name = name

  def __getattr__(self, attribute: str):
    return getattr(load(self._name), attribute)


tf, tfds = _Late('tensorflow'), _Late('tensorflow_datasets')
