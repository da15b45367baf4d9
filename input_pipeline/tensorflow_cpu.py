"""TensorFlow and TFDS: quiet, and kept off the accelerators, which are JAX's.

Import both from here, never directly.
"""

import os
import tempfile

# Read when TensorFlow is imported, so set before.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')  # it announces itself
if os.path.expanduser('~') == '~':  # Keras would make a folder of that name.
  os.environ.setdefault('KERAS_HOME', f'{tempfile.gettempdir()}/keras')

import tensorflow as tf
import tensorflow_datasets as tfds

tf.config.set_visible_devices([], 'GPU')
tfds.disable_progress_bar()  # the builders show their own, with a total

__all__ = ['tf', 'tfds']
