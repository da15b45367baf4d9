"""What the command lines of the benchmarks share."""

import argparse


def command(module: str, doc: str) -> argparse.ArgumentParser:
  """The parser of `python -m benchmarks.MODULE`, told by its docstring."""
  return argparse.ArgumentParser(
    prog=f'python -m benchmarks.{module}',
    description=doc.split('\n')[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )


def count(text: str) -> int:
  """An argument's `type`: a whole number of 1 or more.

  Raises:
    ArgumentTypeError: it is not.
  """
  if not (text.isdecimal() and int(text)):
    raise argparse.ArgumentTypeError(f'{text!r}: expected 1 or more')
  return int(text)
