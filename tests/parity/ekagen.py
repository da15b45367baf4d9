"""EKAGen's checks: ours against the code of hnjzbss/EKAGen."""

import importlib.util
import warnings

from benchmarks import ekagen_authors
from tests.parity import ekagen_checks, ekagen_film_checks, ekagen_golden
from tests.parity.ekagen_double import double

PATH, write_golden = ekagen_golden.PATH, ekagen_golden.write
QUICK = (
  'ekagen_small_log_probs',
  'ekagen_small_losses',
  'ekagen_small_gradients',
  'ekagen_small_double',
  'ekagen_small_checkpoint',
  'ekagen_small_writing',
  'ekagen_small_literal',
  'ekagen_masks',
  'ekagen_bot',
  'ekagen_locator',
  'ekagen_locator_gradients',
  'ekagen_words',
)


def install(checkout):
  """Makes their code importable, and quiet about masks of two types.

  Raises:
    UserError: it is no checkout of EKAGen.
  """
  ekagen_authors.install(checkout)
  warnings.filterwarnings('ignore', message='.*mismatched key_padding_mask')


def checks(args) -> dict:
  """Every check by name: a function that gives rows."""
  of, films = ekagen_checks, ekagen_film_checks
  found = {
    'ekagen_log_probs': lambda: of.log_probs('published'),
    'ekagen_losses': lambda: of.losses('published'),
    'ekagen_gradients': lambda: of.gradients('published'),
    'ekagen_double': lambda: double(args.ekagen, 'published'),
    'ekagen_checkpoint': lambda: of.checkpoint('published'),
    'ekagen_literal': lambda: of.writing('published', 1, True, 1),
    'ekagen_writing': lambda: of.writing('published', 64, False, 8),
    'ekagen_small_log_probs': lambda: of.log_probs('small'),
    'ekagen_small_losses': lambda: of.losses('small'),
    'ekagen_small_gradients': lambda: of.gradients('small'),
    'ekagen_small_double': lambda: double(args.ekagen, 'small'),
    'ekagen_small_checkpoint': lambda: of.checkpoint('small'),
    'ekagen_small_literal': lambda: of.writing('small', 8, True, 8),
    'ekagen_small_writing': lambda: of.writing('small', 64, False, 8),
    'ekagen_bot': lambda: films.probabilities(films.BOT),
    'ekagen_locator': lambda: films.probabilities(films.LOCATOR),
    'ekagen_locator_gradients': films.locator_gradients,
  }
  if importlib.util.find_spec('cv2'):
    found['ekagen_masks'] = films.masks
  if args.annotation:
    found['ekagen_words'] = lambda: films.words(args.ekagen, args.annotation)
  return found
