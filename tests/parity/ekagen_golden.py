"""Golden numbers: what EKAGen's authors' code says of a tiny captioner.

Made by `python -m tests.parity --ekagen PATH --golden`, checked without torch
by tests/models/ekagen_golden_test.py. Weights are drawn by numpy, so that only
results are stored.
"""

import base64
import json
from pathlib import Path

import numpy as np

from cmn_jax.interop.ekagen import from_captioner, join_packed
from cmn_jax.models.attention_masks import class_gradients
from cmn_jax.models.ekagen import Captioner
from tests.parity import ekagen_classifiers
from tests.parity import ekagen_draw as drawn

PATH = Path(__file__).parent.parent / 'golden' / 'ekagen.json'
STUDIES = 6
SEED = 11
END_BIAS = 1.0
MASK_SIDE, MASK_FILMS, MASK_SEED = 60, 4, 7
# Entries of the log-probabilities that are kept: studies, positions, words.
KEPT = np.s_[::2, ::5, ::4]


def captioner():
  """The drawn model: ours, its variables, and the packed state dict."""
  size = drawn.sizes()['small']
  model = Captioner(size.shape)
  tensors = drawn.draw_captioner(size.shape, SEED, END_BIAS)
  films = drawn.films(STUDIES, size.image, SEED + 1)
  packed = join_packed(drawn.centre(model, tensors, films))
  return model, from_captioner(model, packed, 'drawn'), packed


def inputs():
  """Films, ids, knowledge and a teacher's logits of the golden studies."""
  size = drawn.sizes()['small']
  shape = size.shape
  teacher = np.random.RandomState(SEED).standard_normal(
    (STUDIES, shape.max_length, shape.vocabulary)
  )
  return (
    drawn.films(STUDIES, size.image, SEED + 1),
    drawn.ids(STUDIES, shape, SEED + 3),
    drawn.knowledge(STUDIES, shape, SEED + 2),
    2 * teacher.astype(np.float32),
  )


def mask_inputs():
  """A locator's maps, classes' gradients, and which classes are present."""
  maps, logits, kernel = ekagen_classifiers.draw_maps(MASK_FILMS, 10, MASK_SEED)
  gradients = np.asarray(class_gradients(logits, kernel, 100))
  present = np.random.RandomState(MASK_SEED).uniform(size=logits.shape) < 0.2
  return maps, gradients, present


def write():
  """Runs the authors' code and writes PATH."""
  import torch

  from benchmarks import ekagen_authors as authors
  from tests.parity import ekagen_checks, ekagen_film_checks

  model, _, packed = captioner()
  films, ids, knowledge, teacher = inputs()
  theirs = authors.build_captioner(model.shape, knowledge)
  theirs.load_state_dict({k: torch.from_numpy(v) for k, v in packed.items()})
  nested, studies = authors.films_for(films), range(STUDIES)
  with torch.no_grad():
    logits = authors.logits(theirs, nested, ids, studies)
  words, kept = authors.losses(logits, torch.from_numpy(teacher), ids)
  length = model.shape.max_length - 2
  gradients = ekagen_checks.their_gradients(theirs, films, ids, teacher)
  content = {
    'log_probs': _rounded(torch.log_softmax(logits, -1).numpy()[KEPT]),
    'greedy': authors.write(theirs, nested, studies, length).tolist(),
    'CE': float(words),
    'KD': float(kept),
    'gradient_norms': {
      k: float(f'{np.linalg.norm(g):.7g}') for k, g in sorted(gradients.items())
    },
    'masks': _packed(
      [
        ekagen_film_checks.their_mask(*one, MASK_SIDE)
        for one in zip(*mask_inputs(), strict=True)
      ]
    ),
  }
  content |= {
    encoder: _rounded(ekagen_film_checks.their_probabilities(encoder, 2)[0])
    for encoder in (ekagen_classifiers.BOT, ekagen_classifiers.LOCATOR)
  }
  PATH.write_text(json.dumps(content, separators=(',', ':')) + '\n')


def unpacked(text: str) -> np.ndarray:
  """The golden masks, bool (B, H, W)."""
  bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))
  size = (MASK_FILMS, MASK_SIDE, MASK_SIDE)
  return bits[: np.prod(size)].reshape(size).astype(bool)


def _packed(masks) -> str:
  return base64.b64encode(np.packbits(np.stack(masks)).tobytes()).decode()


def _rounded(x) -> list:
  return np.vectorize(lambda v: float(f'{v:.7g}'))(np.asarray(x)).tolist()
