"""Our models against their authors' code: `make parity R2GENCMN= EKAGEN=`.

  python -m tests.parity [--r2gencmn PATH] [--ekagen PATH] [--quick]
    [--annotation FILE] [--films DIR] [--only CHECK,CHECK] [--golden]

Runs on a CPU. The rows of each check are kept beside the page when it ends, so
that checks can be run one by one; the page is written from all that are there.
EKAGen's masks need cv2 (pip install opencv-python-headless).
"""

import argparse
import multiprocessing
import os
import sys
from pathlib import Path

from tests.parity import page, runner


def main():
  """Runs the checks of each checkout, prints and writes the tables."""
  args = _parse()
  os.environ['JAX_PLATFORMS'] = 'cpu'
  # A process each: both checkouts have a package `models`.
  new = multiprocessing.get_context('spawn').Process
  codes = []
  for part in page.PARTS:
    if getattr(args, part):
      process = new(target=runner.run, args=(part, args))
      process.start()
      process.join()
      codes.append(process.exitcode)
  sys.exit(int(any(codes)))


def _parse() -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='python -m tests.parity', description=__doc__.split('\n')[0]
  )
  for name, part in page.PARTS.items():
    parser.add_argument(
      f'--{name}', type=_folder, help=f'checkout of {part.repository}'
    )
  parser.add_argument('--quick', action='store_true', help='small models alone')
  parser.add_argument(
    '--annotation', type=Path, help='annotation.json of IU X-Ray'
  )
  parser.add_argument('--films', type=Path, help='folder of real films')
  parser.add_argument('--only', help='names of checks, with commas')
  parser.add_argument(
    '--golden', action='store_true', help='write the golden numbers instead'
  )
  parser.add_argument(
    '--work', type=Path, default=Path('runs/parity'), help='for their answers'
  )
  parser.add_argument(
    '--out',
    type=Path,
    help='page to write, its rows in a .json beside it; docs/parity.md, and '
    'with --quick parity.md in --work',
  )
  args = parser.parse_args()
  if not any(getattr(args, name) for name in page.PARTS):
    parser.error(f'give a checkout: --{" or --".join(page.PARTS)}')
  # The page of the repository is of the published sizes.
  default = args.work / 'parity.md' if args.quick else Path('docs/parity.md')
  args.out = args.out or default
  return args


def _folder(text: str) -> Path:
  return Path(text).expanduser().absolute()


if __name__ == '__main__':
  main()
