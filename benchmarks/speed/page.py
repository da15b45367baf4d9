"""What was measured, as Markdown."""

import statistics
import textwrap
from collections.abc import Sequence
from pathlib import Path

from benchmarks.speed.workloads import EKAGEN, WORKLOADS
from input_pipeline.errors import UserError

_BEGIN, _END = '<!-- benchmark -->\n', '<!-- end of benchmark -->\n'
_WIDTH = 80
_TIMES = ('work', 'ours, s', 'theirs, s', 'ratio', 'goal', 'spread', 'runs')
_OTHERS = (
  'work',
  'ours, GB',
  'theirs, GB',
  'of peak',
  'compile, s',
  'first run, s',
)


def page(content: dict) -> str:
  """Machine, tables and notes of the content of a JSON file."""
  machine, plan, rows, details = (
    content[name] for name in ('machine', 'plan', 'rows', 'details')
  )
  versions = ', '.join(f'{k} {v}' for k, v in content['versions'].items())
  lines = wrapped(
    f'{machine["processor"]}, {machine["cores"]} cores, '
    f'{machine["memory_bytes"] / 1e9:.0f} GB, {machine["device"]}; {versions}. '
    f'{plan["encoder"]}, {plan["image_size"]} pixels, batches of '
    f'{plan["batch"]} studies, beam {plan["beam"]}, {plan["dtype"]}'
    f'{", model.remat" if plan.get("remat") else ""}. Products '
    f'of matrices reach {machine["matmul_peak_flops"] / 1e9:.0f} GFLOP/s.'
  )
  pairs = [(row, details[row['work']]) for row in rows]
  lines += ['', *table(_TIMES, [_times(*pair) for pair in pairs])]
  lines += ['', *table(_OTHERS, [_others(*pair) for pair in pairs]), '']
  for note in _notes(rows, plan, details):
    lines += wrapped(note, '- ')
  return '\n'.join(lines) + '\n'


def write_into(file: Path, content: dict):
  """Puts the page between the marks of a Markdown file.

  Raises:
    UserError: the file is not there or has no marks.
  """
  text = file.read_text() if file.is_file() else ''
  if text.count(_BEGIN) != 1 or text.count(_END) != 1:
    raise UserError(
      f'{file} must hold {_BEGIN.strip()} and {_END.strip()} once, each on a '
      'line of its own'
    )
  before, rest = text.split(_BEGIN)
  after = rest.split(_END)[1]
  file.write_text(f'{before}{_BEGIN}\n{page(content)}\n{_END}{after}')


def _times(row: dict, detail: dict) -> list[str]:
  sides = detail['sides'].values()
  return [
    row['work'],
    number(row['ours_seconds'], '.3g'),
    number(row['theirs_seconds'], '.3g'),
    number(row['ratio'], '.3g'),
    number(row['goal'], 'g'),
    ', '.join(f'{side["spread"]:.0%}' for side in sides),
    ', '.join(str(len(side['seconds'])) for side in sides),
  ]


def _others(row: dict, detail: dict) -> list[str]:
  ours = detail['sides']['ours']
  return [
    row['work'],
    number(row['ours_bytes'] / 1e9, '.2f'),
    number(row['theirs_bytes'] and row['theirs_bytes'] / 1e9, '.2f'),
    number(detail['share_of_peak'], '.0%'),
    number(ours['compile_seconds'] or None, '.1f'),
    ', '.join(f'{s["first_seconds"]:.3g}' for s in detail['sides'].values()),
  ]


def number(value: float | None, form: str) -> str:
  """As `form` prints it; a dash for None."""
  return '-' if value is None else format(value, form)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
  """Lines of a Markdown table whose columns stand under each other."""
  widths = [
    max(map(len, column)) for column in zip(columns, *rows, strict=True)
  ]
  first, *others = widths

  def line(cells):
    padded = [cells[0].ljust(first)]
    padded += [c.rjust(w) for c, w in zip(cells[1:], others, strict=True)]
    return f'| {" | ".join(padded)} |'

  rule = ['-' * first, *('-' * (width - 1) + ':' for width in others)]
  return [line(columns), line(rule), *map(line, rows)]


