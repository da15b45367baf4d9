"""Tensor files to numpy arrays and back: .pth by torch, safetensors without.

torch is imported only when a .pth is read or written.
"""

import codecs
import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from cmn_jax.interop.names import ConversionError
from cmn_jax.models.layers import sinusoids
from input_pipeline.atomic_write import atomic_path

_MOST_TIMES = 16  # that arrays are larger than what a file stores of them


def read_pth(path: Path | str) -> dict:
  """The content of a .pth file, which must be a dict.

  Nothing in the file is executed: it may hold tensors, numbers, strings and
  containers of them. Tensors stay on disk until they are used.

  Raises:
    ConversionError: no such file, damaged, or a pickle that holds more.
  """
  torch = _import_torch(path)
  if not Path(path).is_file():
    raise ConversionError(f'{path}: there is no such file')
  scalar = np._core.multiarray.scalar  # With some metrics the best score is.
  numbers = [
    (scalar, 'numpy.core.multiarray.scalar'),
    (scalar, 'numpy._core.multiarray.scalar'),
    np.dtype,
    np.dtypes.Float64DType,
  ]
  try:
    with (
      warnings.catch_warnings(action='ignore'),
      torch.serialization.safe_globals(numbers),
    ):
      content = torch.load(
        path,
        map_location='cpu',
        weights_only=True,
        mmap=zipfile.is_zipfile(path),
      )
  except pickle.UnpicklingError as error:
    found = re.search(r'GLOBAL (\S+)', str(error))
    what = f' ({found.group(1).rstrip(".")})' if found else ''
    raise ConversionError(
      f'{path} is refused: it holds more than tensors and numbers{what}, and '
      'to read that would be to run code of the file'
    ) from error
  except Exception as error:  # Broken files raise all there is.
    raise ConversionError(
      f'{path} is damaged, cut short, or no file that torch.save wrote'
    ) from error
  if not isinstance(content, dict):
    raise ConversionError(
      f'{path} holds a {type(content).__name__}, not a dict of tensors'
    )
  return content


def state_dict_of(
  path: Path | str, key: str, writer: str, others: str
) -> tuple[dict, dict[str, np.ndarray]]:
  """All that a .pth holds, and the tensors under `key`.

  Args:
    path: of the file.
    key: of the state dict.
    writer: who writes such files, for the message.
    others: what stands beside the state dict, for the message.

  Raises:
    ConversionError: not readable, or not such a file.
  """
  content = read_pth(path)
  if not isinstance(content.get(key), dict):
    raise ConversionError(
      f'{path} has no {key}: expected what {writer} writes, with {key}, '
      f'{others}; it holds {", ".join(map(str, content))[:200]}'
    )
  return content, tensors_of(content[key], path)


def tensors_of(content: Mapping, what: Path | str) -> dict[str, np.ndarray]:
  """The tensors of a state dict as numpy arrays, without a copy."""
  torch = _import_torch(what)
  if not isinstance(content, Mapping):
    content = {f'a {type(content).__name__}': None}
  odd = [k for k, v in content.items() if not isinstance(v, torch.Tensor)]
  odd += [
    k
    for k, v in content.items()
    if k not in odd and not (isinstance(k, str) and _is_plain(v))
  ]
  if odd or not content:
    raise ConversionError(
      f'{what} holds no state dict: {", ".join(map(str, odd[:8])) or "nothing"}'
      f' where only tensors were expected'
    )
  stored, wanted, arrays = {}, {}, {}
  for tensor in content.values():
    storage = tensor.untyped_storage()
    stored[storage.data_ptr()] = storage.nbytes()
    wanted[_view_of(tensor)] = tensor.numel() * max(tensor.itemsize, 4)
  # A stride of 0 makes gigabytes of nothing.
  if sum(wanted.values()) > _MOST_TIMES * sum(stored.values()):
    raise ConversionError(
      f'{what} is refused: it stores {sum(stored.values()):,} bytes and claims '
      f'arrays of {sum(wanted.values()):,}'
    )
  for tensor in content.values():  # one that has two names is converted once
    view = _view_of(tensor)
    arrays[view] = arrays[view] if view in arrays else _to_numpy(tensor)
  return {name: arrays[_view_of(tensor)] for name, tensor in content.items()}


def _is_plain(tensor) -> bool:
  """Whether it is dense, in memory, of numbers that numpy has or can have."""
  dense = str(tensor.layout) == 'torch.strided' and tensor.device.type == 'cpu'
  return dense and not tensor.is_quantized and not tensor.is_complex()


def _view_of(tensor):
  return (
    *(tensor.data_ptr(), tensor.dtype),
    *(tuple(tensor.shape), tensor.stride()),
  )


def whole_number(content: Mapping, name: str, what: Path | str) -> int:
  """What a .pth says of itself, such as its epoch; 0 where it says nothing.

  Raises:
    ConversionError: it says something else than a number.
  """
  value = content.get(name, 0)
  try:
    return int(value)
  except (TypeError, ValueError, OverflowError, RuntimeError) as error:
    raise ConversionError(
      f'{what}: its {name} is {str(value)[:60]!r}; expected a number'
    ) from error


