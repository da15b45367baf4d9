"""Golden numbers: what the authors' code says of a tiny model.

Made by `python -m tests.parity --golden`, checked without torch by
tests/models/golden_test.py. The model's weights are drawn by numpy, so that
only results are stored.
"""

import json
from pathlib import Path

import numpy as np

from cmn_jax.models.images import normalise_images
from tests.made import small
from tests.parity import draw

PATH = Path(__file__).parent.parent / 'golden' / 'r2gencmn.json'
SHAPE = small.shape(
  memory_slots=40, memory_top_k=6, width=32, hidden=24, max_length=12
)
IMAGE = 64
STUDIES = 8
SEED = 21
END_BIAS = 6.0
STEPS = 3
# Entries of the log-probabilities that are kept: studies, positions, words.
KEPT = np.s_[::3, ::4, ::3]


def write():
  """Runs the authors' code and writes PATH."""
  from tests.parity import authors, models, training

  size = models.Size('golden', SHAPE, IMAGE, STUDIES, STUDIES, 4, END_BIAS, 1.0)
  content = {}
  for views in (1, 2):
    theirs, _, _ = models.pair(size, views, SEED, centre=False)
    images, ids_BxT = inputs(views)
    content[f'views_{views}'] = {
      'log_probs': _rounded(authors.log_probs(theirs, images, ids_BxT)[KEPT]),
      'beam': authors.write(theirs, images, 'beam_search', 3).tolist(),
      'greedy': authors.write(theirs, images, 'greedy', 1).tolist(),
    }
  theirs, _, _ = models.pair(size, 2, SEED, centre=False)
  theirs.train()
  batch = training_batch()
  loss, grads = training.their_gradient(theirs, batch)
  state = training.train_theirs(theirs, [batch], STEPS)[1]
  names = sorted(grads)
  content['training'] = {
    'loss': loss,
    'gradient_norms': _rounded([np.linalg.norm(grads[n]) for n in names]),
    'parameter_norms': _rounded([np.linalg.norm(state[n]) for n in names]),
  }
  PATH.parent.mkdir(exist_ok=True)
  PATH.write_text(json.dumps(content, separators=(',', ':')) + '\n')


def inputs(views: int):
  """Normalised films and ids of the golden studies."""
  films = draw.draw_films(STUDIES, views, IMAGE, SEED + 1)
  return np.asarray(normalise_images(films)), draw.draw_ids(
    STUDIES, SHAPE, SEED + 2
  )


def training_batch() -> dict:
  """The first half of the studies, as the input pipeline batches them."""
  return {
    'images_BxIxHxW': draw.draw_films(4, 2, IMAGE, SEED + 1),
    'ids_BxT': draw.draw_ids(4, SHAPE, SEED + 2),
    'mask_B': np.ones(4, bool),
    'mask_BxI': np.ones((4, 2), bool),
  }


def _rounded(x) -> list:
  return np.vectorize(lambda v: float(f'{v:.7g}'))(np.asarray(x)).tolist()
