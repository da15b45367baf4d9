"""BLEU, ROUGE-L, CIDEr and METEOR of generated reports, one reference each.

A word is what stands between spaces, '.' included: the papers of this field
score their cleaned texts so, without the Penn Treebank tokeniser. BLEU, ROUGE-L
and CIDEr equal pycocoevalcap's, empty reports included.

BLEU is of the corpus, the other scores are means over studies; both come from
counts of each study, of which intervals and paired tests are computed too.
METEOR 1.5 is the exception: its program keeps its counts to itself.
"""

import itertools
import math
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from cmn_jax.scores.checks import check_pairs
from cmn_jax.scores.meteor import meteor_java, meteor_nltk_per_study
from cmn_jax.scores.pairs import score_pairs

ORDERS = 4  # n-grams of one to four words
MEANS = ('rouge_l', 'cider', 'meteor_nltk', 'bleu_2_rexrank')
METRICS = (*(f'bleu_{k}' for k in range(1, ORDERS + 1)), *MEANS)
_ROUGE_BETA = 1.2  # recall counts this much more than precision
_CIDER_SIGMA = 6.0  # words by which lengths may differ before it costs


def score_reports(
  references: list[str], hypotheses: list[str]
) -> dict[str, float | None]:
  """All scores: those of METRICS, and `meteor`, which is METEOR 1.5.

  Args:
    references: the reference of each study.
    hypotheses: the generated report of each study, in the same order.

  Returns:
    The scores; `meteor` is None where METEOR 1.5 cannot run.

  Raises:
    ValueError: no studies, or lists of unequal length.
  """
  scores = TextCounts.of(references, hypotheses).values()
  return {**scores, 'meteor': meteor_java(references, hypotheses)}


class TextCounts(NamedTuple):
  """What every score of texts needs of each study.

  Attributes:
    matches_Sx4: n-grams of the hypothesis that the reference has too.
    ngrams_Sx4: n-grams of the hypothesis.
    words_S: length of the hypothesis.
    reference_words_S: length of the reference.
    means_SxM: the scores of MEANS.
    studies_S: one each.
  """

  matches_Sx4: np.ndarray
  ngrams_Sx4: np.ndarray
  words_S: np.ndarray
  reference_words_S: np.ndarray
  means_SxM: np.ndarray
  studies_S: np.ndarray

  @classmethod
  def of(cls, references: list[str], hypotheses: list[str]) -> 'TextCounts':
    """Counts each study; CIDEr's document frequencies are those of all.

    Raises:
      ValueError: no studies, or lists of unequal length.
    """
    means = {
      'rouge_l': rouge_l_per_study(references, hypotheses),
      'cider': cider_per_study(references, hypotheses),
      'meteor_nltk': meteor_nltk_per_study(references, hypotheses),
      'bleu_2_rexrank': bleu_2_rexrank_per_study(references, hypotheses),
    }
    return cls(
      *bleu_counts(references, hypotheses),
      np.stack([means[name] for name in MEANS], axis=1),
      np.ones(len(references)),
    )

  def summed(self, weights_RxS: np.ndarray) -> 'TextCounts':
    """Sums over studies that count `weights` times."""
    return TextCounts(*(weights_RxS @ counts for counts in self))

  def scores(self) -> np.ndarray:
    """The scores of METRICS (..., M), of sums over studies."""
    means = self.means_SxM / self.studies_S[..., None]
    return np.concatenate([corpus_bleu(*self[:4]), means], axis=-1)

  def values(self) -> dict[str, float]:
    """The scores of all studies, {metric: score}: all but METEOR 1.5."""
    bleus = corpus_bleu(*(counts.sum(0) for counts in self[:4]))
    means = [float(scores_S.mean()) for scores_S in self.means_SxM.T]
    return dict(zip(METRICS, [*bleus.tolist(), *means], strict=True))