def write_pth(path: Path | str, content: Mapping):
  """Writes a dict of numpy arrays, numbers and dicts of them by torch.save.

  Arrays that are one and the same stay one in the file. All or nothing.
  """
  torch = _import_torch(path)
  seen = {}

  def convert(value):
    if isinstance(value, Mapping):
      return {k: convert(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
      if id(value) not in seen:
        seen[id(value)] = torch.from_numpy(np.array(value))
      return seen[id(value)]
    return value

  with atomic_path(path) as partial:
    torch.save(convert(content), partial)


def torch_positions(length: int, width: int) -> np.ndarray:
  """`sinusoids` to the last bit as torch computes it in float32."""
  torch = _import_torch('the position table')
  position = torch.arange(length).float()[:, None]
  log_rate = -np.log(10000.0) / width
  rate = torch.exp(torch.arange(0, width, 2).float() * log_rate)
  table = torch.from_numpy(np.empty_like(sinusoids(length, width)))
  table[:, 0::2] = torch.sin(position * rate)
  table[:, 1::2] = torch.cos(position * rate)
  return table[None].numpy()


def read_safetensors(path: Path | str) -> dict[str, np.ndarray]:
  """All arrays of a safetensors file.

  Raises:
    ConversionError: no such file, damaged, or of a type numpy has not.
  """
  if not Path(path).is_file():
    raise ConversionError(f'{path}: there is no such file')
  try:
    return safetensors.numpy.load_file(path)
  except Exception as error:  # numpy lacks types, broken files raise all.
    raise ConversionError(
      f'{path} is damaged, cut short, or no safetensors file of float32 or '
      f'float16 arrays ({str(error)[:200]})'
    ) from error


def _import_torch(what):
  try:
    import torch
  except ImportError:
    raise ConversionError(
      f'{what}: a .pth file needs torch; install it with '
      "'pip install -r requirements-torch.txt', or bring a safetensors file"
    ) from None
  return torch


def _to_numpy(tensor) -> np.ndarray:
  tensor = tensor.detach()
  if tensor.dtype.is_floating_point and tensor.dtype.itemsize < 4:
    tensor = tensor.float()  # numpy has no bfloat16.
  return tensor.numpy()


def _empty_array(*_) -> np.ndarray:
  """What a pickled array begins as; another shape would be of no content."""
  return np.empty(0, np.int8)


# That in C makes room for as many objects as one number in a file claims.
class _DataUnpickler(pickle._Unpickler):
  """Reads containers, strings, numbers, numpy arrays and torch's tensors."""

  def __init__(self, file, path: Path | str):
    super().__init__(file)
    self._path = path

  def find_class(self, module: str, name: str):
    """What a pickle may name; nothing of it runs code of the file's."""
    plain = {
      ('collections', 'OrderedDict'): dict,
      ('_codecs', 'encode'): codecs.encode,
      ('numpy', 'dtype'): np.dtype,
      ('numpy', 'ndarray'): 'ndarray',  # named, and never called
    }
    if (module, name) in plain:
      return plain[module, name]
    core = re.fullmatch(r'numpy\._?core\.(multiarray|numeric)', module)
    if core and name == '_reconstruct':
      return _empty_array
    if core and name == 'scalar':
      return np._core.multiarray.scalar
    if core and name == '_frombuffer':
      return np._core.numeric._frombuffer
    if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
      return _import_torch(self._path)._utils._rebuild_tensor_v2
    if (module, name) == ('torch.storage', '_load_from_bytes'):
      return self._load_storage
    raise ConversionError(
      f'{self._path} is refused: it holds more than numbers, words and arrays '
      f'({module}.{name}), and to read that would be to run code of the file'
    )

  def _load_storage(self, content: bytes):
    torch = _import_torch(self._path)
    return torch.load(
      io.BytesIO(content), map_location='cpu', weights_only=True
    )


def read_pickle(path: Path | str):
  """The content of a pickle of plain data; tensors stay torch's.

  Nothing in the file is executed.

  Raises:
    ConversionError: no such file, damaged, or it names anything else than
      containers, numbers, numpy arrays and torch tensors.
  """
  try:
    with open(path, 'rb') as file:
      return _DataUnpickler(file, path).load()
  except OSError as error:
    raise ConversionError(f'{path}: there is no such file') from error
  except ConversionError:
    raise
  except Exception as error:  # Broken files raise all there is.
    raise ConversionError(
      f'{path} is damaged, cut short, or no pickle of plain data'
    ) from error


def array_of(value) -> np.ndarray | None:
  """A tensor or an array as float32; None of anything else."""
  if hasattr(value, 'detach'):
    size = value.numel() * value.itemsize
    if not _is_plain(value) or size > value.untyped_storage().nbytes():
      return None
    value = _to_numpy(value)
  if not isinstance(value, np.ndarray) or value.dtype.kind not in 'fiu':
    return None
  return np.asarray(value, np.float32)
