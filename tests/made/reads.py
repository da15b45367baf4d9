"""Which fields of a config a program reads, and not only copies or checks."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from ml_collections import ConfigDict

from cmn_jax.decoding.generate import Decoding
from cmn_jax.models.alignment import AlignmentConfig
from cmn_jax.models.classifier import ClassifierConfig
from cmn_jax.models.config import ModelConfig
from cmn_jax.models.consensus import ConsensusConfig
from cmn_jax.models.ekagen_config import EkagenConfig
from cmn_jax.training.optimizer import OptimConfig
from input_pipeline.augmentation import Augmentation
from input_pipeline.config import DataConfig

# Where the fields of a section are read from once it has been passed on.
SECTIONS = {
  DataConfig: 'data',
  Augmentation: 'data',
  ModelConfig: 'model',
  AlignmentConfig: 'alignment',
  ClassifierConfig: 'classifier',
  ConsensusConfig: 'consensus',
  EkagenConfig: 'ekagen',
  OptimConfig: 'optim',
  Decoding: 'decode',
}
_OURS = tuple(
  str(Path(__file__).parents[2] / name)
  for name in ('cmn_jax', 'input_pipeline')
)
# Of these functions a read says nothing: they check, copy or hash all fields.
_NO_READERS = ('__post_init__', 'augmentation', 'difference', 'flat')


@contextlib.contextmanager
def recorded() -> Iterator[set[str]]:
  """Within this, fields that the program's own lines read are added to a set.

  A read is `config.section.field`, or `.field` of the dataclass that a section
  was unpacked into; unpacking itself is none.
  """
  found, before = set(), ConfigDict.__getattr__

  def read_config(config, name):
    value = before(config, name)
    path = config.__dict__.get('_path', '') + name
    if isinstance(value, ConfigDict):
      object.__setattr__(value, '_path', f'{path}.')
    elif _by_us():
      found.add(path)
    return value

  def reader(section):
    def read_dataclass(self, name):
      if name in type(self).__dataclass_fields__ and _by_us():
        found.add(f'{section}.{name}')
      return object.__getattribute__(self, name)

    return read_dataclass

  ConfigDict.__getattr__ = read_config
  for one, section in SECTIONS.items():
    one.__getattribute__ = reader(section)
  try:
    yield found
  finally:
    ConfigDict.__getattr__ = before
    for one in SECTIONS:
      del one.__getattribute__


def _by_us() -> bool:
  """Whether a line of the program reads, other than in a check."""
  code = sys._getframe(2).f_code
  ours = code.co_filename.startswith(_OURS)
  # A comprehension is a frame of its own before Python 3.12.
  names = code.co_qualname.split('.')
  return ours and not set(names) & set(_NO_READERS)
