"""Our speed on a GPU, beside the authors' code, in nine minutes.

  python -m benchmarks.gpu [--pytorch PATH] [--json FILE] [--minutes 9]

Needs jax for the GPU, flax, optax and numpy; torch for the authors' side. The
most telling cases come first, FILE is written after each, and no case begins
that would not end in time. Films and weights are drawn on the spot, sizes are
those of configs/iu_xray.py. --tiny tries the command on any machine.
"""

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.arguments import command
from benchmarks.speed.page import number, table, wrapped
from benchmarks.speed.processes import WorkerError, do_once, measure, row_of
from benchmarks.speed.workloads import LENGTH, VIEWS, Plan
from input_pipeline.atomic_write import write_json
from input_pipeline.errors import UserError

_ROUNDS, _SECONDS = 20, 5.0
_DETERMINISTIC = '--xla_gpu_deterministic_ops=true'
_SMALL = {'encoder': 'resnet18', 'image_size': 64}
# What one H100 should reach: seconds of a step, films and words a second.
_STEP_16, _FILMS_128, _WORDS_128 = 0.020, 2000, 30_000


@dataclasses.dataclass(frozen=True)
class Case:
  """One row.

  Attributes:
    workload: a method of `Ours`.
    dtype: of our arithmetic.
    batch: studies.
    theirs: whether the authors' side is measured too.
    changes: of the plan.
    flags: for XLA.
  """

  workload: str
  dtype: str = 'float32'
  batch: int = 16
  theirs: bool = False
  changes: dict = dataclasses.field(default_factory=dict)
  flags: str = ''

  @property
  def note(self) -> str:
    """What sets it apart from others of its workload."""
    said = [str(value) for value in self.changes.values()]
    return ', '.join([*said, 'deterministic'] if self.flags else said)


def cases() -> list[Case]:
  """The most telling first."""
  half = 'bfloat16'
  return [
    Case('train_step', theirs=True),
    Case('train_step', half, 128),
    Case('write_reports', half, 128),
    Case('write_reports', theirs=True),
    *(
      Case('memory', theirs=search == 'top_k', changes={'search': search})
      for search in ('threshold', 'top_k', 'approx_max_k')
    ),
    Case('encoder', theirs=True),
    Case('encoder', half, 128),
    Case('train_step', half),
    Case('train_step', half, 64),
    Case('train_step', batch=64),
    Case('train_step', batch=128),
    *(
      Case('train_step', changes={'parallel': kind} | _SMALL)
      for kind in ('pmap', 'shard_map')
    ),
    # Twice each: are the bits those of the process before?
    *(
      Case('digest', changes=_SMALL, flags=flags)
      for flags in ('', '', _DETERMINISTIC, _DETERMINISTIC)
    ),
  ]


def main(argv: list[str] | None = None) -> None:
  """Measures, writes the JSON as it goes, prints table and summary."""
  args = _parse(argv)
  try:
    with tempfile.TemporaryDirectory() as folder:
      content = run(args, folder)
  except UserError as error:
    sys.exit(f'error: {error}')
  print('\n'.join(['', *page(content), '', *wrapped(summary(content))]))


def run(args: argparse.Namespace, folder: str) -> dict:
  """Measures the cases; the content of the JSON file."""
  begin, longest = time.perf_counter(), {}
  content = {'machine': None, 'rows': []}
  peaks = {}
  for case in cases():
    plan = _plan(args, case, folder)
    started = time.perf_counter()
    left = 60 * args.minutes - (started - begin)
    if left < longest.get(case.workload, 0):
      content['rows'].append(_row(case, plan, {'skipped': 'out of time'}))
      continue
    try:
      if case.dtype not in peaks:
        machine = do_once('prepare', plan)
        if machine['platform'] == 'cpu' and not args.tiny:
          raise UserError(
            'JAX finds no GPU here: install jax for it, as README.md says, or '
            'try the command with --tiny'
          )
        peaks[case.dtype] = machine.pop('matmul_peak_flops')
        content['machine'] = machine | {'matmul_peak_flops': peaks}
      found = _measure(case, plan, args)
    except WorkerError as error:
      row = {'error': str(error)}
    else:
      row, detail = row_of(case.workload, found, dict.fromkeys(found, 1.0), 1.0)
      share = detail['share_of_peak'] or 0.0
      row['share_of_peak'] = share / peaks[case.dtype]
      row |= {
        k: detail['sides']['ours'][k] for k in ('compile_seconds', 'spread')
      }
      if case.workload == 'digest':
        row['digest'] = found['ours'].result
    content['rows'].append(_row(case, plan, row))
    taken = time.perf_counter() - started
    longest[case.workload] = max(taken, longest.get(case.workload, 0))
    print(_line(content['rows'][-1]), flush=True)
    if args.json:
      write_json(args.json, content)
  return content


