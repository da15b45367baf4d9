"""How often side, zone and severity of a finding are right in a report.

The findings are read by our own rules (source `rules`): they are not CheXbert's
and scores of the two are not comparable.
"""

from collections.abc import Iterator, Sequence

from cmn_jax.scores.checks import check_pairs
from input_pipeline.findings import ATTRIBUTES, Finding

_SCORED = ('side', 'zone', 'severity')


def score_attributes(
  reference: Sequence[Sequence[Finding]],
  predicted: Sequence[Sequence[Finding]],
) -> dict:
  """How often side, zone and severity are right where a finding was found.

  Counted for an attribute are the pairs of `pair_findings` whose reference
  carries it; a prediction that leaves it out is wrong.

  Returns:
    side_accuracy, zone_accuracy, severity_accuracy (None where nothing counts)
    and counts: {side, zone, severity}, the number of pairs behind each.

  Raises:
    ValueError: no studies, or lists of unequal length.
  """
  check_pairs(reference, predicted)
  right = dict.fromkeys(_SCORED, 0)
  counts = dict.fromkeys(_SCORED, 0)
  for truths, guesses in zip(reference, predicted, strict=True):
    for truth, guess in pair_findings(truths, guesses):
      for attribute in _SCORED:
        if value := getattr(truth, attribute):
          counts[attribute] += 1
          right[attribute] += value == getattr(guess, attribute)
  accuracies = {
    f'{name}_accuracy': right[name] / counts[name] if counts[name] else None
    for name in _SCORED
  }
  return {**accuracies, 'counts': counts}


def pair_findings(
  truths: Sequence[Finding], guesses: Sequence[Finding]
) -> Iterator[tuple[Finding, Finding]]:
  """Pairs of positive mentions of one name, those that agree most first.

  Each mention is in one pair at most; a truth without a pair was not found.
  """
  candidates = sorted(
    (-_agreement(truth, guess), i, j)
    for i, truth in enumerate(truths)
    for j, guess in enumerate(guesses)
    if truth.name == guess.name and truth.status == guess.status == 'positive'
  )
  used_truths, used_guesses = set(), set()
  for _, i, j in candidates:
    if i not in used_truths and j not in used_guesses:
      used_truths.add(i)
      used_guesses.add(j)
      yield truths[i], guesses[j]


def _agreement(truth, guess):
  return sum(
    getattr(truth, attribute) == getattr(guess, attribute)
    for attribute in ATTRIBUTES[truth.name]
  )
