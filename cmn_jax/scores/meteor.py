"""METEOR: version 1.5 by its own Java program, and NLTK's without WordNet.

The two are different scores (on the same reports NLTK's is about twice as
large), and so they have different names everywhere.
"""

import functools
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
from collections import defaultdict

import numpy as np
from absl import logging

_ALPHA, _BETA, _GAMMA = 0.9, 3.0, 0.5  # NLTK's defaults (Lavie, Agarwal 2007)


@functools.cache
def _stemmer():
  """Imported late, as it brings all of scipy.

  nltk's import raises for a user without a home, which it does not need.
  """
  homeless = os.path.expanduser('~/') == '~/'
  if homeless:
    os.environ['HOME'] = os.sep
  try:
    from nltk.stem.porter import PorterStemmer
  finally:
    if homeless:
      del os.environ['HOME']
  return PorterStemmer()


def meteor_java(
  references: list[str], hypotheses: list[str], *, timeout_s: float = 600
) -> float | None:
  """METEOR 1.5 of the corpus, `-l en -norm` (Denkowski and Lavie 2014).

  Runs the jar that pycocoevalcap brings along. Starting Java and reading the
  paraphrases takes 5 to 10 s, the scoring of a split hardly more.

  Returns:
    The aggregate score; None, with a logged line that says why, where Java or
    pycocoevalcap is missing, or Java fails or takes longer than `timeout_s`.
  """
  try:
    return _run_jar(references, hypotheses, timeout_s)
  except _CannotRun as why:
    _say_once(f'No METEOR 1.5: {why}')
    return None


class _CannotRun(Exception):
  """METEOR 1.5 gave no score; the message says why."""


@functools.cache
def _say_once(message):
  """Logs each message once: an evaluation scores several systems."""
  logging.warning(message)


def _run_jar(references, hypotheses, timeout_s):
  java = shutil.which('java')
  if java is None:
    raise _CannotRun('no java on the PATH.')
  home = _jar_home()
  with tempfile.TemporaryDirectory() as folder:
    tests = _write_lines(pathlib.Path(folder, 'hypotheses'), hypotheses)
    truths = _write_lines(pathlib.Path(folder, 'references'), references)
    # Left to itself the jar does not find its paraphrases where the path has a
    # space: -a names them.
    command = [java, '-Xmx2G', '-jar', home / 'meteor-1.5.jar', tests, truths]
    command += ['-l', 'en', '-norm', '-q']
    command += ['-a', home / 'data' / 'paraphrase-en.gz']
    code, out, err = _run(command, timeout_s)
  try:
    if code == 0:
      return float(out)
  except ValueError:
    pass
  said = (err or out).strip().splitlines() or ['nothing']
  raise _CannotRun(f'{java} ended with {code} and said: {said[-1]}')


def _run(command, timeout_s):
  """Exit code, stdout and stderr; leaves no process behind."""
  try:
    process = subprocess.Popen(
      command,
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      encoding='utf-8',
      errors='replace',
      # A group of its own: `java` may be a script that starts the real one.
      start_new_session=True,
    )
  except OSError as error:
    raise _CannotRun(f'{command[0]}: {error.strerror}.') from None
  with process:
    try:
      out, err = process.communicate(timeout=timeout_s)
    except BaseException as error:
      os.killpg(process.pid, signal.SIGKILL)
      if isinstance(error, subprocess.TimeoutExpired):
        raise _CannotRun(f'{command[0]} took over {timeout_s} s.') from None
      raise
  return process.returncode, out, err


def _jar_home():
  """Folder of the jar and its paraphrases."""
  try:
    import pycocoevalcap
  except ImportError:
    raise _CannotRun('pycocoevalcap is not installed.') from None
  home = pathlib.Path(next(iter(pycocoevalcap.__path__)), 'meteor')
  if not (home / 'meteor-1.5.jar').is_file():
    raise _CannotRun(f'no meteor-1.5.jar in {home}.')
  return home


def _write_lines(path, reports):
  """One report a line: line breaks within one become spaces."""
  lines = [report.replace('\r', ' ').replace('\n', ' ') for report in reports]
  path.write_text('\n'.join(lines) + '\n', encoding='utf-8', newline='\n')
  return path


def meteor_nltk_per_study(
  references: list[str], hypotheses: list[str]
) -> np.ndarray:
  """NLTK's METEOR of each study, (S,), without its WordNet stage.

  Words pair up if they are equal, then if their Porter stems are. WordNet's
  synonyms, a download, would move the mean over reports by about .001.
  """
  pairs = zip(references, hypotheses, strict=True)
  return np.array(
    [_meteor_nltk(r.lower().split(), h.lower().split()) for r, h in pairs]
  )


def _meteor_nltk(reference, hypothesis):
  """(1 - fragmentation penalty) times a mean of precision and recall."""
  pairs = _align(reference, hypothesis)
  if not pairs:
    return 0.0
  precision, recall = len(pairs) / len(hypothesis), len(pairs) / len(reference)
  mean = precision * recall / (_ALPHA * precision + (1 - _ALPHA) * recall)
  # A chunk goes on while both words move one place to the right.
  steps = itertools.pairwise(pairs)
  chunks = 1 + sum((i + 1, j + 1) != after for (i, j), after in steps)
  return (1 - _GAMMA * (chunks / len(pairs)) ** _BETA) * mean


def _align(reference, hypothesis):
  """Sorted pairs of positions (in the hypothesis, in the reference)."""
  exact = _match(reference, hypothesis)
  ours, theirs = {i for i, _ in exact}, {j for _, j in exact}
  # What is paired becomes None, which never pairs again.
  stemmed = _match(
    [None if j in theirs else _stem(w) for j, w in enumerate(reference)],
    [None if i in ours else _stem(w) for i, w in enumerate(hypothesis)],
  )
  return sorted(exact + stemmed)


def _match(reference, hypothesis):
  """Pairs equal words, the last with the last, as NLTK does."""
  free = defaultdict(list)
  for j, word in enumerate(reference):
    free[word].append(j)
  free.pop(None, None)
  pairs = []
  for i in reversed(range(len(hypothesis))):
    if free.get(hypothesis[i]):
      pairs.append((i, free[hypothesis[i]].pop()))
  return pairs


@functools.lru_cache(maxsize=100_000)
def _stem(word):
  return _stemmer().stem(word)
