"""How well a report would score against another: sentence BLEU-4 and CIDEr.

The expected utility of a candidate report over the reports that a film may have
is what minimum-Bayes-risk decoding maximises. Both parts are products of sparse
n-gram matrices, so that thousands of candidates meet thousands of references in
seconds. They are smooth relatives of the scores in `metrics`, not those.
"""

from collections.abc import Sequence

import numpy as np

from cmn_jax.scores.metrics import count_ngrams

_ORDERS = (1, 2, 3, 4)
_SMOOTHING = 0.1
# CIDEr-D's tolerance of another length, in words.
_SIGMA = 6.0


def text_utility(
  candidates: Sequence[str], references: Sequence[str], cider_weight: float
) -> np.ndarray:
  """Sentence BLEU-4 plus `cider_weight` times CIDEr, float32 (R, S).

  BLEU-4 is smoothed: (matches + 0.1) / (n-grams + 0.1) for each order, a match
  being an n-gram of the candidate that the reference has. CIDEr takes document
  frequencies from the references, tenfold cosine of each order, and a Gaussian
  of the difference in length.

  Args:
    candidates: R reports, cleaned.
    references: S reports, likewise.
    cider_weight: of CIDEr beside BLEU-4.
  """
  counted = [count_ngrams(text) for text in candidates]
  others = [count_ngrams(text) for text in references]
  words_R = np.array([len(text.split()) for text in candidates], float)
  words_S = np.array([len(text.split()) for text in references], float)
  log_RxS = np.zeros((len(candidates), len(references)))
  cosine_RxS = np.zeros_like(log_RxS)
  for order in _ORDERS:
    ours, theirs = _matrices(counted, others, order)
    total_Rx1 = np.maximum(words_R - order + 1, 0)[:, None]
    matches_RxS = (ours @ (theirs > 0).astype(float).T).toarray()
    precision_RxS = (matches_RxS + _SMOOTHING) / (total_Rx1 + _SMOOTHING)
    log_RxS += np.minimum(np.log(precision_RxS), 0.0) / len(_ORDERS)
    cosine_RxS += _cosines(ours, theirs) / len(_ORDERS)
  short_RxS = 1 - words_S / np.maximum(words_R, 1)[:, None]
  bleu_RxS = np.exp(log_RxS + np.minimum(short_RxS, 0.0))
  longer_RxS = words_R[:, None] - words_S
  near_RxS = np.exp(-np.square(longer_RxS) / (2 * _SIGMA**2))
  return (bleu_RxS + cider_weight * 10 * cosine_RxS * near_RxS).astype(
    np.float32
  )


def _matrices(counted, others, order):
  """Counts of the n-grams of one order, sparse (R, G) and (S, G)."""
  from scipy import sparse  # late: who only writes a report needs none

  columns = {}
  for counts in (*counted, *others):
    for ngram in counts[order - 1]:
      columns.setdefault(ngram, len(columns))

  def matrix(rows):
    entries = [
      (row, columns[ngram], count)
      for row, counts in enumerate(rows)
      for ngram, count in counts[order - 1].items()
    ]
    row, column, count = map(np.array, zip(*entries, strict=True))
    shape = len(rows), len(columns)
    return sparse.csr_matrix((count.astype(float), (row, column)), shape)

  return matrix(counted), matrix(others)


def _cosines(ours, theirs):
  """Of tf-idf rows, dense (R, S)."""
  from scipy import sparse

  frequency_G = np.asarray((theirs > 0).sum(axis=0)).ravel()
  idf_G = np.log(theirs.shape[0] / np.maximum(frequency_G, 1.0))
  weighted = [matrix @ sparse.diags(idf_G) for matrix in (ours, theirs)]
  norms = [
    np.sqrt(np.asarray(x.multiply(x).sum(axis=1)).ravel()) for x in weighted
  ]
  rows = [
    sparse.diags(1 / np.maximum(norm, 1e-9)) @ x
    for norm, x in zip(norms, weighted, strict=True)
  ]
  return (rows[0] @ rows[1].T).toarray()
