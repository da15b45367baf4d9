"""Losses of a classifier, each as a (sum, count) so that devices add up."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from input_pipeline.errors import UserError

MULTI_LABEL, SINGLE_LABEL = 'multi_label', 'single_label'
TASKS = (MULTI_LABEL, SINGLE_LABEL)


def check_task(task: str):
  """Raises ValueError unless `task` is one of TASKS."""
  if task not in TASKS:
    raise UserError(
      f'classifier.task is {task!r}; choose from {", ".join(TASKS)}'
    )


@dataclasses.dataclass(frozen=True)
class Objective:
  """What a classifier's loss is made of.

  Attributes:
    task: 'multi_label' (a sigmoid for each class) or 'single_label' (a softmax
      over the classes).
    ce_weight: of the cross-entropy.
    focal_weight: of the focal loss; 0 leaves it out.
    gamma: how much the focal loss cares less for what is already right.
    alpha: the focal loss's weight of positives, 1 - alpha that of negatives;
      with a softmax, which has no negatives, of the whole.
    weights_C: of each class's positives, in both losses.
  """

  task: str
  ce_weight: float
  focal_weight: float
  gamma: float
  alpha: float
  weights_C: tuple[float, ...]

  def __post_init__(self):
    check_task(self.task)
    if self.gamma < 0:
      raise UserError(f'classifier.gamma is {self.gamma}; at least 0')
    if not 0 <= self.alpha <= 1:
      raise UserError(
        f'classifier.alpha is {self.alpha}; it must be between 0 and 1'
      )
    weights = self.ce_weight, self.focal_weight
    if min(weights) < 0 or max(weights) == 0:
      raise UserError(
        f'classifier.ce_weight is {self.ce_weight} and classifier.focal_weight '
        f'{self.focal_weight}; expected none below 0 and one above'
      )


def classification_losses(
  objective: Objective, logits_BxC, labels_BxC, known_BxC
) -> dict:
  """The weighted sum of both losses as 'loss', and each one alone.

  With a softmax a row of `labels_BxC` holds a single 1. Focal loss: Lin et
  al. 2017, equation 5, -alpha (1 - p)^gamma log(p), p being the probability
  of what is true.

  Args:
    objective: weights and exponents.
    logits_BxC: any floats.
    labels_BxC: 1 where a study has a class, else 0.
    known_BxC: False where nobody knows, and in padding studies.

  Returns:
    {'loss', 'cross_entropy', 'focal'}: sums in nats over this device's known
    labels (studies, with a softmax), and their number.
  """
  form = {MULTI_LABEL: _sigmoid_terms, SINGLE_LABEL: _softmax_terms}
  log_p, log_rest, positive, known = form[objective.task](
    logits_BxC.astype(jnp.float32), labels_BxC, known_BxC
  )
  weights = jnp.asarray(objective.weights_C, jnp.float32)
  weight = known * (positive * weights + (1.0 - positive))
  if objective.task == SINGLE_LABEL:
    balance = objective.alpha * positive
    weight = weight * positive
  else:
    balance = jnp.where(positive > 0, objective.alpha, 1.0 - objective.alpha)
  # (1 - p)^gamma by way of its logarithm: no slope is infinite, at no gamma.
  easy = jnp.exp(objective.gamma * log_rest)
  cross_entropy = -jnp.sum(weight * log_p)
  focal = -jnp.sum(weight * balance * easy * log_p)
  count = jnp.sum(known)
  total = objective.ce_weight * cross_entropy + objective.focal_weight * focal
  return {
    'loss': (total, count),
    'cross_entropy': (cross_entropy, count),
    'focal': (focal, count),
  }


def _sigmoid_terms(logits_BxC, labels_BxC, known_BxC):
  """log p and log(1 - p) of what is true, what is positive, what counts."""
  positive = labels_BxC.astype(jnp.float32)
  signed = jnp.where(positive > 0, logits_BxC, -logits_BxC)
  return (
    jax.nn.log_sigmoid(signed),
    jax.nn.log_sigmoid(-signed),
    positive,
    known_BxC.astype(jnp.float32),
  )


def _softmax_terms(logits_BxC, labels_BxC, known_BxC):
  """As above; a study counts once, in a column of its own."""
  positive = labels_BxC.astype(jnp.float32)
  total_Bx1 = jax.nn.logsumexp(logits_BxC, axis=1, keepdims=True)
  others_BxC = jnp.where(positive > 0, -1e30, logits_BxC)
  rest_Bx1 = jax.nn.logsumexp(others_BxC, axis=1, keepdims=True)
  known_Bx1 = jnp.all(known_BxC, axis=1, keepdims=True)
  known_Bx1 &= jnp.any(positive > 0, axis=1, keepdims=True)
  return (
    logits_BxC - total_Bx1,
    rest_Bx1 - total_Bx1,
    positive,
    known_Bx1.astype(jnp.float32),
  )


def class_weights(labels_NxC, known_NxC, exponent: float) -> tuple[float, ...]:
  """(negatives / positives)^exponent of each class; ones at exponent 0.

  Raises:
    UserError: the exponent is below 0.
  """
  if exponent < 0:
    raise UserError(f'classifier.class_weights is {exponent}; at least 0')
  positives_C = (labels_NxC * known_NxC).sum(axis=0)
  negatives_C = known_NxC.sum(axis=0) - positives_C
  ratio_C = np.maximum(negatives_C, 1) / np.maximum(positives_C, 1)
  return tuple(float(x) for x in ratio_C**exponent)


def balanced_shares(labels_NxC, known_NxC) -> np.ndarray:
  """How often each study is drawn if all classes are to come up alike.

  A class is drawn evenly, then one of its studies; a study of no class counts
  as of one more.

  Returns:
    (N,), summing to 1; 0 for a study of which nothing is known.
  """
  present_NxC = labels_NxC * known_NxC
  nothing_Nx1 = (present_NxC.sum(1, keepdims=True) == 0) & known_NxC.any(
    1, keepdims=True
  )
  present = np.concatenate([present_NxC, nothing_Nx1], axis=1)
  shares_N = (present / np.maximum(present.sum(axis=0), 1)).sum(axis=1)
  return shares_N / shares_N.sum()
