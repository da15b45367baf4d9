"""Our speed beside that of the authors' code, side by side on this machine.

  python -m benchmarks.speed [--pytorch PATH] [--json FILE] [--only WORK,WORK]

Each side of each work runs in a process of its own, so that the memory is its
own; the two take turns. Without --pytorch (a checkout of zhjohnchan/R2GenCMN)
or without torch ours runs alone. Weights are random, the sizes are those of
configs/iu_xray.py, and no report ends before its last word. FILE is written
after each work, and a call that finds it goes on with the works it lacks. All
works beside the authors' take some 15 minutes on two cores.
"""

import argparse
import dataclasses
import importlib.metadata
import importlib.util
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.speed import kept
from benchmarks.speed.kept import KeptError
from benchmarks.speed.page import page, write_into
from benchmarks.speed.processes import Measured, WorkerError, do_once, measure
from benchmarks.speed.works import WORKS, Plan
from configs import iu_xray

# Of the drawn films, where no --data is given: enough for nine batches.
_STUDIES, _PIXELS = 176, 512
_PACKAGES = ('jax', 'jaxlib', 'flax', 'tensorflow-cpu', 'torch', 'pillow')
# What of the plan is of one machine alone.
_PRIVATE = ('folder', 'data', 'cache_dir', 'checkout')


def main():
  """Measures, prints the table and, when asked, writes the JSON."""
  args = _parse()
  if args.show:
    _show(args)
    return
  if args.rounds < 1:
    sys.exit(f'error: --rounds is {args.rounds}; it must be at least 1')
  works = args.only.split(',') if args.only else list(WORKS)
  unknown = [work for work in works if work not in WORKS]
  if unknown:
    sys.exit(
      f'error: --only names {", ".join(unknown)}; choose from '
      f'{", ".join(WORKS)}'
    )
  checkout = _checkout(args.pytorch)
  with tempfile.TemporaryDirectory() as folder:
    try:
      if args.json and Path(args.json).exists():
        kept.load(Path(args.json))  # A wrong file is told before all work.
      content = _run(works, _plan(args, checkout, folder), args)
    except (WorkerError, KeptError) as error:
      sys.exit(f'error: {error}')
  print(f'\n{page(content)}')
  if args.json:
    print(f'wrote {args.json}')


def _show(args):
  """Prints what an earlier run measured, or puts it into a page."""
  try:
    content = kept.load(Path(args.show))
    if args.into:
      write_into(Path(args.into), content)
    else:
      print(page(content))
  except (OSError, ValueError) as error:
    sys.exit(f'error: {error}')


def _checkout(path: Path | None) -> str | None:
  """The authors' code if it can run here; says so if it cannot."""
  if path is None:
    return None
  if importlib.util.find_spec('torch') is None:
    print('torch is not installed (requirements-torch.txt): ours alone')
    return None
  path = path.expanduser().absolute()
  if not (path / 'modules' / 'base_cmn.py').is_file():
    sys.exit(
      f'error: {path} is no checkout of zhjohnchan/R2GenCMN: '
      'modules/base_cmn.py is missing'
    )
  return str(path)


def _plan(args, checkout, folder) -> Plan:
  data, cache_dir = Path(folder) / 'films', Path(folder) / 'cache'
  if args.data:
    data = args.data.expanduser().absolute()
    if not data.exists():
      sys.exit(f'error: --data {data} is not there')
    cache_dir = iu_xray.get_config().data.cache_dir
  return Plan(
    batch=args.batch,
    beam=args.beam,
    studies=args.studies,
    split_batches=args.split_batches,
    image_size=args.image_size,
    encoder=args.encoder,
    vocabulary=args.vocabulary,
    data=str(data),
    cache_dir=str(cache_dir),
    checkout=checkout,
    threads=len(os.sched_getaffinity(0)),
    dtype=args.dtype,
    folder=folder,
  )


def _run(works, plan: Plan, args) -> dict:
  """Measures every work that is not kept; the content of the JSON file."""
  content = {
    'machine': do_once('prepare', plan),
    'versions': _versions(),
    'rows': [],
    'details': {},
    'plan': dataclasses.asdict(plan) | dict.fromkeys(_PRIVATE),
  }
  file = Path(args.json) if args.json else None
  if file:
    content = kept.go_on_with(file, content)
  machine = content['machine']
  sides = ['ours']
  if plan.checkout:
    at_best = args.at_best or machine['platform'] == 'gpu'
    sides += ['theirs', 'theirs_best'] if at_best else ['theirs']
  for work in works:
    if kept.has(content, work, bool(plan.checkout)):
      print(f'{work}: kept from {file}', flush=True)
      continue
    _need_films(work, plan)
    found = measure(work, tuple(sides), plan, args.rounds, args.seconds)
    scale = _scale(work, plan, found)
    row, detail = row_of(work, found, scale, machine['matmul_peak_flops'])
    if work == 'test_split' and max(scale.values()) > 1:
      detail['theirs_batches'] = plan.split_share('theirs')[0]
    kept.put(content, row, detail)
    print(_line(work, detail), flush=True)
    if file:
      kept.save(file, content)
  both = all(kept.has(content, work, False) for work in ('input', 'train_step'))
  if both and 'wait' not in content['details']:
    _need_films('wait', plan)
    waits = measure('wait', ('ours',), plan, args.rounds, args.seconds)['ours']
    content['details']['wait'] = {'seconds': waits.result}
    if file:
      kept.save(file, content)
  return content


