"""Writes a phantom: python -m input_pipeline.phantom --out DIR --studies N."""

import argparse
import os
import sys


def main():
  """Parses the command line, writes, and says where it is."""
  parser = argparse.ArgumentParser(
    prog='python -m input_pipeline.phantom',
    description='Chest films and reports of patients that do not exist, in '
    'the layout of R2Gen. It says nothing about real patients.',
  )
  parser.add_argument('--out', required=True, help='folder to make')
  parser.add_argument('--studies', type=int, default=2000)
  parser.add_argument('--seed', type=int, default=1)
  parser.add_argument('--size', type=int, default=256, help='pixels')
  parser.add_argument(
    '--workers',
    type=int,
    default=os.cpu_count() or 1,
    help='processes that draw; the default is one for each core',
  )
  parser.add_argument(
    '--annotation',
    help='annotation.json with real reports to draw films for; its studies '
    'take the place of --studies',
  )
  arguments = parser.parse_args()
  # After the arguments, as in every verb: --help waits for nothing.
  from input_pipeline import stopping
  from input_pipeline.phantom.write import PhantomError, write_phantom

  stopping.install()
  try:
    written = write_phantom(**vars(arguments))
  except (PhantomError, OSError) as error:
    sys.exit(f'error: {error}')
  print(f'{"Wrote" if written else "Already there:"} {arguments.out}')


if __name__ == '__main__':
  main()
