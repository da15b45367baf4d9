"""State dicts of EKAGen's DiagnosisBot and locator, and our variables.

The head's rows are in alphabetical order there, and in ours here.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cmn_jax.interop.ekagen_files import their_order
from cmn_jax.interop.names import (
  ConversionError,
  Row,
  check_fit,
  linear_rows,
  shapes_of,
  to_state_dict,
  to_variables,
)
from cmn_jax.interop.resnets import TORCHVISION, batch_counters, resnet_rows
from cmn_jax.interop.swins import (
  SWINS,
  place_buffers,
  swin_rows,
  swin_tensors,
)
from cmn_jax.models.film_classifier import FilmClassifier
from cmn_jax.models.resnet import RESNETS


def classifier_rows(encoder: str) -> list[Row]:
  """The table of DiagnosisBot ('swin_t') or of a locator (a ResNet)."""
  if encoder in SWINS:
    return swin_rows() + linear_rows('params/head', 'head')
  if encoder not in RESNETS:
    raise ConversionError(
      f'EKAGen classifies by swin_t or a ResNet, not by {encoder!r}'
    )
  return resnet_rows(encoder, TORCHVISION) + linear_rows('params/head', 'fc')


def from_classifier(
  model: FilmClassifier,
  tensors: Mapping[str, np.ndarray],
  classes: Sequence[str],
  what: str,
) -> dict:
  """Our variables of DiagnosisBot's or the locator's state dict.

  Args:
    model: of 'swin_t', with shift_last_stage for their weights, or a ResNet.
    tensors: the state dict as numpy arrays.
    classes: ours, in our order.
    what: the file, for messages.

  Raises:
    ConversionError: lists all that is missing, surplus or mis-shaped; other
      classes; or relative places that are numbered otherwise.
  """
  rows = classifier_rows(model.encoder)
  ignored = batch_counters(rows)
  if model.encoder in SWINS:
    tensors, ignored = swin_tensors(tensors, what)
  check_fit(
    rows, shapes_of(_classifier_variables(model)), tensors, ignored, what
  )
  variables = to_variables(rows, tensors)
  order = their_order(classes)
  head = variables['params']['head']
  head['kernel'], head['bias'] = head['kernel'][:, order], head['bias'][order]
  return {'batch_stats': {}, **variables}


def to_classifier(
  model: FilmClassifier,
  variables,
  classes: Sequence[str],
  batches: Mapping[str, int] | None = None,
) -> dict[str, np.ndarray]:
  """DiagnosisBot's or the locator's state dict of our variables.

  Args:
    model: of 'swin_t' or a ResNet.
    variables: ours.
    classes: ours, in our order.
    batches: torch's batch counters by name; those not given are 0.
  """
  rows = classifier_rows(model.encoder)
  back = np.argsort(their_order(classes))
  head = variables['params']['head']
  head = {'kernel': head['kernel'][:, back], 'bias': head['bias'][back]}
  params = {**variables['params'], 'head': head}
  arrays = to_state_dict(rows, {**variables, 'params': params})
  for name in batch_counters(rows):
    arrays[name] = np.array((batches or {}).get(name, 0), np.int64)
  if model.encoder in SWINS:
    arrays.update(place_buffers())
  return arrays


def _classifier_variables(model: FilmClassifier) -> dict:
  images, mask = jnp.zeros((1, 1, 64, 64, 3)), jnp.ones(1, bool)
  return jax.eval_shape(
    lambda: model.init(jax.random.key(0), images, mask, False)
  )
