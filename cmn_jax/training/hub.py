"""Checkpoints as a folder of plain files that travels: Hugging Face's form.

model.safetensors has the arrays, named by their paths; config.json the meta;
tokenizer.json the words; README.md says what it is.
"""

import json
import re
from pathlib import Path

import flax
import huggingface_hub
import numpy as np
import safetensors
import safetensors.numpy

from cmn_jax.training.checkpoints import CheckpointError, checked_meta
from cmn_jax.training.state import flatten
from input_pipeline.atomic_write import write_json, write_text
from input_pipeline.errors import UserError, first_line

WEIGHTS, CONFIG = 'model.safetensors', 'config.json'
_TOKENIZER, _CARD = 'tokenizer.json', 'README.md'
FILES = (WEIGHTS, CONFIG, _TOKENIZER, _CARD)
PREFIX = 'hf:'
_NAME = re.compile(r'([\w.-]+/[\w.-]+)(?:@([\w./-]+))?')


def is_hub_folder(folder: Path | str) -> bool:
  """Whether a folder is one of `write_hub_folder`."""
  return all((Path(folder) / name).is_file() for name in (WEIGHTS, CONFIG))


def fetched(source: Path | str) -> Path | str:
  """The folder of 'hf:ORG/NAME' or 'hf:ORG/NAME@REVISION'; others as they are.

  Raises:
    CheckpointError: no such name, or it cannot be downloaded.
  """
  if not str(source).startswith(PREFIX):
    return source
  match = _NAME.fullmatch(str(source).removeprefix(PREFIX))
  if not match:
    raise CheckpointError(
      f'{source} is no model on the hub: expected hf:ORG/NAME or '
      'hf:ORG/NAME@REVISION'
    )
  name, revision = match.groups()
  try:
    return huggingface_hub.snapshot_download(
      name, revision=revision, allow_patterns=list(FILES)
    )
  except Exception as error:  # Of the network: its library raises all kinds.
    raise CheckpointError(
      f'{source} could not be downloaded ({type(error).__name__}): check its '
      'name, the network and "hf auth login", or bring its folder here and '
      'name that'
    ) from error


def write_hub_folder(
  folder: Path, variables: dict, meta: dict, card: str
) -> None:
  """Writes the files of a checkpoint into a folder that is there.

  Args:
    folder: to be filled.
    variables: {'params', 'batch_stats'}, numpy.
    meta: of the checkpoint.
    card: README.md.
  """
  flat = flatten(variables).items()
  arrays = {name: np.array(x, order='C') for name, x in flat}
  safetensors.numpy.save_file(arrays, folder / WEIGHTS, {'format': 'np'})
  about = {'library_name': 'cmn_jax', **meta}
  write_json(folder / _TOKENIZER, about.pop('tokenizer', None))
  write_json(folder / CONFIG, about)
  write_text(folder / _CARD, card)
  # safetensors makes a file that its owner alone can read.
  (folder / WEIGHTS).chmod((folder / CONFIG).stat().st_mode)


def read_hub_folder(folder: Path | str) -> tuple[dict, dict]:
  """Variables and meta, to the bit as they were written.

  Raises:
    CheckpointError: the files are damaged or of another program.
  """
  folder = Path(folder)
  try:
    meta = json.loads((folder / CONFIG).read_text('utf-8'))
    tokenizer = json.loads((folder / _TOKENIZER).read_text('utf-8'))
    arrays = safetensors.numpy.load_file(folder / WEIGHTS)
    named = meta.pop('library_name', None) if isinstance(meta, dict) else None
    if named != 'cmn_jax':
      raise ValueError(f'{CONFIG} names no library cmn_jax')
  except Exception as error:  # Broken files raise all there is.
    raise CheckpointError(
      f'cannot read the checkpoint {folder}: {first_line(error)}: expected '
      'what `cmn_jax.export --to hub` writes'
    ) from error
  meta |= {'tokenizer': tokenizer} if tokenizer is not None else {}
  variables = flax.traverse_util.unflatten_dict(arrays, sep='/')
  return {'batch_stats': {}, **variables}, checked_meta(meta, folder)


def push(folder: Path, name: str) -> str:
  """Brings a folder to the hub, into a private repository; gives its address.

  Raises:
    UserError: the hub does not take it.
  """
  api = huggingface_hub.HfApi()
  try:
    api.create_repo(name, private=True, exist_ok=True)
    api.upload_folder(
      repo_id=name, folder_path=folder, allow_patterns=list(FILES)
    )
  except Exception as error:  # Of the network: its library raises all kinds.
    raise UserError(
      f'{name} was not pushed ({type(error).__name__}): log in with "hf auth '
      f'login" and check the name; what is to be pushed lies in {folder}'
    ) from error
  return f'{PREFIX}{name}'
