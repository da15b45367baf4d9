"""Our speed beside that of the authors' code, side by side on this machine.

  python -m benchmarks.speed [--pytorch PATH] [--ekagen PATH] [--json FILE]
    [--only NAME,NAME]

Each side of each workload runs in a process of its own, so that the memory is
its own; the two take turns. --pytorch is a checkout of zhjohnchan/R2GenCMN,
--ekagen one of hnjzbss/EKAGen: with one of them its workloads alone are run,
and without any, or without torch, ours runs alone. Weights are random, the
sizes are those of configs/iu_xray.py, and no report ends before its last word.
FILE is written after each workload. Those of R2GenCMN take some 15 minutes on
two cores.
"""

import argparse
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.arguments import command, count
from benchmarks.speed.page import page, write_into
from benchmarks.speed.processes import Measured, do_once, measure, row_of
from benchmarks.speed.workloads import EKAGEN, WORKLOADS, Plan
from input_pipeline.atomic_write import write_json
from input_pipeline.config import DataConfig
from input_pipeline.errors import UserError

# Drawn where no --data is given: enough for nine training batches.
_BATCHES = 11
_PACKAGES = ('jax', 'jaxlib', 'flax', 'tensorflow-cpu', 'torch', 'pillow')
# What of the plan is of one machine alone, and stays out of the JSON file.
_PRIVATE = ('folder', 'data', 'cache_dir', 'checkout', 'ekagen')
# Of each project: where a checkout has it, the file that shows it.
_PROJECTS = {
  'pytorch': ('zhjohnchan/R2GenCMN', Path('modules/base_cmn.py')),
  'ekagen': ('hnjzbss/EKAGen', Path('models/caption.py')),
}


def main() -> None:
  """Measures, or shows an earlier measurement."""
  args = _parse()
  try:
    if args.show:
      content = _load(args.show)
    else:
      with tempfile.TemporaryDirectory() as folder:
        content = _measure_all(_names(args), _plan(args, folder), args)
    if args.into:
      write_into(args.into, content)
    else:
      print(f'\n{page(content)}')
  except UserError as error:
    sys.exit(f'error: {error}')


def _load(file: Path) -> dict:
  """The content of a JSON file of this benchmark."""
  try:
    content = json.loads(file.read_bytes())
    assert content['rows'] and content['details'] and content['plan']
  except (OSError, ValueError, LookupError, TypeError, AssertionError):
    raise UserError(
      f'--show {file} is not there or holds no measurement: expected a file '
      'that --json has written'
    ) from None
  return content


def _names(args) -> list[str]:
  """The workloads that are asked for."""
  if args.rounds < 1:
    raise UserError(f'--rounds is {args.rounds}; it must be at least 1')
  names = args.only.split(',') if args.only else beside(args)
  unknown = [name for name in names if name not in WORKLOADS]
  if unknown:
    raise UserError(
      f'--only names {", ".join(unknown)}; choose from {", ".join(WORKLOADS)}'
    )
  return names


def beside(args) -> list[str]:
  """The workloads of the projects whose checkouts are given; all without."""
  both = bool(args.pytorch) == bool(args.ekagen)
  return [
    name for name in WORKLOADS if both or (name in EKAGEN) == bool(args.ekagen)
  ]


def _plan(args, folder: str) -> Plan:
  """The sizes of the command line, and where things are."""
  data, cache_dir = Path(folder) / 'films', Path(folder) / 'cache'
  if args.data:
    data = args.data.expanduser().absolute()
    cache_dir = DataConfig('').cache_dir
  if args.data and not data.exists():
    raise UserError(
      f'--data {data} is not there: name a folder in the R2Gen layout, or '
      'leave it out for drawn films'
    )
  fields = [field.name for field in dataclasses.fields(Plan)]
  sizes = {name: value for name, value in vars(args).items() if name in fields}
  return Plan(
    **sizes
    | {
      'data': str(data),
      'cache_dir': str(cache_dir),
      'checkout': _checkout('pytorch', args.pytorch),
      'ekagen': _checkout('ekagen', args.ekagen),
      'threads': len(os.sched_getaffinity(0)),
      'folder': folder,
    }
  )


def _checkout(option: str, path: Path | None) -> str | None:
  """The authors' code if it can run here; says so if it cannot."""
  if path is None:
    return None
  if importlib.util.find_spec('torch') is None:
    print('torch is not installed (requirements-torch.txt): ours alone')
    return None
  path = path.expanduser().absolute()
  project, file = _PROJECTS[option]
  if not (path / file).is_file():
    raise UserError(
      f'--{option} {path} is no checkout of {project}: {file} is missing'
    )
  return str(path)


