"""What is selected of small folders, for the tests of the readers."""

from input_pipeline.config import DataConfig
from input_pipeline.layouts import detect


def select(folder, **changes):
  """The data set of a folder, its films not looked for."""
  config = DataConfig(str(folder), **changes)
  return detect.select(config, folder.parent / 'scratch')


def scan(folder, **changes):
  """The data set of a folder, its films looked for."""
  config = DataConfig(str(folder), **changes)
  return detect.scan(config, folder.parent / 'scratch')


def kept(dataset):
  """All studies by id."""
  return {s.id: s for split in dataset.studies.values() for s in split}


def dropped(dataset):
  """How many were left out, by reason."""
  return {why: n for why, n in dataset.dropped.items() if n}
