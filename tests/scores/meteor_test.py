"""Both METEORs against their own programs, and METEOR 1.5 without a Java."""

import os
import pathlib
import random
import shutil
import sys
import time
import types

import pytest
from nltk.translate.meteor_score import single_meteor_score

from cmn_jax.scores import meteor

REFERENCES = [
  'the heart is normal in size . the lungs are clear .',
  'there is a small right pleural effusion .',
  'no pneumothorax or effusion . naïve 肺',
  '',
  'degenerative changes of the thoracic spine .',
  'clear',
]
HYPOTHESES = [
  'heart size is normal . lungs clear .',
  'small effusions on the right  side .',
  '',
  'no focal consolidation .',
  'degenerative change in the spine . 肺 ' * 9,
  'clear',
]


@pytest.fixture(autouse=True)
def _say_everything_again():
  meteor._say_once.cache_clear()


def _fake_java(folder, script):
  java = folder / 'java'
  java.write_text(f'#!/bin/sh\n{script}\n')
  java.chmod(0o755)
  return java


def _one_line(capsys):
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith('WARNING: ')
  return line


@pytest.mark.skipif(not shutil.which('java'), reason='no Java on this machine')
def test_meteor_15_equals_pycocoevalcap(tmp_path, monkeypatch):
  package = pytest.importorskip('pycocoevalcap', reason='it brings the jar')
  expected = _pycocoevalcap_meteor(REFERENCES, HYPOTHESES)
  # The program of its authors does not run from a folder with a space.
  home = tmp_path / 'a folder' / 'meteor'
  source = pathlib.Path(next(iter(package.__path__)), 'meteor')
  home.mkdir(parents=True)
  shutil.copy(source / 'meteor-1.5.jar', home)
  (home / 'data').symlink_to(source / 'data')
  moved = types.SimpleNamespace(__path__=[str(home.parent)])
  monkeypatch.setitem(sys.modules, 'pycocoevalcap', moved)

  score = meteor.meteor_java(REFERENCES, HYPOTHESES)

  assert 0.1 < score < 0.9
  assert score == pytest.approx(expected, abs=1e-9)


def _pycocoevalcap_meteor(references, hypotheses):
  from pycocoevalcap.meteor.meteor import Meteor

  truths = {i: [report] for i, report in enumerate(references)}
  tests = {i: [report] for i, report in enumerate(hypotheses)}
  scorer = Meteor()
  score, _ = scorer.compute_score(truths, tests)
  scorer.meteor_p.kill()
  scorer.meteor_p.wait()
  scorer.meteor_p.stdout.close()
  scorer.meteor_p.stderr.close()
  return score


def test_no_java(tmp_path, monkeypatch, capsys):
  monkeypatch.setenv('PATH', str(tmp_path))
  assert meteor.meteor_java(REFERENCES, HYPOTHESES) is None
  assert meteor.meteor_java(REFERENCES, HYPOTHESES) is None
  assert 'no java on the PATH' in _one_line(capsys)


def test_no_pycocoevalcap(tmp_path, monkeypatch, capsys):
  _fake_java(tmp_path, 'echo 0.5')
  monkeypatch.setenv('PATH', str(tmp_path))
  monkeypatch.setitem(sys.modules, 'pycocoevalcap', None)
  assert meteor.meteor_java(REFERENCES, HYPOTHESES) is None
  assert 'pycocoevalcap is not installed' in _one_line(capsys)


@pytest.fixture
def jar(tmp_path, monkeypatch):
  """A pycocoevalcap with a jar that the fake java never opens."""
  (tmp_path / 'meteor').mkdir()
  (tmp_path / 'meteor' / 'meteor-1.5.jar').touch()
  package = types.SimpleNamespace(__path__=[str(tmp_path)])
  monkeypatch.setitem(sys.modules, 'pycocoevalcap', package)
  monkeypatch.setenv('PATH', str(tmp_path), prepend=os.pathsep)


