"""EKAGen's losses: words, and a teacher's opinion of them.

Each is a (sum, count): devices add both up and divide once. The authors' loss
is `words + delta * distillation`, with delta 0.01, temperature 4, pads counted.
"""

import jax
import jax.numpy as jnp

PAD = 0


def _weights(ids_BxT, mask_B, on_pads: bool):
  """Which of the ids from the second on count, (B, T - 1) float32."""
  target = jnp.asarray(ids_BxT)[:, 1:]
  real = jnp.ones_like(target, bool) if on_pads else target != PAD
  return (real & jnp.asarray(mask_B)[:, None]).astype(jnp.float32)


def word_loss(log_probs_BxTxV, ids_BxT, mask_B, on_pads: bool):
  """Cross-entropy of the ids, the one that ends a report among them.

  Args:
    log_probs_BxTxV: row t predicts ids[t + 1]; one row fewer than ids.
    ids_BxT: [1] + words + [2], then zeros.
    mask_B: False for padding studies.
    on_pads: whether to predict the zeros behind a report counts, as in the
      authors' code, where they are most of what is learned.

  Returns:
    Sum in nats over this device's targets, and their number.
  """
  weight = _weights(ids_BxT, mask_B, on_pads)
  target = jnp.asarray(ids_BxT)[:, 1:, None]
  picked = jnp.take_along_axis(log_probs_BxTxV, target, axis=2)
  return -jnp.sum(picked[..., 0] * weight), jnp.sum(weight)


def distillation_loss(
  student_BxTxV,
  teacher_BxTxV,
  ids_BxT,
  mask_B,
  on_pads: bool,
  temperature: float = 4.0,
):
  """How far the student's words are from the teacher's, both softened.

  The divergence of the teacher's distribution from the student's, times the
  square of the temperature. It counts studies, not words, as the authors' does
  (torch's 'batchmean'): beside a mean over words it weighs as much more as a
  report has positions. No gradient comes to the teacher.

  Args:
    student_BxTxV: logits or log-probabilities, which give the same.
    teacher_BxTxV: the teacher's for the same ids.
    ids_BxT: one id more than rows; tells where the pads are.
    mask_B: False for padding studies.
    on_pads: whether rows that predict pads count, as in the authors' code.
    temperature: divides the logits of both.

  Returns:
    Sum in nats over this device's rows, and its studies.
  """
  teacher = jax.lax.stop_gradient(teacher_BxTxV)
  student, teacher = (
    jax.nn.log_softmax(x / temperature, axis=-1)
    for x in (student_BxTxV, teacher)
  )
  rows_BxT = jnp.sum(jnp.exp(teacher) * (teacher - student), axis=-1)
  rows_BxT = rows_BxT * _weights(ids_BxT, mask_B, on_pads)
  studies = jnp.sum(jnp.asarray(mask_B), dtype=jnp.float32)
  return temperature**2 * jnp.sum(rows_BxT), studies
