"""Reports of a few sentences, and worse ones, for scores and their tests."""

import random

SENTENCES = (
  'the lungs are clear .',
  'no effusion or pneumothorax is seen .',
  'the heart is large .',
  'the heart is normal in size .',
  'degenerative changes of the spine .',
)


def reports_of(studies: int, seed: int) -> list[str]:
  """Three different sentences each."""
  rng = random.Random(seed)
  return [' '.join(rng.sample(SENTENCES, 3)) for _ in range(studies)]


def spoilt(reports: list[str], seed: int, rate: float = 0.5) -> list[str]:
  """The reports, in which words are lost at random."""
  rng = random.Random(seed)
  return [
    ' '.join(w for w in report.split() if rng.random() > rate)
    for report in reports
  ]
