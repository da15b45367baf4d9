"""TensorFlow and TFDS: quiet, and kept off the accelerators, which are JAX's.

Import both from here, never directly.
"""

import contextlib
import os
import tempfile

# Read when TensorFlow is imported, so set before.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')  # it announces itself
if os.path.expanduser('~') == '~':  # Keras would make a folder of that name.
  os.environ.setdefault('KERAS_HOME', f'{tempfile.gettempdir()}/keras')

import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

tf.config.set_visible_devices([], 'GPU')
tfds.disable_progress_bar()  # the builders show their own, with a total

__all__ = ['tf', 'tfds', 'without_warnings']


@contextlib.contextmanager
def without_warnings():
  """Silences TFDS where it warns of what is meant to be so."""
  verbosity = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)
  try:
    yield
  finally:
    logging.set_verbosity(verbosity)
