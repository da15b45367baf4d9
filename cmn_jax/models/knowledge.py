"""EKAGen's knowledge base: an embedded real report for each diagnosis.

Its builder was not published; this follows the paper. For each class, of the
embedded training reports that have it, the one nearest to their mean speaks
for the class, and a study's knowledge is the mean over its classes.
"""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from cmn_jax.models.ekagen_names import (
  CLASSES,
  COMBINATIONS,
  DISTANCES,
  FLAT,
  FORMS,
  WORDS,
)

_BATCH = 256


@dataclasses.dataclass(frozen=True)
class KnowledgeBase:
  """A table of embedded reports.

  Attributes:
    form: 'classes', a row for each class; 'combinations', a row for each
      label vector that the training reports have, most frequent first.
    table_YxTxD: float32.
    keys_YxG: labels of each row; for classes the identity.
    report_Y: index of the report that a row embeds.
    support_Y: reports that it was chosen from.
    no_finding: index of the class that speaks where none is present.
    borrowed: classes without a report, which have No Finding's row.
  """

  form: str
  table_YxTxD: np.ndarray
  keys_YxG: np.ndarray
  report_Y: np.ndarray
  support_Y: np.ndarray
  no_finding: int
  borrowed: tuple[int, ...] = ()


def build_knowledge(
  embed: Callable,
  ids_SxT: np.ndarray,
  labels_SxG: np.ndarray,
  no_finding: int,
  form: str = CLASSES,
  distance: str = FLAT,
) -> KnowledgeBase:
  """Chooses the reports; those of the training split alone belong here.

  Args:
    embed: of a frozen captioner, ids (B, T) to (B, T, D).
    ids_SxT: reports, zero-padded, without the last id, which is never read.
    labels_SxG: 1 where a study's report may speak for a class.
    no_finding: index of that class.
    form: 'classes' or 'combinations'.
    distance: 'flat', over all positions, pads too, which prefers reports of
      common length; 'words', a mean over a report's own ones.

  Raises:
    ValueError: an unknown form or distance, labels that do not match, or no
      report for No Finding where a class needs it.
  """
  labels_SxG = np.asarray(labels_SxG).astype(bool)
  _check(ids_SxT, labels_SxG, form, distance)
  if form == COMBINATIONS:
    keys, members, count = np.unique(
      labels_SxG, axis=0, return_inverse=True, return_counts=True
    )
    order = np.argsort(-count, kind='stable')
    keys = keys[order]
    groups = [np.flatnonzero(members.ravel() == n) for n in order]
  else:
    keys = np.eye(labels_SxG.shape[1], dtype=bool)
    groups = [np.flatnonzero(column) for column in labels_SxG.T]
  chosen = [
    _nearest_to_mean(embed, ids_SxT, group, distance) for group in groups
  ]
  borrowed = tuple(n for n, report in enumerate(chosen) if report < 0)
  if borrowed:
    if chosen[no_finding] < 0:
      raise ValueError(
        f'{len(borrowed)} classes have no training report, No Finding among '
        'them, which would speak for the others: are the labels right?'
      )
    for n in borrowed:
      chosen[n] = chosen[no_finding]
  report_Y = np.array(chosen)
  return KnowledgeBase(
    form,
    np.concatenate([e for e, _ in _embedded(embed, ids_SxT, report_Y)]),
    keys.astype(np.int8),
    report_Y,
    np.array([len(group) for group in groups]),
    no_finding,
    borrowed,
  )


def _check(ids_SxT, labels_SxG, form: str, distance: str):
  if form not in FORMS or distance not in DISTANCES:
    raise ValueError(
      f'a knowledge base of form {form!r} by distance {distance!r}: choose '
      f'from {", ".join(FORMS)} and {", ".join(DISTANCES)}'
    )
  if len(ids_SxT) != len(labels_SxG) or not len(ids_SxT):
    raise ValueError(
      f'{len(ids_SxT)} reports and {len(labels_SxG)} rows of labels: there '
      'must be as many, and at least one'
    )


def _embedded(embed, ids_SxT, rows):
  """Embeddings of some reports and their real positions, batch by batch."""
  for start in range(0, len(rows), _BATCH):
    ids_BxT = ids_SxT[rows[start : start + _BATCH]]
    # Whole batches, so that a compiled `embed` compiles once.
    padded = np.pad(ids_BxT, ((0, _BATCH - len(ids_BxT)), (0, 0)))
    embedded = np.asarray(embed(padded), np.float32)[: len(ids_BxT)]
    yield embedded, ids_BxT != 0


def _nearest_to_mean(embed, ids_SxT, rows, distance: str) -> int:
  """Of these reports, the one nearest to their mean; -1 without any."""
  if not len(rows):
    return -1
  total, count = 0.0, 0.0
  for embedded, real in _embedded(embed, ids_SxT, rows):
    weight = np.ones_like(real) if distance == FLAT else real
    weight = weight[..., None].astype(np.float64)
    total += np.sum(embedded * weight, axis=0)
    count += np.sum(weight, axis=0)
  mean_TxD = total / np.maximum(count, 1)
  distances = []
  for embedded, real in _embedded(embed, ids_SxT, rows):
    of_place = np.sum(np.square(embedded - mean_TxD), axis=-1)
    if distance == WORDS:
      words = np.maximum(np.sum(real, axis=1), 1)
      distances.append(np.sum(of_place * real, axis=1) / words)
    else:
      distances.append(np.sum(of_place, axis=1))
  return int(rows[np.argmin(np.concatenate(distances))])


def mean_of_classes(table_GxTxD, labels_BxG, no_finding: int):
  """Knowledge of studies from a table of classes, (B, T, D).

  Args:
    table_GxTxD: a row for each class.
    labels_BxG: 1 where a study has a class; the mean is over these.
    no_finding: index of the class that speaks for a study without any.
  """
  labels_BxG = jnp.asarray(labels_BxG).astype(jnp.float32)
  classes = labels_BxG.shape[1]
  none_Bx1 = jnp.sum(labels_BxG, axis=1, keepdims=True) == 0
  weight_BxG = jnp.where(none_Bx1, jnp.eye(classes)[no_finding], labels_BxG)
  weight_BxG = weight_BxG / jnp.sum(weight_BxG, axis=1, keepdims=True)
  return jnp.einsum('bg,gtd->btd', weight_BxG, table_GxTxD)


def nearest_combination(keys_YxG, labels_BxG):
  """Row of a table of combinations for each study, (B,) int32.

  A label vector that the table lacks takes the row that differs in the fewest
  labels; of equals the first, which is the most frequent.
  """
  keys, labels = (
    jnp.asarray(x).astype(jnp.int32) for x in (keys_YxG, labels_BxG)
  )
  differing_BxY = jnp.sum(labels[:, None] != keys[None], axis=2)
  return jnp.argmin(differing_BxY, axis=1).astype(jnp.int32)
