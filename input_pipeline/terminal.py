"""What a command shows while it runs: a progress bar, and lines beside it."""

import sys
import textwrap

import tqdm

# Seconds between two lines of a log.
_IN_A_LOG = 15
# Columns of a terminal.
_WIDTH = 79


def progress_bar(items=None, **options) -> tqdm.tqdm:
  """tqdm's bar: as wide as the terminal, and seldom where there is none.

  Args:
    items: to be counted as they pass; None where the caller counts.
    **options: of tqdm, such as total, desc and unit.
  """
  return tqdm.tqdm(
    items,
    dynamic_ncols=True,
    mininterval=0.1 if sys.stderr.isatty() else _IN_A_LOG,
    **options,
  )


def say(text: str) -> None:
  """Prints lines to stderr, beside the bar."""
  tqdm.tqdm.write(text, file=sys.stderr)


def warn(sentence: str) -> None:
  """`say`s a warning.

  Not by absl's log: a run silences that, for what libraries write there.
  """
  say(f'WARNING: {sentence}')


def folded(text: str) -> str:
  """Lines as wide as a terminal; what does not fit stands indented below.

  Not for what is copied from a terminal, such as a command.
  """
  return '\n'.join(
    textwrap.fill(
      line,
      _WIDTH,
      subsequent_indent=' ' * (len(line) - len(line.lstrip()) + 2),
      break_long_words=False,
      break_on_hyphens=False,
    )
    for line in text.split('\n')
  )
