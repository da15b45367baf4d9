"""What a command shows while it runs: a progress bar, and lines beside it."""

import sys
import textwrap

import tqdm

# Seconds between two lines of a log.
_IN_A_LOG = 15
# Columns of a terminal.
_WIDTH = 79


def progress_bar(items=None, **options) -> tqdm.tqdm:
  """tqdm's bar, as wide as the terminal; in a log a line now and then.

  Args:
    items: to be counted as they pass; None where the caller counts.
    **options: of tqdm, such as total, desc and unit.
  """
  if sys.stderr.isatty():
    return tqdm.tqdm(items, dynamic_ncols=True, **options)
  return tqdm.tqdm(
    items,
    file=_Log(),
    ncols=_WIDTH,
    ascii=' #',
    delay=_IN_A_LOG,
    mininterval=_IN_A_LOG,
    **options,
  )


class _Log:
  """stderr where it is no terminal: each state of a bar becomes a line."""

  def write(self, text: str) -> None:
    state = text.strip()
    if state:
      say(state)

  def flush(self) -> None:
    sys.stderr.flush()


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
