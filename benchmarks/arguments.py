"""What the command lines of the benchmarks share."""

import argparse


def command(module: str, doc: str) -> argparse.ArgumentParser:
  """Of `python -m benchmarks.MODULE`, told by its docstring's first line."""
  return argparse.ArgumentParser(
    prog=f'python -m benchmarks.{module}',
    description=doc.split('\n')[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )


def count(text: str) -> int:
  """A number of things, of which there must be one: `type` of an argument."""
  if not (text.isdecimal() and int(text)):
    raise argparse.ArgumentTypeError(f'{text!r}: expected a number from 1 on')
  return int(text)
