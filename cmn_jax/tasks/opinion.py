"""What a classifier of frozen features says of a study: fitted, not trained."""

import numpy as np

from cmn_jax.models.film_features import standardise

_LEAST_DEVIATION = 1e-3
_STEPS = 200


def feature_scale(
  pooled_SxD: np.ndarray, sizes: list[int]
) -> dict[str, np.ndarray]:
  """How features are standardised: centre, deviation and weight, (D,) each.

  Args:
    pooled_SxD: of the training studies, NaN for a film that one does not have.
    sizes: of `feature_sizes`: every map and pooling counts alike.
  """
  weights = [np.full(size, (len(sizes) * size) ** -0.5) for size in sizes]
  there_SxD = np.ma.masked_invalid(pooled_SxD)
  return {
    'centre': np.ma.filled(there_SxD.mean(axis=0), 0),
    'deviation': np.ma.filled(there_SxD.std(axis=0), 0) + _LEAST_DEVIATION,
    'weight': np.concatenate(weights),
  }


def fit_opinion(
  pooled_SxD: np.ndarray, labels_SxC: np.ndarray, sizes: list[int], l2: float
) -> dict[str, np.ndarray]:
  """The arrays of `models.film_features.Opinion`, float32.

  Args:
    pooled_SxD: of the training studies.
    labels_SxC: 1 where one has a finding.
    sizes: of `feature_sizes`.
    l2: penalty on the weights.
  """
  scale = feature_scale(pooled_SxD, sizes)
  x_SxD = standardise(pooled_SxD, *scale.values())
  fitted = {**scale, **fit_findings(x_SxD, x_SxD @ x_SxD.T, labels_SxC, l2)}
  return {name: np.float32(x) for name, x in fitted.items()}


def finding_indicators(studies, reader, classes: list[str]) -> np.ndarray:
  """1 where a study has a finding, float32 (S, C)."""
  found = [reader.labels_of_study(study) for study in studies]
  return np.float32([[c in names for c in classes] for names in found])


def fit_findings(
  x_SxD: np.ndarray, kernel_SxS: np.ndarray, labels_SxC: np.ndarray, l2: float
) -> dict[str, np.ndarray]:
  """Logistic regression, in the coordinates that the studies span.

  The loss is the sum over classes of cross-entropies, a mean over studies, and
  l2 times the squared weights; the bias is free.

  Args:
    x_SxD: standardised features of the training studies.
    kernel_SxS: their products.
    labels_SxC: 1 where a study has a finding.
    l2: penalty on the weights.

  Returns:
    findings (D, C) and findings_bias (C,).
  """
  import scipy.optimize  # late: who only writes a report needs none

  values_S, vectors_SxS = np.linalg.eigh(kernel_SxS)
  large = values_S > values_S[-1] * 1e-6
  # x = coordinates @ basis, whose rows are orthonormal.
  coordinates_SxE = vectors_SxS[:, large] * np.sqrt(values_S[large])
  basis_ExD = (vectors_SxS[:, large] / np.sqrt(values_S[large])).T @ x_SxD
  size, classes = coordinates_SxE.shape[1], labels_SxC.shape[1]

  def unpacked(flat):
    return flat[classes:].reshape(size, classes), flat[:classes]

  def loss(flat):
    weight_ExC, bias_C = unpacked(flat)
    logits_SxC = coordinates_SxE @ weight_ExC + bias_C
    signed_SxC = np.where(labels_SxC > 0, logits_SxC, -logits_SxC)
    value = np.logaddexp(0, -signed_SxC).sum() / len(labels_SxC)
    excess_SxC = (1 / (1 + np.exp(-logits_SxC)) - labels_SxC) / len(labels_SxC)
    gradient_ExC = coordinates_SxE.T @ excess_SxC + 2 * l2 * weight_ExC
    gradient = np.concatenate([excess_SxC.sum(axis=0), gradient_ExC.ravel()])
    return value + l2 * np.square(weight_ExC).sum(), gradient

  start = np.zeros(classes * (size + 1))
  share_C = labels_SxC.mean(axis=0).clip(1e-4, 1 - 1e-4)
  start[:classes] = np.log(share_C / (1 - share_C))
  best = scipy.optimize.minimize(
    loss, start, jac=True, method='L-BFGS-B', options={'maxiter': _STEPS}
  )
  weight_ExC, bias_C = unpacked(best.x)
  return {'findings': basis_ExD.T @ weight_ExC, 'findings_bias': bias_C}
