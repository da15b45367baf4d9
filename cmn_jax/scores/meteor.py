"""METEOR: version 1.5 by its own Java program, and NLTK's without WordNet.

The two are different scores (on the same reports NLTK's is about twice as
large), and so they have different names everywhere.
"""

import contextlib
import functools
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import defaultdict

import numpy as np

from cmn_jax.scores.pairs import score_pairs
from input_pipeline.terminal import warn

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
  """METEOR 1.5 of one system, see `MeteorJava`."""
  with MeteorJava(timeout_s) as meteor:
    return meteor(references, hypotheses)


class MeteorJava:
  """METEOR 1.5 of corpora, `-l en -norm` (Denkowski and Lavie 2014).

  Runs the jar that pycocoevalcap brings along, one process in a `with` block.
  Starting Java and reading the paraphrases takes it 5 to 10 s, the scoring of
  a split hardly more: entering the block does not wait for it.
  """

  def __init__(self, timeout_s: float = 600):
    """No score takes longer than `timeout_s` seconds."""
    self._timeout_s = timeout_s
    self._java, self._process, self._why, self._late = None, None, None, False
    self._open = contextlib.ExitStack()
    self._counts = functools.cache(self._count)

  def __enter__(self) -> 'MeteorJava':
    self._errors = self._open.enter_context(tempfile.TemporaryFile())
    try:
      self._process = self._start()
    except _CannotRunError as why:
      self._why = why
    return self

  def __exit__(self, *_):
    if self._process:
      self._kill()
      with contextlib.suppress(OSError):
        self._process.stdin.close()
      self._process.stdout.close()
      self._process.wait()
    self._open.close()

  def __call__(
    self, references: list[str], hypotheses: list[str]
  ) -> float | None:
    """The aggregate score of a report for each reference.

    Returns:
      None, with a logged line that says why, where Java or pycocoevalcap is
      missing, or Java fails or takes too long.
    """
    if not self._why:
      timer = threading.Timer(self._timeout_s, self._give_up)
      timer.start()
      try:
        return self._score(references, hypotheses)
      except _CannotRunError as why:
        self._why = why
      finally:
        timer.cancel()
    _say_once(f'no METEOR 1.5: {self._why}')
    return None

  def _start(self):
    self._java = shutil.which('java')
    if self._java is None:
      raise _CannotRunError('no java on the PATH.')
    home = _jar_home()
    command = [self._java, '-Xmx2G', '-Dfile.encoding=UTF-8']
    command += ['-jar', home / 'meteor-1.5.jar', '-', '-', '-stdio']
    # Left to itself the jar does not find its paraphrases where the path has a
    # space: -a names them.
    command += ['-l', 'en', '-norm', '-a', home / 'data' / 'paraphrase-en.gz']
    try:
      return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=self._errors,
        encoding='utf-8',
        errors='replace',
        # A group of its own: `java` may be a script that starts the real one.
        start_new_session=True,
      )
    except OSError as error:
      raise _CannotRunError(f'{self._java}: {error.strerror}.') from None

  def _score(self, references, hypotheses):
    pairs = zip(map(_line, references), map(_line, hypotheses), strict=True)
    counts = [self._counts(*pair) for pair in pairs]
    self._ask('EVAL', *counts)
    for _ in counts:  # the score of each study comes before that of all
      self._answer()
    answer = self._answer()
    try:
      return float(answer)
    except ValueError:
      raise _CannotRunError(f'{self._java} said: {answer}') from None

  def _count(self, reference, hypothesis):
    """What METEOR sums over studies, in its own words."""
    self._ask('SCORE', reference, hypothesis)
    return self._answer()

  def _ask(self, *parts):
    try:
      self._process.stdin.write(' ||| '.join(parts) + '\n')
      self._process.stdin.flush()
    except OSError:  # it has ended
      raise self._ended() from None

  def _answer(self):
    line = self._process.stdout.readline()
    if not line:
      raise self._ended()
    return line.strip()

  def _ended(self):
    """Why nothing comes any more."""
    code = self._process.wait()
    if self._late:
      return _CannotRunError(f'{self._java} took over {self._timeout_s} s.')
    self._errors.seek(0)
    said = self._errors.read().decode(errors='replace').strip().splitlines()
    said = said[-1] if said else 'nothing'
    return _CannotRunError(f'{self._java} ended with {code} and said: {said}')

  def _give_up(self):
    self._late = True
    self._kill()

  def _kill(self):
    with contextlib.suppress(ProcessLookupError):
      os.killpg(self._process.pid, signal.SIGKILL)


class _CannotRunError(Exception):
  """METEOR 1.5 gave no score; the message says why."""


@functools.cache
def _say_once(message):
  """Prints each message once: an evaluation scores several systems."""
  warn(message)


def _line(report):
  """Within one line, and without what parts the fields of one."""
  return report.replace('\r', ' ').replace('\n', ' ').replace('|||', '| | |')


def _jar_home():
  """Folder of the jar and its paraphrases."""
  try:
    import pycocoevalcap
  except ImportError:
    raise _CannotRunError('pycocoevalcap is not installed.') from None
  home = pathlib.Path(next(iter(pycocoevalcap.__path__)), 'meteor')
  if not (home / 'meteor-1.5.jar').is_file():
    raise _CannotRunError(f'no meteor-1.5.jar in {home}.')
  return home


def meteor_nltk_per_study(
  references: list[str], hypotheses: list[str]
) -> np.ndarray:
  """NLTK's METEOR of each study, (S,), without its WordNet stage.

  Words pair up if they are equal, then if their Porter stems are. WordNet's
  synonyms, a download, would move the mean over reports by about .001.
  """
  return score_pairs(_meteor_nltk, references, hypotheses)


def _meteor_nltk(reference, hypothesis):
  """(1 - fragmentation penalty) times a mean of precision and recall."""
  reference, hypothesis = reference.lower().split(), hypothesis.lower().split()
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
