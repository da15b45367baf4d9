"""TFDS builders: `tfds.load('iu_xray')` finds them after one import of this.

  import tensorflow_datasets as tfds
  import input_pipeline.tfds_builders

The rest of the project never imports them: it reads folders by itself.
"""

from input_pipeline.tfds_builders.iu_xray import IuXray
from input_pipeline.tfds_builders.mimic_cxr import MimicCxr

__all__ = ['IuXray', 'MimicCxr']
