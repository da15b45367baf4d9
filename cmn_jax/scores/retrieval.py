"""Finding a study's report by its films, and its films by its report.

The direct measure of what a contrastive loss does. Each split's films and
reports are unit vectors (`ReportGenerator.align`: neither has seen the other);
the candidates of a query are all the split's reports, or all its films, in the
order of their cosines.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cmn_jax.models.alignment import Alignment, AlignmentShape
from cmn_jax.models.films import normalise_films
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.training.distributed import joined
from cmn_jax.training.parallel import Parallel
from cmn_jax.training.state import STEP_ARRAYS

RECALLS = (1, 5, 10)


def retrieval_scores(films_SxF, text_SxF, reports: Sequence[Hashable]) -> dict:
  """Recall at 1, 5 and 10 and the median rank, both ways, and chance's recall.

  Studies with the same report cannot be told apart by it: finding any of them
  counts. A wrong candidate as similar as the right one ranks before it, so that
  features that are all alike find nothing.

  Args:
    films_SxF: a unit vector of each study's films.
    text_SxF: a unit vector of each study's report.
    reports: equal for equal reports.
  """
  numbers = {report: n for n, report in enumerate(dict.fromkeys(reports))}
  report_S = np.array([numbers[report] for report in reports])
  right_SxS = report_S[:, None] == report_S
  cosine_SxS = np.asarray(films_SxF) @ np.asarray(text_SxF).T
  copies = Counter(report_S.tolist())
  return {
    'image_to_report': _of_ranks(_ranks(cosine_SxS, right_SxS)),
    'report_to_image': _of_ranks(_ranks(cosine_SxS.T, right_SxS)),
    'chance': {
      f'recall_{k}': _chance(list(copies.values()), len(reports), k)
      for k in RECALLS
    },
    'studies': len(reports),
    'distinct_reports': len(numbers),
  }


def _ranks(cosine_SxS, right_SxS):
  """Rank of the best right candidate of each row, from 1."""
  best_S = np.where(right_SxS, cosine_SxS, -np.inf).max(axis=1)
  before_SxS = ~right_SxS & (cosine_SxS >= best_S[:, None])
  return 1 + before_SxS.sum(axis=1)


def _of_ranks(rank_S) -> dict:
  recalls = {f'recall_{k}': float(np.mean(rank_S <= k)) for k in RECALLS}
  return {**recalls, 'median_rank': float(np.median(rank_S))}


def _chance(copies: list[int], studies: int, k: int) -> float:
  """Recall of a random order: one less the share that holds no right one."""
  k = min(k, studies)
  missed = sum(
    n * math.comb(studies - n, k) / math.comb(studies, k) for n in copies
  )
  return 1 - missed / studies


class Aligner:
  """Unit vectors of a split, by a model's own alignment or an untrained one.

  Args:
    model: with or without alignment.
    variables: of the model, numpy or on the devices.
    untrained: that a model without alignment is given, random by `seed`: what
      its features are worth before any alignment.
    seed: of those random weights.
    parallel: the devices.
  """

  def __init__(
    self,
    model: ReportGenerator,
    variables,
    untrained: AlignmentShape,
    seed: int,
    parallel: Parallel,
  ):
    self.projection = 'trained'
    if not model.shape.alignment:
      self.projection = 'untrained'
      shape = dataclasses.replace(model.shape, alignment=untrained)
      model = model.clone(shape=shape)
      params = variables['params']
      features, words = (
        params['patch_embed']['kernel'].shape[0],
        params['logits']['kernel'].shape[1],
      )
      start = Alignment(untrained).init(
        jax.random.key(seed),
        jnp.zeros((1, 1, words)),
        jnp.ones((1, 1), bool),
        jnp.zeros((1, 1, features)),
      )
      alignment = jax.tree.map(np.asarray, start['params'])
      params = {**params, 'alignment': alignment}
      variables = {**variables, 'params': params}

    def align(variables, batch):
      images = normalise_films(batch['images_BxIxHxW'])
      return model.apply(
        variables,
        images,
        batch['ids_BxT'],
        batch['mask_B'],
        batch['mask_BxI'],
        method='align',
      )

    self._parallel = parallel
    self._variables = parallel.replicate(variables)
    self._align = parallel.map_studies(align)

  def __call__(self, batches: Iterable[dict], reports) -> dict:
    """The content of test.json's retrieval, of studies with these reports.

    Args:
      batches: this process's rows.
      reports: of all studies.
    """
    films_SxF, text_SxF = None, None
    for batch in batches:
      arrays = {name: batch[name] for name in STEP_ARRAYS}
      rows = self._align(self._variables, self._parallel.split(arrays))
      if films_SxF is None:
        size = (len(reports), rows['text_BxF'].shape[1])
        films_SxF, text_SxF = np.zeros(size), np.zeros(size)
      kept = batch['mask_B']
      films_SxF[batch['study_B'][kept]] = rows['films_BxF'][kept]
      text_SxF[batch['study_B'][kept]] = rows['text_BxF'][kept]
    return {
      'projection': self.projection,
      **retrieval_scores(joined(films_SxF), joined(text_SxF), reports),
    }