def bleu_counts(
  references: list[str], hypotheses: list[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
  """The first four of `TextCounts`, as `corpus_bleu` takes their sums."""
  check_pairs(references, hypotheses)
  counted = {text: count_ngrams(text) for text in {*references, *hypotheses}}
  totals = {text: [c.total() for c in counted[text]] for text in counted}

  def matches(reference, hypothesis):
    ours, theirs = counted[hypothesis], counted[reference]
    return [
      sum(min(n, b[g]) for g, n in a.items() if g in b)
      for a, b in zip(ours, theirs, strict=True)
    ]

  ngrams_Sx4 = np.array([totals[text] for text in hypotheses], float)
  return (
    score_pairs(matches, references, hypotheses).astype(float),
    ngrams_Sx4,
    ngrams_Sx4[:, 0],
    np.array([totals[text][0] for text in references], float),
  )


def corpus_bleu(
  matches_4: np.ndarray,
  ngrams_4: np.ndarray,
  words: np.ndarray,
  reference_words: np.ndarray,
) -> np.ndarray:
  """BLEU-1 to BLEU-4 (..., 4) of sums, unsmoothed (Papineni et al. 2002)."""
  # These two keep 0 / 0 defined. They show where an order has no match, since
  # a root is taken, and so they are as large as pycocoevalcap's.
  tiny, small = 1e-15, 1e-9
  precisions = (matches_4 + tiny) / (ngrams_4 + small)
  orders = np.arange(1, ORDERS + 1)
  means = np.cumprod(precisions, axis=-1) ** (1 / orders)
  length = (words + tiny) / (reference_words + small)
  brevity = np.exp(np.minimum(0, 1 - 1 / length))
  return means * brevity[..., None]


def bleu_2_rexrank_per_study(
  references: list[str], hypotheses: list[str]
) -> np.ndarray:
  """BLEU-2 of each report as ReXrank computes it, (S,).

  Lower case, a full stop is a word, words are split on spaces. fast_bleu 0.0.90
  smooths as NLTK's method 1: a count of no matching pairs becomes 0.1.
  """
  split = {text: _split(text) for text in {*references, *hypotheses}}

  def score(reference, hypothesis):
    return _sentence_bleu_2(split[reference], split[hypothesis])

  return score_pairs(score, references, hypotheses)


def _split(report):
  words = report.lower().replace('.', ' .').split(' ')
  return [word for word in words if word]


def _sentence_bleu_2(theirs, ours):
  words = (Counter(ours) & Counter(theirs)).total()
  if not words:
    return 0.0
  pairs = Counter(itertools.pairwise(ours))
  common = (pairs & Counter(itertools.pairwise(theirs))).total()
  precision = (common or 0.1) / max(len(ours) - 1, 1)
  brevity = math.exp(min(0.0, 1 - len(theirs) / len(ours)))
  return brevity * math.sqrt(words / len(ours) * precision)


def rouge_l_per_study(
  references: list[str], hypotheses: list[str]
) -> np.ndarray:
  """F of the longest common subsequence, (S,)."""
  return score_pairs(_rouge_l, references, hypotheses)


def _rouge_l(reference, hypothesis):
  # Not split(): the field's ROUGE takes a double space for an empty word.
  theirs, ours = reference.split(' '), hypothesis.split(' ')
  common = _lcs_length(theirs, ours)
  precision, recall = common / len(ours), common / len(theirs)
  weight = _ROUGE_BETA**2
  f = (1 + weight) * precision * recall
  return f / (recall + weight * precision) if common else 0.0


def _lcs_length(one, other):
  """Length of the longest common subsequence, one row of bits at a time.

  Bit i of `row` is 0 where the subsequence grows with one[:i + 1]
  (Hyyro 2004, Bit-parallel LCS-length computation revisited).
  """
  positions = {}
  for i, word in enumerate(one):
    positions[word] = positions.get(word, 0) | 1 << i
  full = (1 << len(one)) - 1
  row = full
  for word in other:
    hits = row & positions.get(word, 0)
    row = (row + hits | row - hits) & full
  return len(one) - row.bit_count()


def cider_per_study(references: list[str], hypotheses: list[str]) -> np.ndarray:
  """CIDEr-D of each study, (S,); document frequencies of the references."""
  check_pairs(references, hypotheses)
  counted = {text: count_ngrams(text) for text in {*references, *hypotheses}}
  documents = Counter(
    ngram for text in references for c in counted[text] for ngram in c
  )
  rarest = math.log(len(references))
  idf = {ngram: rarest - math.log(df) for ngram, df in documents.items()}
  # A word that no reference has is as rare as one that a single one has.
  vectors = {
    text: [{g: n * idf.get(g, rarest) for g, n in c.items()} for c in counts]
    for text, counts in counted.items()
  }
  norms = {text: [_norm(v) for v in orders] for text, orders in vectors.items()}

  def score(reference, hypothesis):
    total = 0.0
    for a, b, *lengths in zip(
      *(vectors[text] for text in (hypothesis, reference)),
      *(norms[text] for text in (hypothesis, reference)),
      strict=True,
    ):
      if norm := math.prod(lengths):
        total += sum(min(a[g], b[g]) * b[g] for g in a if g in b) / norm
    words = [counted[text][0].total() for text in (hypothesis, reference)]
    nearness = math.exp(-((words[0] - words[1]) ** 2) / (2 * _CIDER_SIGMA**2))
    return 10 * nearness * total / ORDERS

  return score_pairs(score, references, hypotheses)


def _norm(vector: Mapping[tuple, float]):
  return math.sqrt(sum(value**2 for value in vector.values()))


def count_ngrams(report: str) -> list[Counter]:
  """How often each n-gram occurs, a counter of tuples for each order 1 to 4."""
  words = report.split()
  return [
    Counter(zip(*(words[i:] for i in range(order)), strict=False))
    for order in range(1, ORDERS + 1)
  ]