def _measure_all(names: list[str], plan: Plan, args) -> dict:
  """Measures every workload; the content of the JSON file."""
  ekagen = [name for name in names if name in EKAGEN]
  if ekagen:
    machine = do_once('ekagen_prepare', plan)
  if ekagen != names:
    machine = do_once('prepare', plan)
  content = {
    'machine': machine,
    'versions': _versions(),
    'plan': dataclasses.asdict(plan) | dict.fromkeys(_PRIVATE),
    'rows': [],
    'details': {},
  }
  peak = content['machine']['matmul_peak_flops']
  at_best = args.at_best or content['machine']['platform'] == 'gpu'
  for name in names:
    if name in ('input', 'test_split') and not Path(plan.data).exists():
      _draw_films(plan)
    sides = sides_of(name, plan, at_best)
    found = measure(name, sides, plan, args.rounds, args.seconds)
    row, detail = row_of(name, found, scale_of(name, plan, found), peak)
    content['rows'].append(row)
    content['details'][name] = detail
    if args.json:
      write_json(args.json, content)
    seconds = {
      side: statistics.median(one['seconds'])
      for side, one in detail['sides'].items()
    }
    said = ', '.join(f'{side} {s:.3g} s' for side, s in seconds.items())
    print(f'{name}: {said}', flush=True)
  return content


def sides_of(name: str, plan: Plan, at_best: bool) -> tuple[str, ...]:
  """Who runs a workload; EKAGen's code runs as published alone."""
  if name in EKAGEN:
    return ('ours', 'theirs') if plan.ekagen else ('ours',)
  if not plan.checkout:
    return ('ours',)
  return ('ours', 'theirs', 'theirs_best') if at_best else ('ours', 'theirs')


def _draw_films(plan: Plan) -> None:
  from input_pipeline.phantom.write import write_phantom

  # Hospitals' films are larger than what a model reads: 512 pixels for 224.
  studies, pixels = max(10, _BATCHES * plan.batch), 2 * plan.image_size + 64
  print(f'drawing {studies} studies of {pixels} pixels', flush=True)
  write_phantom(plan.data, studies, 1, pixels, plan.threads)


def _versions() -> dict[str, str]:
  """Of Python and of the packages that are here."""
  found = {'python': platform.python_version()}
  for package in _PACKAGES:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      continue
  return found


def scale_of(name: str, plan: Plan, found: dict[str, Measured]) -> dict:
  """What each side's seconds are multiplied by, to be of what the row says."""
  if name == 'test_split':
    return {side: plan.split_share(side)[1] for side in found}
  if name == 'ekagen_write':
    from benchmarks.speed.ekagen_sizes import sizes_of

    sizes = sizes_of(plan.ekagen_size)
    return {'ours': 1.0, 'theirs': sizes.all_passes / sizes.passes}
  if name == 'input':
    return {side: 1.0 / one.result for side, one in found.items()}
  return dict.fromkeys(found, 1.0)


def _parse() -> argparse.Namespace:
  parser = command('speed', __doc__)
  add = parser.add_argument
  add('--pytorch', type=Path, help='checkout of zhjohnchan/R2GenCMN')
  add('--ekagen', type=Path, help='checkout of hnjzbss/EKAGen')
  add('--json', type=Path, help='file to write')
  add('--show', type=Path, help='show an earlier --json FILE instead')
  add('--into', type=Path, help='a Markdown file with marks for the tables')
  add('--only', help=f'of {", ".join(WORKLOADS)}, with commas')
  add('--rounds', type=count, default=5, help='runs of each side')
  add(
    '--seconds',
    type=float,
    default=120,
    help='no new round of a workload is begun after so many seconds',
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
  add(
    '--ekagen_size',
    choices=('published', 'small'),
    default='published',
    help="of EKAGen's workloads, which have no other sizes",
  )
  add('--dtype', default='float32', help='of our arithmetic')
  add('--remat', action='store_true', help='as model.remat of a run')
  add(
    '--at_best',
    action='store_true',
    help='their code with channels-last, autocast and torch.compile too, '
    'as it always is on a GPU',
  )
  return parser.parse_args()


if __name__ == '__main__':
  main()
