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
<<<<<<< HEAD
  if len(reference) != len(predicted) or not reference:
    raise ValueError(
      f'{len(reference)} reference and {len(predicted)} predicted studies: '
      'expected the same studies, at least one, in both lists.'
    )
  truth_NxC = _indicators(reference, classes)
  guess_NxC = _indicators(predicted, classes)
  # Of each study and class: true positive, predicted positive, support.
  counts_3xNxC = np.stack([truth_NxC * guess_NxC, guess_NxC, truth_NxC])
  rng = np.random.default_rng(seed)
  n = len(reference)
  draws_RxN = rng.multinomial(n, np.full(n, 1 / n), size=bootstrap).astype(
    float
  )
  averaged = np.array([name != NO_FINDING for name in classes])

  totals_3xC = counts_3xNxC.sum(1)
  resampled_3xRxC = draws_RxN @ counts_3xNxC
  micro, macro, f1_C = _averages(totals_3xC, averaged)
  micro_R, macro_R, f1_RxC = _averages(resampled_3xRxC, averaged)
  hits_C, guesses_C, support_C = totals_3xC
  per_class = {
    name: {
      'precision': float(_ratio(hits_C[c], guesses_C[c])),
      'recall': float(_ratio(hits_C[c], support_C[c])),
      'f1': float(f1_C[c]),
      'support': int(support_C[c]),
      'f1_interval': _interval(f1_RxC[resampled_3xRxC[2, :, c] > 0, c]),
    }
    for c, name in enumerate(classes)
  }
  return {
    'micro_f1': float(micro),
    'macro_f1': float(macro),
    'micro_f1_interval': _interval(micro_R),
    'macro_f1_interval': _interval(macro_R),
    'per_class': per_class,
  }


def score_attributes(
  reference: list[list[Finding]], predicted: list[list[Finding]]
) -> dict:
  """How often side, zone and severity are right where a finding was found.

  A reference mention counts if the same name is positive in the prediction;
  several mentions of a name pair up best-first, each once, and a mention that
  stays without a partner was not found. Counted for an attribute are the pairs
  whose reference carries it; a prediction that leaves it out is wrong.

  Returns:
    side_accuracy, zone_accuracy, severity_accuracy (None where nothing counts)
    and counts: {side, zone, severity}, the number of pairs behind each.
  """
  if len(reference) != len(predicted):
    raise ValueError(
      f'{len(reference)} reference and {len(predicted)} predicted studies: '
      'expected the same studies in both lists.'
    )
  attributes = ('side', 'zone', 'severity')
  right = dict.fromkeys(attributes, 0)
  counts = dict.fromkeys(attributes, 0)
  for truths, guesses in zip(reference, predicted, strict=True):
    for i, j in pair_findings(truths, guesses):
      truth, guess = truths[i], guesses[j]
      for attribute in attributes:
=======
  check_pairs(reference, predicted)
  right = dict.fromkeys(_SCORED, 0)
  counts = dict.fromkeys(_SCORED, 0)
  for truths, guesses in zip(reference, predicted, strict=True):
    for truth, guess in pair_findings(truths, guesses):
      for attribute in _SCORED:
>>>>>>> scores
        if value := getattr(truth, attribute):
          counts[attribute] += 1
          right[attribute] += value == getattr(guess, attribute)
  accuracies = {
    f'{name}_accuracy': right[name] / counts[name] if counts[name] else None
<<<<<<< HEAD
    for name in attributes
=======
    for name in _SCORED
>>>>>>> scores
  }
  return {**accuracies, 'counts': counts}


def pair_findings(
  truths: Sequence[Finding], guesses: Sequence[Finding]
<<<<<<< HEAD
) -> list[tuple[int, int]]:
  """Positions (i, j) of positive findings of one name, the best agreed first.

  Each is in one pair at most. What scores the attributes colours the page too.
=======
) -> Iterator[tuple[Finding, Finding]]:
  """Pairs of positive mentions of one name, those that agree most first.

  Each mention is in one pair at most; a truth without a pair was not found.
>>>>>>> scores
  """
  candidates = sorted(
    (-_agreement(truth, guess), i, j)
    for i, truth in enumerate(truths)
    for j, guess in enumerate(guesses)
    if truth.name == guess.name and truth.status == guess.status == 'positive'
  )
  pairs, paired = [], set()
  for _, i, j in candidates:
    if not {('truth', i), ('guess', j)} & paired:
      pairs.append((i, j))
      paired |= {('truth', i), ('guess', j)}
  return pairs


def _agreement(truth, guess):
  return sum(
    getattr(truth, attribute) == getattr(guess, attribute)
    for attribute in ATTRIBUTES[truth.name]
  )
