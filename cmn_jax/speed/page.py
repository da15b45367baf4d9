"""What was measured, as Markdown."""

from pathlib import Path

from cmn_jax.speed.works import WORKS

_BEGIN, _END = '<!-- benchmark -->\n', '<!-- end of benchmark -->\n'
_COLUMNS = (
  'work',
  'ours, s',
  'theirs, s',
  'ratio',
  'spread',
  'runs',
  'ours, GB',
  'theirs, GB',
  'of peak',
  'compile, s',
)


def page(content: dict) -> str:
  """Machine, table and notes of the content of a JSON file."""
  machine, plan, details = (
    content[name] for name in ('machine', 'plan', 'details')
  )
  lines = [
    f'{machine["processor"]}, {machine["cores"]} cores, '
    f'{machine["memory_bytes"] / 1e9:.0f} GB, {machine["device"]}.',
    ', '.join(f'{k} {v}' for k, v in content['versions'].items()) + '.',
    f'{plan["encoder"]}, {plan["image_size"]} pixels, batches of '
    f'{plan["batch"]} studies, beam {plan["beam"]}, {plan["dtype"]}. Products '
    f'of matrices reach {machine["matmul_peak_flops"] / 1e9:.0f} GFLOP/s.',
    '',
    _line(_COLUMNS),
    _line(['---'] + ['---:'] * (len(_COLUMNS) - 1)),
  ]
  for row in content['rows']:
    lines.append(_line(_cells(row, details[row['work']])))
  lines += ['', *_notes(content['rows'], plan, details)]
  return '\n'.join(lines) + '\n'


def write_into(file: Path, content: dict):
  """Puts the page between the marks of a Markdown file.

  Raises:
    ValueError: the file has no marks.
  """
  text = file.read_text()
  if text.count(_BEGIN) != 1 or text.count(_END) != 1:
    raise ValueError(
      f'{file} must hold {_BEGIN.strip()} and {_END.strip()} once, each on a '
      'line of its own'
    )
  before, rest = text.split(_BEGIN)
  after = rest.split(_END)[1]
  file.write_text(f'{before}{_BEGIN}\n{page(content)}\n{_END}{after}')


def _cells(row: dict, detail: dict) -> list[str]:
  sides = detail['sides']

  def each(key):
    return ', '.join(f'{side[key]:.0%}' for side in sides.values())

  return [
    row['work'],
    _number(row['ours_seconds'], '.3g'),
    _number(row['theirs_seconds'], '.3g'),
    _number(row['ratio'], '.3g'),
    each('spread'),
    str(len(sides['ours']['seconds'])),
    _number(row['ours_bytes'] / 1e9, '.2f'),
    _number(row['theirs_bytes'] and row['theirs_bytes'] / 1e9, '.2f'),
    _number(detail['share_of_peak'], '.0%'),
    _number(sides['ours']['compile_seconds'] or None, '.0f'),
  ]


def _number(value, form: str) -> str:
  return '-' if value is None else format(value, form)


def _line(cells) -> str:
  return f'| {" | ".join(cells)} |'


def _notes(rows, plan: dict, details: dict) -> list[str]:
  lines = [f'- `{row["work"]}`: {WORKS[row["work"]]}.' for row in rows]
  split = details.get('test_split')
  if split:
    scaled = split['scaled_from_batches']
    lines.append(
      f'- The test split has {plan["studies"]} studies'
      + (f'; its times are scaled from {scaled} batches.' if scaled else '.')
    )
  written = details.get('write_reports', {})
  if 'same_reports' in written:
    lines.append(
      f'- Of the {written["reports"]} reports {written["same_reports"]} are '
      'the same words on both sides.'
    )
  if 'input' in details:
    seconds = details['input']['sides']['ours']['setup_seconds']
    lines.append(
      '- `input`: theirs decodes and resizes the PNG files in each epoch; ours '
      'keeps them resized. Opening them, with the resizing where it had '
      f'not been done, took {seconds:.0f} s, which the row leaves out.'
    )
  if 'wait' in details:
    lines.append(
      '- A training step that is fed from disk waited '
      f'{details["wait"]["milliseconds"]:.1f} ms for its batch.'
    )
  lines += [
    '- Seconds are medians; spread is the largest less the smallest, over the '
    'median, of each side. Bytes are the most that the process held while it '
    'was timed.',
    '- `of peak` is our arithmetic in products of matrices, over what the '
    'machine reached for one large product.',
  ]
  for work, detail in details.items():
    best = detail.get('sides', {}).get('theirs_best')
    if best:
      lines.append(
        f'- `{work}`, their code as published: '
        f'{_median(detail["sides"]["theirs"]["seconds"]):.3g} s; at its best '
        f'(channels-last, autocast, torch.compile): '
        f'{_median(best["seconds"]):.3g} s.'
      )
  return lines


def _median(seconds: list[float]) -> float:
  return sorted(seconds)[len(seconds) // 2]
