"""What a compiled program costs on one chip, in numbers and for people."""

import dataclasses
import re

from benchmarks.compiled_program import Program
from benchmarks.tpu.chips import Chip


def describe(
  compiled, chip: Chip, studies: int, chips: int, parts: int = 1
) -> dict:
  """Cost of one run on one chip, and its lower bounds in time.

  Args:
    compiled: the program.
    chip: its peaks.
    studies: of a batch, over all chips.
    chips: their number.
    parts: passes of a loop around nearly all of it, train.accumulate, which the
      compiler's own counts take once.

  Returns:
    JSON-ready numbers: FLOP, bytes, seconds, HBM by kind, loops, collectives.
  """
  counted = compiled.cost_analysis()
  cost = {k: parts * counted[k] for k in ('flops', 'bytes accessed')}
  program = Program(compiled.as_text())
  memory = compiled.memory_analysis()
  hbm = {
    'arguments': memory.argument_size_in_bytes,
    'outputs': memory.output_size_in_bytes - memory.alias_size_in_bytes,
    'temporaries': memory.temp_size_in_bytes,
    'code': memory.generated_code_size_in_bytes,
  }
  hbm_bytes = program.hbm_bytes()
  share = studies / chips
  return {
    'studies_per_chip': share,
    'flop': cost['flops'],
    'flop_seconds': cost['flops'] / chip.flops,
    'bytes_accessed': cost['bytes accessed'],
    'bytes_accessed_per_study': cost['bytes accessed'] / share,
    'bytes_accessed_seconds': cost['bytes accessed'] / chip.bandwidth,
    'hbm_traffic': hbm_bytes,
    'hbm_traffic_per_study': hbm_bytes / share,
    'hbm_traffic_seconds': hbm_bytes / chip.bandwidth,
    'hbm': hbm,
    'hbm_share': sum(hbm.values()) / chip.hbm,
    'loops': [dataclasses.asdict(loop) for loop in program.loops()],
    'collectives': _grouped(program.collectives()),
  }


def _grouped(collectives) -> list[dict]:
  """Collectives of one kind and source family together."""
  groups = {}
  for one in collectives:
    where = 'gradients and losses'
    if re.search(r'/(bn\d|downsample_bn)/', one.source):
      where = 'batch statistics'
    group = groups.setdefault(
      (one.kind, where),
      {'kind': one.kind, 'of': where, 'count': 0, 'arrays': 0, 'bytes': 0},
    )
    group['count'] += 1
    group['arrays'] += one.arrays
    group['bytes'] += one.bytes
  return list(groups.values())


def guess_largest(step: dict, chip: Chip) -> int:
  """Studies per chip if temporaries grow as the batch does."""
  hbm = step['hbm']
  room = chip.hbm - hbm['arguments'] - hbm['outputs'] - hbm['code']
  return int(room / max(hbm['temporaries'], 1) * step['studies_per_chip'])


def table(result: dict) -> str:
  """The numbers for people, per chip."""
  lines = [
    f'{result["topology"]}: {result["chips"]} chips, {result["dtype"]}, '
    f'{result["batch"]} studies in a batch'
  ]
  for name in result['programs']:
    lines += ['', f'{name}, per chip', *_rows(result[name])]
  lines += [
    '',
    'Times are lower bounds from published peaks; nothing has run. Bytes '
    'accessed and',
    'FLOP are the cost analysis of the compiler, which counts the pass of a '
    'loop once',
    "and the chip's fast memory, too; HBM traffic leaves that out and counts "
    'loops to',
    'their end.',
  ]
  if 'largest_batch_per_chip' in result:
    lines.append(
      f'Largest training batch that fits: {result["largest_batch_per_chip"]} '
      'studies per chip'
    )
  return '\n'.join(lines)


def _rows(cost: dict) -> list[str]:
  """One program's numbers."""
  rows = [
    f'  {"FLOP":16s}{cost["flop"] / 1e9:10.1f} GFLOP '
    f'{cost["flop_seconds"] * 1e3:9.2f} ms'
  ]
  for label, key in (
    ('bytes accessed', 'bytes_accessed'),
    ('HBM traffic', 'hbm_traffic'),
  ):
    rows.append(
      f'  {label:16s}{cost[key] / 1e9:10.2f} GB    '
      f'{cost[f"{key}_seconds"] * 1e3:9.2f} ms '
      f'{cost[f"{key}_per_study"] / 1e9:9.3f} GB a study'
    )
  for kind, size in cost['hbm'].items():
    rows.append(f'  HBM, {kind:11s}{size / 1e9:10.2f} GB')
  rows.append(
    f'  {"HBM, all":16s}{sum(cost["hbm"].values()) / 1e9:10.2f} GB '
    f'({cost["hbm_share"]:.0%} of the chip)'
  )
  for loop in cost['loops']:
    where = loop['source'].split('/')[-2:]
    rows.append(
      f'  loop of at most {loop["passes"]} passes, '
      f'{loop["hbm_bytes"] / 1e6:.1f} MB of HBM a pass ({"/".join(where)})'
    )
  for one in cost['collectives']:
    rows.append(
      f'  {one["count"]} x {one["kind"]} ({one["of"]}): {one["arrays"]} '
      f'arrays, {one["bytes"] / 1e6:.2f} MB'
    )
  return rows
