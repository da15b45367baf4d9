"""Finding a study's report by its films, and its films by its report.

The direct measure of what a contrastive loss does. Each split's films and
reports are unit vectors (`ReportGenerator.align`: neither has seen the other);
the candidates of a query are all the split's reports, or all its films, in the
order of their cosines.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from cmn_jax.scores.checks import check_finite

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
  check_finite(np.asarray(films_SxF), 'image features')
  check_finite(np.asarray(text_SxF), 'report features')
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
