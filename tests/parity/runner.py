"""The checks of one project, in a process of their own."""

import argparse
import importlib
import importlib.metadata
import platform
import subprocess
import sys
import time
from pathlib import Path

from input_pipeline.atomic_write import write_text
from input_pipeline.errors import UserError
from tests.parity import page, results


def run(part: str, args: argparse.Namespace):
  """The checks of one project; exits where one fails or cannot be run."""
  module = importlib.import_module(f'tests.parity.{part}')
  checkout = getattr(args, part)
  try:
    module.install(checkout)
    if args.golden:
      module.write_golden()
      print(f'wrote {module.PATH}')
      return
    found = module.checks(args)
    names = names_of(args, part, found, module.QUICK)
  except UserError as error:
    sys.exit(f'error: {error}')
  versions, ok = _versions(page.PARTS[part].name, checkout), True
  rows_file = args.out.with_suffix('.json')
  args.out.parent.mkdir(parents=True, exist_ok=True)
  for name in names:
    begin = time.perf_counter()
    rows = found[name]()
    seconds = time.perf_counter() - begin
    results.save(rows_file, name, results.Check(versions, rows))
    write_text(args.out, page.page(results.load(rows_file)))
    print(f'{name}, {seconds:.0f} s\n{results.table(rows)}\n', flush=True)
    ok &= all(row.ok for row in rows)
  if names:
    print(f'wrote {args.out}')
  if not ok:
    sys.exit('error: some differences are over their limits')


def names_of(args, part: str, found: dict, quick: tuple[str, ...]) -> list[str]:
  """The checks of one part to run.

  Raises:
    UserError: one that is asked for is not known, or cannot be run.
  """
  known = [name for one in page.PARTS.values() for name in one.checks]
  mine = page.PARTS[part].checks
  asked = args.only.split(',') if args.only else mine
  unknown = [name for name in asked if name not in known]
  if unknown:
    raise UserError(
      f'--only names {", ".join(unknown)}; choose from {", ".join(known)}'
    )
  names = [name for name in asked if name in mine]
  if args.quick:
    names = [name for name in names if name in quick]
  missing = [name for name in names if name not in found]
  if missing:
    said = f'{", ".join(missing)}: needs --annotation, --films or cv2 (--help)'
    if args.only:
      raise UserError(said)
    print(f'left out: {said}')
  return [name for name in names if name in found]


def _versions(project: str, checkout: Path) -> str:
  commit = 'an unknown commit'
  if (checkout / '.git').exists():  # A folder may lie in another repository.
    done = subprocess.run(
      ['git', '-C', checkout, 'log', '-1', '--format=%h of %as'],
      capture_output=True,
      text=True,
    )
    commit = done.stdout.strip() or commit
  packages = ', '.join(
    f'{name} {importlib.metadata.version(name)}' for name in ('torch', 'jax')
  )
  return (
    f'{project} at {commit}, {packages}, Python {platform.python_version()}, '
    f'float32, CPU ({platform.machine()})'
  )
