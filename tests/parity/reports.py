"""Reports that both write, word by word."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterable

import jax
import numpy as np

from cmn_jax.decoding.generate import Decoding, make_writer
from cmn_jax.models.images import normalise_images
from tests.parity import authors, draw, models, training
from tests.parity.kept import Kept, digest_of
from tests.parity.results import Row, none_of

# Beams of each method, by the authors' name.
METHODS = {'beam_search': 3, 'greedy': 1}
SEED = 1  # Of the weights.


def reports(
  size: models.Size,
  views: int,
  methods: Iterable[str],
  literal: int,
  kept: Kept,
) -> list[Row]:
  """Ids by beam search and greedily.

  Args:
    size: of the model.
    views: films of a study.
    methods: keys of METHODS.
    literal: so many studies also without our shortcut in their code.
    kept: their answers so far.
  """
  theirs, ours, variables = models.pair(size, views, SEED)
  given = asked(size, views, literal)
  return compare_reports(theirs, ours, variables, given, methods, kept)


@dataclasses.dataclass(frozen=True)
class Asked:
  """What reports are compared on.

  Attributes:
    films: uint8 (B, I, H, W).
    name: of the model, for the table.
    batch: studies at once.
    literal: so many studies also without our shortcut in their code.
  """

  films: np.ndarray
  name: str
  batch: int
  literal: int


def asked(size: models.Size, views: int, literal: int) -> Asked:
  """The films that a model of this size is asked about."""
  films = draw.draw_films(size.studies, views, size.image, seed=3)
  return Asked(films, size.name, size.batch, literal)


def compare_reports(
  theirs, ours, variables, asked: Asked, methods: Iterable[str], kept: Kept
) -> list[Row]:
  """Rows for the ids of both by each of `methods`."""
  weights = digest_of(training.state_of(theirs))

  def write_theirs(films, method, shortcuts=True):
    def write():
      images = np.asarray(normalise_images(films))
      how = contextlib.nullcontext if shortcuts else authors.as_written
      with how():
        ids = authors.write(theirs, images, method, METHODS[method])
      return {'ids': ids}

    given = {'weights': weights, 'films': films, 'method': method}
    return kept.get(write, **given, shortcuts=shortcuts)['ids']

  rows = []
  for method in methods:
    beams, expected, got = METHODS[method], [], []
    decoding = Decoding('beam' if beams > 1 else 'greedy', beams, 1.0, 1.0, 0)
    write = jax.jit(make_writer(ours, decoding))
    parts = [
      asked.films[start : start + asked.batch]
      for start in range(0, len(asked.films), asked.batch)
    ]
    for number, films in enumerate(parts, start=1):
      expected.append(write_theirs(films, method))
      _tell(f'{asked.name}, {method}: theirs {number} of {len(parts)}')
    for films in parts:
      images = np.asarray(normalise_images(films))
      ids, _ = write(variables, images, np.ones(len(images), bool))
      got.append(np.asarray(ids))
    expected, got = np.concatenate(expected), np.concatenate(got)
    differing = int(np.sum(np.any(expected != got, axis=1)))
    on = f'{asked.name}, {len(got)} studies ({_describe(expected)})'
    what = f'ids, {"beam 3" if beams > 1 else "greedy"}'
    rows.append(none_of(what, on, differing, len(got)))
    if not asked.literal:
      continue
    plain = write_theirs(asked.films[: asked.literal], method, shortcuts=False)
    differing = int(np.sum(np.any(expected[: asked.literal] != plain, axis=1)))
    what = f'{what}: theirs as written, and with our shortcuts'
    on = f'{asked.name}, {asked.literal} studies'
    rows.append(none_of(what, on, differing, asked.literal))
  return rows


def _describe(ids_BxT) -> str:
  lengths = (ids_BxT > 0).sum(1)
  full = int(np.sum(lengths == ids_BxT.shape[1]))
  distinct = len({tuple(row) for row in ids_BxT})
  return f'{distinct} distinct, {full} reach the limit'


def _tell(line: str):
  print(line, file=sys.stderr, flush=True)
