"""How well the findings of generated reports agree with the references'.

The findings are read by our own rules (source `rules`): they are not CheXbert's
and scores of the two are not comparable.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from input_pipeline.findings import ATTRIBUTES, NO_FINDING, Finding
from input_pipeline.findings import chexpert_labels as chexpert_labels
from input_pipeline.findings import read_findings as read_findings


def score_findings(
  reference: list[set[str]],
  predicted: list[set[str]],
  classes: Sequence[str],
  *,
  bootstrap: int = 1000,
  seed: int = 0,
) -> dict:
  """Precision, recall and F1 of multi-label findings, with 95 % intervals.

  Args:
    reference: the classes present in each study.
    predicted: the classes said to be present; the same studies, same order.
    classes: what is scored; names outside it are ignored. 'No Finding' gets
      its line in `per_class` but stays out of the micro and macro averages.
    bootstrap: resamples of the studies for the percentile intervals.
    seed: of the resampling.

  Returns:
    micro_f1, macro_f1 (over classes with support), their `_interval`s
    [low, high], and per_class: {name: {precision, recall, f1, support,
    f1_interval}}. An undefined ratio is 0.0. A class's interval is over the
    resamples in which the class occurs.

  Raises:
    ValueError: no studies, or lists of unequal length.
  """
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
    for truth, guess in pair_findings(truths, guesses):
      for attribute in attributes:
        if value := getattr(truth, attribute):
          counts[attribute] += 1
          right[attribute] += value == getattr(guess, attribute)
  accuracies = {
    f'{name}_accuracy': right[name] / counts[name] if counts[name] else None
    for name in attributes
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


def _indicators(studies, classes):
  return np.array(
    [[name in study for name in classes] for study in studies], float
  )


def _averages(counts_3xC, averaged):
  """Micro F1, macro F1 and F1 by class from (hits, guesses, support)."""
  hits, guesses, support = counts_3xC[..., averaged]
  micro = _ratio(2 * hits.sum(-1), (guesses + support).sum(-1))
  f1 = _ratio(2 * hits, guesses + support)
  macro = _ratio((f1 * (support > 0)).sum(-1), (support > 0).sum(-1))
  return micro, macro, _ratio(2 * counts_3xC[0], counts_3xC[1] + counts_3xC[2])


def _ratio(part, whole):
  """part / whole, and 0 where whole is 0."""
  whole = np.asarray(whole, float)
  return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


def _interval(values):
  if not len(values):
    return [0.0, 0.0]
  return [float(value) for value in np.percentile(values, [2.5, 97.5])]
