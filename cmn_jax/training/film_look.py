"""What training films look like, for a checkpoint's meta."""

import numpy as np

from cmn_jax.training.distributed import log
from cmn_jax.training.meta_fields import FILM_STATISTICS
from input_pipeline import batches
from input_pipeline.film_statistics import fit_statistics, statistics_of

_MOST_STUDIES = 2000


def film_meta(data, batch_size: int) -> dict:
  """{FILM_STATISTICS: of training films as the model sees them}, or {}.

  Of many studies so many are read as tell enough, evenly spread; every process
  reads the same ones.

  Args:
    data: `input_pipeline.data.Data`.
    batch_size: studies read at once.
  """
  studies = len(data.studies['train'])
  count = min(studies, _MOST_STUDIES)
  log(f'looking at the films of {count} training studies, to know others')
  numbers = [
    statistics_of(film)
    for batch in batches.eval_batches(
      data,
      'train',
      batch_size=batch_size,
      order=np.linspace(0, studies - 1, count).astype(int),
    )
    for film in batch['images_BxIxHxW'][
      batch['mask_BxI'] & batch['mask_B'][:, None]
    ]
  ]
  fitted = fit_statistics(np.array(numbers))
  return {FILM_STATISTICS: fitted.to_json()} if fitted else {}
