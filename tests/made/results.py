"""Labels to be scored, and what holds of every result."""

from collections.abc import Iterator, Mapping

import numpy as np


def made_labels(seed=0, studies=60):
  """Truth, what is known of it, and probabilities with many ties, (S, 4)."""
  rng = np.random.default_rng(seed)
  truth = rng.random((studies, 4)) < np.array([0.3, 0.05, 0.4, 0.3])
  known = rng.random((studies, 4)) < 0.9
  probability = np.round(0.6 * truth + 0.7 * rng.random((studies, 4)), 1)
  return truth, known, np.minimum(probability, 1.0)


def intervals_of(results: Mapping) -> Iterator[tuple[str, float, float, float]]:
  """(name, low, value, high) of each interval, at any depth."""
  for key, content in results.items():
    if key == 'intervals':
      for name, (low, high) in content.items():
        yield name, low, results[name], high
    elif key.endswith('_interval'):
      name = key.removesuffix('_interval')
      yield name, content[0], results[name], content[1]
    elif isinstance(content, Mapping):
      for name, *numbers in intervals_of(content):
        yield f'{key}.{name}', *numbers


def check_intervals(results: Mapping) -> list[str]:
  """Names of the intervals, each of which holds its value.

  The bounds differ where the value is not at an end of its scale: an interval
  of one resample would be a point.
  """
  names = []
  for name, low, value, high in intervals_of(results):
    assert low <= value <= high, f'{name}: {low} {value} {high}'
    assert low < high or value in (0.0, 1.0), f'{name} is a point at {value}'
    names.append(name)
  return names
