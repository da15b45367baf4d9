"""BLEU, ROUGE-L, CIDEr and METEOR of generated reports, one reference each.

A word is what stands between spaces, '.' included: the papers of this field
score their cleaned texts so, without the Penn Treebank tokeniser. BLEU, ROUGE-L
and CIDEr equal pycocoevalcap's, empty reports included.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from cmn_jax.scores.meteor import meteor_java, meteor_nltk_per_study

ORDERS = 4  # n-grams of one to four words
_ROUGE_BETA = 1.2  # recall counts this much more than precision
_CIDER_SIGMA = 6.0  # words by which lengths may differ before it costs


def score_reports(
  references: list[str], hypotheses: list[str]
) -> dict[str, float | None]:
  """All scores; `meteor` is None where METEOR 1.5 cannot run.

  Args:
    references: the reference of each study.
    hypotheses: the generated report of each study, in the same order.

  Returns:
    bleu_1..bleu_4, rouge_l, cider, meteor (METEOR 1.5), meteor_nltk.

  Raises:
    ValueError: no studies, or lists of unequal length.
  """
  scores = fast_scores(references, hypotheses)
  scores['meteor'] = meteor_java(references, hypotheses)
  return scores


def fast_scores(
  references: list[str], hypotheses: list[str]
) -> dict[str, float]:
  """The scores of `score_reports` without METEOR 1.5, which starts Java."""
  bleus = bleu(references, hypotheses)
  return {
    **{f'bleu_{k}': score for k, score in enumerate(bleus, start=1)},
    'rouge_l': rouge_l(references, hypotheses),
    'cider': cider(references, hypotheses),
    'meteor_nltk': float(meteor_nltk_per_study(references, hypotheses).mean()),
  }


def bleu(references: list[str], hypotheses: list[str]) -> list[float]:
  """BLEU-1 to BLEU-4 of the corpus, unsmoothed (Papineni et al. 2002)."""
  counts = bleu_counts(references, hypotheses)
  everything_S = np.ones(len(references))
  return corpus_bleu(counts.summed(everything_S)).tolist()


def rouge_l(references: list[str], hypotheses: list[str]) -> float:
  """Mean ROUGE-L of the studies (Lin 2004, with beta 1.2)."""
  return float(rouge_l_per_study(references, hypotheses).mean())


def cider(references: list[str], hypotheses: list[str]) -> float:
  """Mean CIDEr-D of the studies (Vedantam et al. 2015), 10 at best."""
  return float(cider_per_study(references, hypotheses).mean())


class BleuCounts(NamedTuple):
  """What BLEU needs of each study; sums over studies give the corpus's BLEU.

  Attributes:
    matches_Sx4: n-grams of the hypothesis that the reference has too.
    ngrams_Sx4: n-grams of the hypothesis.
    words_S: length of the hypothesis.
    reference_words_S: length of the reference.
  """

  matches_Sx4: np.ndarray
  ngrams_Sx4: np.ndarray
  words_S: np.ndarray
  reference_words_S: np.ndarray

  def summed(self, weights_RxS: np.ndarray) -> 'BleuCounts':
    """Sums over studies that count `weights` times: one corpus, or R."""
    return BleuCounts(*(weights_RxS @ counts for counts in self))


def bleu_counts(references: list[str], hypotheses: list[str]) -> BleuCounts:
  """Counts n-grams and clipped matches (float64) in each study."""
  check_pairs(references, hypotheses)
  matches, ngrams, words, reference_words = [], [], [], []
  for reference, hypothesis in zip(references, hypotheses, strict=True):
    theirs, ours = count_ngrams(reference), count_ngrams(hypothesis)
    matches.append([(a & b).total() for a, b in zip(ours, theirs, strict=True)])
    ngrams.append([counts.total() for counts in ours])
    words.append(ngrams[-1][0])
    reference_words.append(theirs[0].total())
  return BleuCounts(
    *(np.array(c, float) for c in (matches, ngrams, words, reference_words))
  )


def corpus_bleu(sums: BleuCounts) -> np.ndarray:
  """BLEU-1 to BLEU-4 (..., 4) from the summed counts of a corpus."""
  # These two keep 0 / 0 defined. They show where an order has no match, since
  # a root is taken, and so they are as large as pycocoevalcap's.
  tiny, small = 1e-15, 1e-9
  precisions = (sums.matches_Sx4 + tiny) / (sums.ngrams_Sx4 + small)
  orders = np.arange(1, ORDERS + 1)
  means = np.cumprod(precisions, axis=-1) ** (1 / orders)
  ratio = (sums.words_S + tiny) / (sums.reference_words_S + small)
  brevity = np.exp(np.minimum(0, 1 - 1 / ratio))
  return means * brevity[..., None]


def rouge_l_per_study(
  references: list[str], hypotheses: list[str]
) -> np.ndarray:
  """F of the longest common subsequence, (S,)."""
  check_pairs(references, hypotheses)
  scores = []
  for reference, hypothesis in zip(references, hypotheses, strict=True):
    # Not split(): the field's ROUGE takes a double space for an empty word.
    theirs, ours = reference.split(' '), hypothesis.split(' ')
    common = _lcs_length(theirs, ours)
    precision, recall = common / len(ours), common / len(theirs)
    weight = _ROUGE_BETA**2
    f = (1 + weight) * precision * recall
    scores.append(f / (recall + weight * precision) if common else 0.0)
  return np.array(scores)


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
  references_SxO = [count_ngrams(reference) for reference in references]
  documents = Counter(
    ngram for counts in references_SxO for c in counts for ngram in c
  )
  rarest = math.log(len(references))
  idf = {ngram: rarest - math.log(df) for ngram, df in documents.items()}
  scores = [
    _cider(theirs, count_ngrams(hypothesis), idf, rarest)
    for theirs, hypothesis in zip(references_SxO, hypotheses, strict=True)
  ]
  return np.array(scores)


def _cider(theirs, ours, idf, rarest):
  """Clipped cosine of tf-idf vectors, mean over orders, times length factor."""
  total = 0.0
  for a, b in zip(ours, theirs, strict=True):
    # A word that no reference has is as rare as one that a single one has.
    a = {ngram: count * idf.get(ngram, rarest) for ngram, count in a.items()}
    b = {ngram: count * idf[ngram] for ngram, count in b.items()}
    norm = _norm(a) * _norm(b)
    if norm:
      total += sum(min(a[g], b[g]) * b[g] for g in a if g in b) / norm
  difference = ours[0].total() - theirs[0].total()
  nearness = math.exp(-(difference**2) / (2 * _CIDER_SIGMA**2))
  return 10 * nearness * total / ORDERS


def _norm(vector: Mapping[tuple, float]):
  return math.sqrt(sum(value**2 for value in vector.values()))


def count_ngrams(report: str) -> list[Counter]:
  """How often each n-gram occurs, a counter of tuples for each order 1 to 4."""
  words = report.split()
  return [
    Counter(zip(*(words[i:] for i in range(order)), strict=False))
    for order in range(1, ORDERS + 1)
  ]


def check_pairs(references: list[str], hypotheses: list[str]) -> None:
  """Raises ValueError unless there is one hypothesis for each reference."""
  if len(references) != len(hypotheses) or not references:
    raise ValueError(
      f'{len(references)} references and {len(hypotheses)} hypotheses: '
      'expected the same studies, at least one, in both lists.'
    )
