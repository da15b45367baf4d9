"""Selections of small folders, for the tests of the readers."""

from input_pipeline.layouts import detect as layouts
from input_pipeline.study import Selection


def selection(**changes):
  """R2Gen's rule, with `changes`."""
  fields = {
    'sections': 'findings',
    'views': 2,
    'view_rule': 'first',
    'min_films': 2,
    'split_from': None,
  }
  return Selection(**(fields | changes))


def select(folder, **changes):
  """The data set of a folder, its films not looked for."""
  scratch = folder.parent / 'scratch'
  return layouts.select(folder, selection(**changes), scratch)


def scan(folder, **changes):
  """The data set of a folder, its films looked for."""
  scratch = folder.parent / 'scratch'
  return layouts.scan(folder, selection(**changes), scratch)


def kept(dataset):
  """All studies by id."""
  return {s.id: s for split in dataset.studies.values() for s in split}


def dropped(dataset):
  """How many were left out, by reason."""
  return {why: n for why, n in dataset.dropped.items() if n}