def _line(work: str, detail: dict) -> str:
  """A measured work on the terminal."""
  return f'{work}: ' + ', '.join(
    f'{side} {statistics.median(one["seconds"]):.3g} s'
    for side, one in detail['sides'].items()
  )


def _need_films(work: str, plan: Plan):
  """Draws the films that a work reads, where no --data is given."""
  if work not in ('input', 'test_split', 'wait') or Path(plan.data).exists():
    return
  from input_pipeline.phantom.write import write_phantom

  print(f'drawing {_STUDIES} studies of {_PIXELS} pixels', flush=True)
  write_phantom(plan.data, _STUDIES, 1, _PIXELS, os.cpu_count() or 1)


def _versions() -> dict[str, str]:
  """Of Python and of the packages that are here."""
  found = {'python': platform.python_version()}
  for package in _PACKAGES:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      continue
  return found


def _scale(work: str, plan: Plan, found: dict[str, Measured]) -> dict:
  """What each side's seconds are multiplied by, to be of what the row says."""
  if work == 'test_split':
    return {side: plan.split_share(side)[1] for side in found}
  if work == 'input':
    return {side: 1.0 / one.result for side, one in found.items()}
  return dict.fromkeys(found, 1.0)


def row_of(work, found: dict[str, Measured], scale, peak) -> tuple[dict, dict]:
  """The row of the JSON file, and what else was measured.

  On a GPU theirs is the faster of as published and at its best.
  """
  seconds = {side: found[side].median * scale[side] for side in found}
  ours, others = found['ours'], [side for side in found if side != 'ours']
  best = min(others, key=seconds.get, default=None)
  row = {
    'work': work,
    'ours_seconds': seconds['ours'],
    'theirs_seconds': best and seconds[best],
    'ratio': best and seconds[best] / seconds['ours'],
    'ours_bytes': ours.peak_bytes,
    'theirs_bytes': best and found[best].peak_bytes,
  }
  detail = {
    'sides': {
      side: {
        'seconds': [s * scale[side] for s in one.seconds],
        'spread': one.spread,
        'peak_bytes': one.peak_bytes,
        'compile_seconds': one.compile_seconds,
        'first_seconds': one.first_seconds,
        'setup_seconds': one.setup_seconds,
      }
      for side, one in found.items()
    },
    'share_of_peak': ours.flops and ours.flops / ours.median / peak,
  }
  if work == 'write_reports' and best:
    pairs = list(zip(ours.result, found[best].result, strict=True))
    detail['same_reports'] = sum(a == b for a, b in pairs)
    detail['reports'] = len(pairs)
  return row, detail


def _parse() -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='python -m benchmarks.speed', description=__doc__.split('\n')[0]
  )
  add = parser.add_argument
  add('--pytorch', type=Path, help='checkout of zhjohnchan/R2GenCMN')
  add('--json', help='file to write; rows that it holds are kept')
  add('--show', help='print the table of an earlier --json FILE instead')
  add('--into', help='with --show: a Markdown file with marks for the table')
  add('--only', help=f'of {", ".join(WORKS)}, with commas')
  add('--rounds', type=int, default=5, help='runs of each side')
  add(
    '--seconds',
    type=float,
    default=120,
    help='no new round of a work is begun after so many seconds',
  )
  add('--data', type=Path, help='R2Gen layout; drawn films without it')
  add('--studies', type=int, default=590, help='of the test split')
  add(
    '--split_batches',
    type=int,
    default=1,
    help='of theirs, run so many batches of the test split and scale; 0 runs '
    'all, as ours always does',
  )
  add('--batch', type=int, default=16, help='studies')
  add('--beam', type=int, default=3)
  add('--image_size', type=int, default=224, help='pixels')
  add('--encoder', default='resnet101')
  add('--vocabulary', type=int, default=761, help='words, the 0 included')
  add('--dtype', default='float32', help='of our arithmetic')
  add(
    '--at_best',
    action='store_true',
    help='their code with channels-last, autocast and torch.compile too, '
    'as it always is on a GPU',
  )
  return parser.parse_args()


if __name__ == '__main__':
  main()
