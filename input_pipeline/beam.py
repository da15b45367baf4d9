"""Apache Beam, an extra, for what takes one host too long.

`apache_beam` is imported here alone, and only when it is asked for.
"""

import glob
import os
import re
import socket
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from input_pipeline.errors import UserError

# How Beam quotes what a worker raised.
_OF_A_WORKER = re.compile(
  r'\b(?:User|Data)Error: (.*?) \[while running ', re.DOTALL
)
_NO_RUNNER = 'Unexpected pipeline runner'
SHARED = 'all hosts of Beam must see films and output under the same paths'


def load():
  """The module `apache_beam`; a UserError says what to install."""
  try:
    import apache_beam
  except ImportError as error:
    raise UserError(
      'Apache Beam is not installed: `pip install -r requirements-beam.txt`, '
      "or `pip install '.[beam]'`, in a virtual environment of its own"
    ) from error
  return apache_beam


def lines_of(path: Path | str):
  """A PTransform to the lines of a file, spread over all workers."""
  beam = load()
  return beam.io.ReadFromText(glob.escape(str(path))) | beam.Reshuffle()


def map_lines(
  path: Path | str, function: Callable, flags: Sequence[str], **arguments
) -> None:
  """Calls `function(line, **arguments)` for every line of a file, in Beam.

  Args:
    path: of a file that all workers see.
    function: of a module, so that its name is all that is sent of it.
    flags: Beam's own command line.
    **arguments: pickled.

  Raises:
    UserError: there is no Beam or no such runner, or a worker raised one.
  """
  beam = load()
  options = beam.options.pipeline_options.PipelineOptions(list(flags))
  try:
    with beam.Pipeline(options=options) as pipeline:
      _ = pipeline | lines_of(path) | beam.Map(function, **arguments)
  except Exception as error:
    sentence = _sentence(error)
    if sentence is None:
      raise
    raise UserError(sentence) from error


def check_seen(path: Path | str) -> None:
  """Raises UserError where a worker's host does not see a file or folder."""
  if not os.path.exists(path):
    raise UserError(f'{socket.gethostname()} does not see {path}: {SHARED}')


def _sentence(error: Exception) -> str | None:
  """What a person can mend, in a failure that Beam reports."""
  said = ''.join(traceback.format_exception_only(error))
  found = _OF_A_WORKER.search(said)
  if found:
    return found[1]
  return str(error) if _NO_RUNNER in said else None