@pytest.mark.parametrize(
  'script, why',
  [
    ('echo "no runtime present" >&2; exit 1', 'no runtime present'),
    ('read line; echo 0.4; kill -9 $$', 'ended with -9'),
    ('yes none', 'said: none'),
    ('exit 0', 'said: nothing'),
  ],
)
def test_java_that_fails(jar, tmp_path, capsys, script, why):
  _fake_java(tmp_path, script)
  assert meteor.meteor_java(REFERENCES, HYPOTHESES) is None
  assert why in _one_line(capsys)


def test_java_that_does_not_start(jar, tmp_path, capsys):
  java = _fake_java(tmp_path, '')
  java.write_text('#!/nowhere/to/be/found\n')
  assert meteor.meteor_java(REFERENCES, HYPOTHESES) is None
  assert 'No such file' in _one_line(capsys)


def test_java_that_hangs_is_ended_with_its_children(jar, tmp_path, capsys):
  _fake_java(tmp_path, f'sleep 300 & echo $! > {tmp_path}/child; wait')
  begin = time.monotonic()
  assert meteor.meteor_java(REFERENCES, HYPOTHESES, timeout_s=1) is None
  assert time.monotonic() - begin < 20
  assert 'took over 1 s' in _one_line(capsys)
  assert _ends(int((tmp_path / 'child').read_text()))


def _ends(pid):
  """Whether a process is gone within 5 s, or dead and not yet collected."""
  stat = pathlib.Path(f'/proc/{pid}/stat')  # 'pid (name) state ...', on Linux
  for _ in range(50):
    try:
      os.kill(pid, 0)
    except ProcessLookupError:
      return True
    if stat.exists() and ') Z ' in stat.read_text():
      return True
    time.sleep(0.1)
  return False


def test_what_the_jar_is_asked(jar, tmp_path):
  # It answers a line to each, and to EVAL one for each study more.
  script = f"""while read -r line; do
    echo "$line" >> {tmp_path}/seen; echo 0.25
    case "$line" in EVAL*) echo 0.5; echo 0.75;; esac
  done"""
  _fake_java(tmp_path, script)
  with meteor.MeteorJava() as score:
    assert score(['a b', ''], ['c\nd\r\ne', 'é|||']) == 0.75
    assert score(['a b', ''], ['c\nd\r\ne', 'z']) == 0.75
    process = score._process
  seen = (tmp_path / 'seen').read_text(encoding='utf-8')
  assert seen.splitlines() == [
    'SCORE ||| a b ||| c d  e',
    'SCORE |||  ||| é| | |',
    'EVAL ||| 0.25 ||| 0.25',
    # A pair that was counted is not asked for again.
    'SCORE |||  ||| z',
    'EVAL ||| 0.25 ||| 0.25',
  ]
  assert process.poll() is not None


VARIANTS = (
  'effusion effusions Effusion clear cleared clearing the the . lung lungs '
  'opacity opacities normal normally enlarged enlargement'
)


class _NoWordNet:
  """Stands for WordNet in NLTK's code: it knows no synonym."""

  def synsets(self, word):
    return []


def _variations(studies, seed):
  """Pairs of texts with shared words, shared stems and repetitions."""
  rng = random.Random(seed)
  words = VARIANTS.split()
  for _ in range(studies):
    yield tuple(
      ' '.join(rng.choices(words, k=rng.randint(0, 25))) for _ in range(2)
    )


def test_meteor_nltk_equals_nltk():
  pairs = [
    *_variations(300, seed=0),
    *zip(REFERENCES, HYPOTHESES, strict=True),
    ('', ''),
  ]
  expected = [
    single_meteor_score(r.split(), h.split(), wordnet=_NoWordNet())
    for r, h in pairs
  ]
  scores = meteor.meteor_nltk_per_study(*zip(*pairs, strict=True))
  assert scores == pytest.approx(expected, abs=1e-12)
  assert scores.max() > 0.5 and scores.min() == 0


def test_meteor_nltk_is_fast():
  pairs = list(_variations(2000, seed=1))
  begin = time.process_time()
  meteor.meteor_nltk_per_study(*zip(*pairs, strict=True))
  assert time.process_time() - begin < 5
