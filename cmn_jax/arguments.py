"""What the command lines share: their help, and a config among arguments."""

import argparse
import re

from absl import flags
from ml_collections import ConfigDict, config_flags

from input_pipeline.errors import UserError

CMN = 'configs/iu_xray.py:cmn'


def command(module: str, doc: str) -> argparse.ArgumentParser:
  """The parser of `python -m cmn_jax.MODULE`, whose help is its docstring."""
  return argparse.ArgumentParser(
    prog=f'python -m cmn_jax.{module}',
    description=doc,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )


def read_config(arguments: list[str], named: str = CMN) -> ConfigDict:
  """The config of `--config FILE[:VARIANT]` and `--config.field=value`s.

  Args:
    arguments: all that are no others.
    named: the file, where they name none.

  Raises:
    UserError: no config, or arguments that are none of it.
  """
  if not any(a.split('=')[0] == '--config' for a in arguments):
    arguments = [f'--config={named}', *arguments]
  values = flags.FlagValues()
  config = config_flags.DEFINE_config_file(
    'config', lock_config=True, flag_values=values, sys_argv=arguments
  )
  try:
    rest = values(['', *arguments])[1:]
    loaded = config.value.copy_and_resolve_references()
  except flags.UnrecognizedFlagError as error:
    raise UserError(f'unknown arguments --{error.flagname}') from error
  except (flags.Error, AttributeError, KeyError, OSError, ValueError) as error:
    raise UserError(f'cannot read the config: {sentence_of(error)}') from error
  if rest:
    raise UserError(f'unknown arguments {" ".join(rest)}')
  return loaded


def sentence_of(error: Exception) -> str:
  """One sentence for what absl or ml_collections raised."""
  missing = re.search(r'Flag (--\w+) must have a value', str(error))
  if missing:
    return f'{missing[1]} is needed, and missing; --help says what it is'
  unknown = re.search(r"'(\w+)\\?'(?:.*mean \"(\w+)\")?", str(error))
  if isinstance(error, AttributeError | KeyError) and unknown:
    name, similar = unknown.groups()
    hint = f'; did you mean {similar!r}?' if similar else ''
    return f'the config has no field {name!r}{hint}'
  lines = [line.strip() for line in str(error).splitlines() if line.strip()]
  said = [line for line in lines if 'Error: ' in line or 'Errno' in line]
  return re.sub(r'^\w*Error: ', '', (said or lines)[-1 if said else 0])