def wrapped(text: str, bullet: str = '') -> list[str]:
  """Lines of at most 80 columns, the first after a bullet."""
  return textwrap.wrap(
    text,
    _WIDTH,
    initial_indent=bullet,
    subsequent_indent=' ' * len(bullet),
    break_long_words=False,
    break_on_hyphens=False,
  )


def _ekagen_notes(plan: dict, details: dict) -> list[str]:
  """How EKAGen's rows were obtained."""
  if not set(details) & set(EKAGEN):
    return []
  from benchmarks.speed.ekagen_sizes import sizes_of

  sizes = sizes_of(plan['ekagen_size'])
  lines = [
    f"EKAGen's rows have sizes of their own: {sizes.shape.encoder}, "
    f'{sizes.image} pixels, {sizes.shape.max_length} positions, all switches '
    f'as the authors have them, training in batches of {sizes.train} and '
    f'writing in batches of {sizes.write}. Our step turns, lights, mirrors and '
    'masks its films; theirs are given as its loader leaves them. In each step '
    'theirs asks its classifier for the labels, which ours keeps.'
  ]
  written = details.get('ekagen_write', {})
  if 'same_reports' in written:
    lines.append(
      f'`ekagen_write`: for each word of a batch theirs runs classifier, '
      f'encoder and decoder anew over all positions, {sizes.all_passes} equal '
      f'passes; {sizes.passes} were timed, and the time scaled by '
      f'{sizes.all_passes}/{sizes.passes}. Ours writes all {sizes.words} '
      f'words. Of the {written["reports"]} reports {written["same_reports"]} '
      'have the same words as far as theirs went.'
    )
  return lines


def _notes(rows, plan: dict, details: dict) -> list[str]:
  lines = [f'`{row["work"]}`: {WORKLOADS[row["work"]]}.' for row in rows]
  if 'test_split' in details:
    scale = details['test_split']['theirs_scale'] or 1
    scaled = f"; the authors' time is scaled by {scale:g}" if scale > 1 else ''
    lines.append(f'The test split has {plan["studies"]} studies{scaled}.')
  written = details.get('write_reports', {})
  if 'same_reports' in written:
    lines.append(
      f'Of the {written["reports"]} reports {written["same_reports"]} are '
      'the same words on both sides.'
    )
  lines += _ekagen_notes(plan, details)
  if 'input' in details:
    seconds = details['input']['sides']['ours']['setup_seconds']
    lines.append(
      '`input`: theirs decodes and resizes the PNG files in each epoch; ours '
      'keeps them resized. Opening them, with the resizing where it had '
      f'not been done, took {seconds:.0f} s, which the row leaves out.'
    )
  lines += [
    'Seconds are medians; spread is the largest less the smallest, over the '
    'median. Spread, runs and first run are of ours, then of theirs. Bytes are '
    'the most that the process held while it was timed.',
    '`of peak` is our arithmetic in products of matrices and convolutions, '
    'over what the machine reached for one large product. Compilation is in '
    'no time; the first run, which warms up (one batch of a test split), '
    'neither.',
  ]
  alone = [f'`{k}`' for k, x in details.items() if not x.get('in_turn', True)]
  if alone:
    lines.append(
      f'{", ".join(alone)}: both at once took more memory than there is, so '
      'that one side ran after the other.'
    )
  for work, detail in details.items():
    best = detail['sides'].get('theirs_best')
    if best:
      theirs = detail['sides']['theirs']['seconds']
      lines.append(
        f'`{work}`, their code as published: {statistics.median(theirs):.3g} '
        's; at its best (channels-last, autocast, torch.compile): '
        f'{statistics.median(best["seconds"]):.3g} s.'
      )
  return lines
