"""Our speed beside that of the authors' code, side by side on this machine.

  python -m cmn_jax.benchmark [--pytorch PATH] [--json FILE] [--only WORK,WORK]

Each side of each work runs in a process of its own, so that the memory is its
own; the two take turns. Without --pytorch (a checkout of zhjohnchan/R2GenCMN)
or without torch ours runs alone. Weights are random, the sizes are those of
configs/iu_xray.py, and no report ends before its last word.
"""

import argparse
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

from cmn_jax.speed.page import page, write_into
from cmn_jax.speed.processes import Measured, WorkerError, do_once, measure
from cmn_jax.speed.works import WORKS, Plan
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
  works = args.only.split(',') if args.only else list(WORKS)
  unknown = [work for work in works if work not in WORKS]
  if unknown:
    sys.exit(
      f'error: --only names {", ".join(unknown)}; choose from '
      f'{", ".join(WORKS)}'
    )
  if args.json and Path(args.json).exists():
    sys.exit(f'error: {args.json} exists; name another file for --json')
  checkout = _checkout(args.pytorch)
  with tempfile.TemporaryDirectory() as folder:
    plan = _plan(args, checkout, works, folder)
    try:
      content = _run(works, plan, args)
    except WorkerError as error:
      sys.exit(f'error: {error}')
  print(f'\n{page(content)}')
  if args.json:
    Path(args.json).write_text(json.dumps(content, indent=1) + '\n')
    print(f'wrote {args.json}')


def _show(args):
  """Prints what an earlier run measured, or puts it into a page."""
  try:
    content = json.loads(Path(args.show).read_text())
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


def _plan(args, checkout, works, folder) -> Plan:
  data = args.data and str(args.data.expanduser().absolute())
  cache_dir = iu_xray.get_config().data.cache_dir
  if data is None and {'input', 'test_split'} & set(works):
    from input_pipeline.phantom.write import write_phantom

    data, cache_dir = str(Path(folder) / 'films'), str(Path(folder) / 'cache')
    print(f'drawing {_STUDIES} studies of {_PIXELS} pixels', flush=True)
    write_phantom(data, _STUDIES, 1, _PIXELS, os.cpu_count() or 1)
  return Plan(
    batch=args.batch,
    beam=args.beam,
    studies=args.studies,
    split_batches=args.split_batches,
    image_size=args.image_size,
    encoder=args.encoder,
    vocabulary=args.vocabulary,
    data=data or '',
    cache_dir=cache_dir,
    checkout=checkout,
    threads=len(os.sched_getaffinity(0)),
    dtype=args.dtype,
    folder=folder,
  )


def _run(works, plan: Plan, args) -> dict:
  """Measures every work; the content of the JSON file."""
  here = do_once('prepare', plan)
  peak = here['matmul_peak_flops']
  sides = ['ours']
  if plan.checkout:
    at_best = args.at_best or here['platform'] == 'gpu'
    sides += ['theirs', 'theirs_best'] if at_best else ['theirs']
  rows, details = [], {}
  for work in works:
    found = measure(work, tuple(sides), plan, args.rounds, args.seconds)
    row, detail = row_of(work, found, _scale(work, plan, found), peak)
    if work == 'test_split':
      run, share = plan.split_share()
      detail['scaled_from_batches'] = run if share > 1 else None
    rows.append(row)
    details[work] = detail
    print(
      f'{work}: '
      + ', '.join(f'{side} {one.median:.3g} s' for side, one in found.items()),
      flush=True,
    )
  if {'input', 'train_step'} <= set(works):
    waits = measure('wait', ('ours',), plan, args.rounds, args.seconds)['ours']
    details['wait'] = {'milliseconds': 1000 * waits.result}
  return {
    'machine': here,
    'versions': _versions(),
    'rows': rows,
    'details': details,
    'plan': dataclasses.asdict(plan) | dict.fromkeys(_PRIVATE),
  }


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
    return dict.fromkeys(found, plan.split_share()[1])
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
    prog='python -m cmn_jax.benchmark', description=__doc__.split('\n')[0]
  )
  add = parser.add_argument
  add('--pytorch', type=Path, help='checkout of zhjohnchan/R2GenCMN')
  add('--json', help='file to write')
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
    default=0,
    help='run so many batches of the test split and scale; 0 runs all',
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
