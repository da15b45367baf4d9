"""R2GenCMN's checks: ours against the code of zhjohnchan/R2GenCMN."""

from benchmarks import authors
from tests.parity import golden, inputs, models, reports, steps, trained
from tests.parity.kept import Kept

PATH, install, write_golden = golden.PATH, authors.install, golden.write
QUICK = (
  'small_log_probs',
  'small_reports',
  'small_training',
  'small_training_double',
  'base',
  'base_double',
  'mem',
  'mem_double',
  'trained',
)


def checks(args) -> dict:
  """Every check by name: a function that gives rows."""
  small, published = models.SMALL_SIZE, models.PUBLISHED_SIZE
  kept = Kept(args.work / 'theirs', args.r2gencmn)

  def write(size, methods, literal):
    return lambda: reports.reports(size, 2, methods, literal, kept)

  def double(size, memory):
    return lambda: steps.double(args.r2gencmn, size, memory)

  found = {
    'log_probs': lambda: (
      models.log_probs(published, 2, studies=8)
      + models.log_probs(published, 1, studies=8)
    ),
    'reports_beam': write(published, ['beam_search'], 2),
    'reports_greedy': write(published, ['greedy'], 2),
    'reports_double': lambda: steps.double_reports(args.r2gencmn, 'published'),
    'training': lambda: steps.steps(published, kept),
    'training_double': double('published', 'shared'),
    'checkpoint': inputs.checkpoint,
    'small_log_probs': lambda: (
      models.log_probs(small, 2, studies=64)
      + models.log_probs(small, 1, studies=64)
    ),
    'small_reports': write(small, reports.METHODS, 16),
    'small_training': lambda: steps.steps(small, kept),
    'small_training_double': double('small', 'shared'),
    'base': lambda: steps.twin('none', kept),
    'base_double': double('small', 'none'),
    'mem': lambda: steps.twin('separate', kept),
    'mem_double': double('small', 'separate'),
    'trained': lambda: trained.trained(
      args.r2gencmn, args.work, studies=300, epochs=80, kept=kept
    ),
  }
  if args.annotation:
    found['tokenizer'] = lambda: inputs.tokenizer(args.annotation)
  if args.films:
    found['films'] = lambda: inputs.films(args.films)
  return found