def _plan(args, case: Case, folder: str) -> Plan:
  sizes = {'encoder': 'resnet101', 'image_size': 224, 'batch': case.batch}
  sizes |= case.changes
  if args.tiny:
    sizes |= _SMALL | {'batch': max(case.batch // 32, 1)}
  # The two encoders have weights of their own.
  own = Path(folder) / f'{sizes["encoder"]}_{sizes["image_size"]}'
  own.mkdir(exist_ok=True)
  return Plan(
    beam=3,
    studies=0,
    split_batches=0,
    vocabulary=761,
    data='',
    cache_dir='',
    checkout=str(args.pytorch.absolute()) if args.pytorch else None,
    threads=len(os.sched_getaffinity(0)),
    dtype=case.dtype,
    folder=str(own),
    **sizes,
  )


def _measure(case: Case, plan: Plan, args) -> dict:
  """Both sides of a case, ours first: they may not fit beside each other."""
  if not plan.weights.exists():
    do_once('prepare', plan)
  rounds = 1 if case.workload == 'digest' else _ROUNDS
  env = {'XLA_FLAGS': case.flags} if case.flags else {}
  sides = ['ours']
  if args.pytorch and case.theirs:
    sides += ['theirs', 'theirs_best']
  found = {}
  for side in sides:
    found |= measure(case.workload, (side,), plan, rounds, _SECONDS, env)
  return found


def _row(case: Case, plan: Plan, measured: dict) -> dict:
  row = {
    'work': case.workload,
    'dtype': case.dtype,
    'studies': plan.batch,
    'note': case.note,
  } | measured
  seconds = row.get('ours_seconds')
  if seconds and case.workload == 'write_reports':
    row['words_per_second'] = plan.batch * LENGTH / seconds
  elif seconds and case.workload != 'digest':
    row['films_per_second'] = plan.batch * VIEWS / seconds
  return row


def _line(row: dict) -> str:
  """A measured case on the terminal."""
  what = [row['work'], row['dtype'], f'{row["studies"]} studies', row['note']]
  said = row.get('error') or row.get('digest') or f'{row["ours_seconds"]:.4g} s'
  return f'{", ".join(filter(None, what))}: {said}'


def page(content: dict) -> list[str]:
  """The table for docs/performance.md."""
  machine = content['machine']
  if machine is None:
    return ['nothing was measured']
  peaks = ', '.join(
    f'{peak / 1e12:.1f} TFLOP/s in {dtype}'
    for dtype, peak in machine['matmul_peak_flops'].items()
  )
  columns = ('work', 'type', 'studies', '', 'ours, ms', 'theirs, ms', 'ratio')
  columns += ('films/s', 'words/s', 'of peak', 'GB', 'compile, s')
  rows = [_cells(row) for row in content['rows'] if row['work'] != 'digest']
  head = f'{machine["device"]}; products of matrices reach {peaks}.'
  return [*wrapped(head), '', *table(columns, rows)]


def _cells(row: dict) -> list[str]:
  def of(key, form, scale=1.0):
    value = row.get(key)
    return number(value and value * scale, form)

  return [
    row['work'],
    row['dtype'],
    str(row['studies']),
    row['note'],
    row.get('skipped') or of('ours_seconds', '.3g', 1e3),
    of('theirs_seconds', '.3g', 1e3),
    of('ratio', '.3g'),
    of('films_per_second', '.0f'),
    of('words_per_second', '.0f'),
    of('share_of_peak', '.0%'),
    of('ours_bytes', '.2f', 1e-9),
    of('compile_seconds', '.0f'),
  ]


def summary(content: dict) -> str:
  """Two sentences: speed against what an H100 should reach, and the bits."""

  def first(key, **wanted):
    for row in content['rows']:
      if key in row and all(row[k] == v for k, v in wanted.items()):
        return row[key]
    return None

  step = first('ours_seconds', work='train_step', dtype='float32')
  films = first('films_per_second', work='train_step', dtype='bfloat16')
  words = first('words_per_second', work='write_reports', dtype='bfloat16')
  said = (
    f'A training step takes {number(step and step * 1e3, ".3g")} ms in float32 '
    f'(16 studies on one H100: {_STEP_16 * 1e3:g}), {number(films, ".0f")} '
    f'films a second are trained on and {number(words, ".0f")} words a second '
    f'written in bfloat16 (128 studies: {_FILMS_128:,} and {_WORDS_128:,}). '
  )
  bits = {}
  for row in content['rows']:
    if row['work'] == 'digest' and 'digest' in row:
      bits.setdefault('deterministic' in row['note'], []).append(row['digest'])
  same = {
    flag: 'the same' if len(set(found)) == 1 else 'other'
    for flag, found in bits.items()
    if len(found) > 1
  }
  plain, strict = same.get(False, 'unknown'), same.get(True, 'unknown')
  return said + (
    f'A second process ends with {plain} bits, with deterministic operations '
    f'with {strict} ones.'
  )


def _parse(argv) -> argparse.Namespace:
  parser = command('gpu', __doc__)
  add = parser.add_argument
  add('--pytorch', type=Path, help='checkout of zhjohnchan/R2GenCMN')
  add('--json', type=Path, help='file to write')
  add('--minutes', type=float, default=9, help='in which to end')
  add('--tiny', action='store_true', help='tiny sizes, to try the command')
  return parser.parse_args(argv)


if __name__ == '__main__':
  main()
