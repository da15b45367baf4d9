"""Arrays by their names elsewhere and here, each with its shape checked.

A torch state dict and our variables hold the same numbers under other names
and in another order of axes. One table says which is which, and serves both
directions.
"""

import dataclasses
from collections.abc import Iterable, Mapping

import flax
import numpy as np

from cmn_jax.training.state import flatten
from cmn_jax.training.state import shapes_of as shapes_of
from input_pipeline.errors import UserError

# Order of axes here of a torch array: convolutions are OIHW there, HWIO here,
# and linear layers are (out, in) there, (in, out) here.
_AXES = {'conv': (2, 3, 1, 0), 'linear': (1, 0)}
_SHOWN = 12


class ConversionError(UserError):
  """Weights that cannot be used; the message is one sentence for a person."""


class UnreachableError(ConversionError):
  """Weights that are neither here nor to be had from the network."""


@dataclasses.dataclass(frozen=True)
class Row:
  """One array.

  Attributes:
    ours: path in the variables, 'params/patch_embed/kernel'.
    theirs: name in the state dict.
    form: 'conv', 'linear' or 'same'.
    copy: another name under which the state dict holds the same array.
  """

  ours: str
  theirs: str
  form: str = 'same'
  copy: str | None = None

  @property
  def names(self) -> tuple[str, ...]:
    """All names in the state dict."""
    return (self.theirs,) if self.copy is None else (self.theirs, self.copy)

  def shape_there(self, shape_here: tuple[int, ...]) -> tuple[int, ...]:
    """The torch shape of an array that has `shape_here` in our variables."""
    if self.form == 'same':
      return shape_here
    return tuple(np.empty(shape_here, bool).transpose(self._back()).shape)

  def to_ours(self, array: np.ndarray) -> np.ndarray:
    """A torch array as float32 in our order of axes."""
    if self.form != 'same':
      array = array.transpose(_AXES[self.form])
    return np.ascontiguousarray(array, np.float32)

  def to_theirs(self, array) -> np.ndarray:
    """Our array in torch's order of axes, its bits unchanged."""
    array = np.asarray(array)
    if self.form != 'same':
      array = array.transpose(self._back())
    return np.ascontiguousarray(array)

  def _back(self):
    return np.argsort(_AXES[self.form])


def linear_rows(ours: str, theirs: str, copy: str | None = None) -> list[Row]:
  """Weight and bias of a linear layer."""
  weight_copy, bias_copy = (
    None if copy is None else f'{copy}.{name}' for name in ('weight', 'bias')
  )
  return [
    Row(f'{ours}/kernel', f'{theirs}.weight', 'linear', weight_copy),
    Row(f'{ours}/bias', f'{theirs}.bias', 'same', bias_copy),
  ]


def norm_rows(
  ours: str, theirs: str, names: tuple[str, str] = ('weight', 'bias')
) -> list[Row]:
  """Scale and bias of a layer norm, which have those `names` there."""
  scale, bias = names
  return [
    Row(f'{ours}/scale', f'{theirs}.{scale}'),
    Row(f'{ours}/bias', f'{theirs}.{bias}'),
  ]


def layer_rows(
  ours: str,
  theirs: str,
  linears: Mapping[str, str],
  norms: Mapping[str, str],
  norm_names: tuple[str, str] = ('weight', 'bias'),
) -> list[Row]:
  """The linear layers and norms of a part of a network.

  Args:
    ours: path of the part here, 'params/encoder_layers_0'.
    theirs: its name there.
    linears: paths below the part, each to the name there.
    norms: likewise.
    norm_names: see `norm_rows`.
  """
  rows = []
  for here, there in linears.items():
    rows += linear_rows(f'{ours}/{here}', f'{theirs}.{there}')
  for here, there in norms.items():
    rows += norm_rows(f'{ours}/{here}', f'{theirs}.{there}', norm_names)
  return rows


def check_fit(
  table: Iterable[Row],
  shapes: Mapping[str, tuple[int, ...]],
  tensors: Mapping[str, np.ndarray],
  ignored: Iterable[str],
  what: str,
):
  """Raises ConversionError that lists every array that does not fit.

  Args:
    table: one row for each array of ours.
    shapes: shapes of our arrays by their path.
    tensors: the state dict.
    ignored: names in the state dict that have no row and need none.
    what: the file, for the message.
  """
  table = list(table)
  faults = []
  for row in table:
    want = row.shape_there(shapes[row.ours])
    for name in row.names:
      if name not in tensors:
        faults.append(f'{name} is missing')
      elif tensors[name].shape != want:
        faults.append(f'{name} is {tensors[name].shape}, not {want}')
      elif tensors[name].dtype.kind != 'f':
        faults.append(f'{name} holds {tensors[name].dtype}, not floats')
  known = {name for row in table for name in row.names}
  surplus = tensors.keys() - known - set(ignored)
  faults += [f'{name} is surplus' for name in sorted(surplus)]
  if faults:
    shown = '; '.join(faults[:_SHOWN])
    more = len(faults) - _SHOWN
    raise ConversionError(
      f'{what} does not fit the model of the config in {len(faults)} arrays: '
      f'{shown}{f"; and {more} more" if more > 0 else ""}; '
      '--config.model.FIELD=VALUE sets its sizes'
    )
  unequal = [
    f'{row.theirs} and {row.copy}'
    for row in table
    if row.copy is not None
    and not np.array_equal(tensors[row.theirs], tensors[row.copy])
  ]
  if unequal:
    raise ConversionError(
      f'{what} holds one array twice with different numbers: '
      f'{"; ".join(unequal)}; the two must be one in R2GenCMN'
    )


def to_variables(table: Iterable[Row], tensors: Mapping[str, np.ndarray]):
  """Our variables, nested, of a state dict that `check_fit` let pass."""
  flat = {row.ours: row.to_ours(tensors[row.theirs]) for row in table}
  return flax.traverse_util.unflatten_dict(flat, sep='/')


def to_state_dict(table: Iterable[Row], variables) -> dict[str, np.ndarray]:
  """The state dict of our variables; copies are the same array."""
  flat = flatten(variables)
  arrays = {}
  for row in table:
    array = row.to_theirs(flat[row.ours])
    arrays.update(dict.fromkeys(row.names, array))
  return arrays
