"""A config that is not there, as a person meets it."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cmn_jax import serve
from cmn_jax.command_line import parse

ROOT = Path(__file__).parent.parent
OURS = (
  'configs has iu_xray.py, iu_xray_cpu.py, mimic_cxr.py, phantom.py: name one '
  'of them'
)


@pytest.mark.parametrize(
  'flags, name',
  [
    (['--config=configs/nope.py'], 'configs/nope.py'),
    (['--config', 'configs/phantom:cmn'], 'configs/phantom'),
    (['-config=configs'], 'configs'),
  ],
)
def test_the_configs_beside_it_are_named(monkeypatch, flags, name):
  monkeypatch.chdir(ROOT)
  with pytest.raises(SystemExit) as told:
    parse(['main.py', *flags, '--workdir=x'])
  said = f'error: --config {name!r} is no file; {OURS}, or a file of your own'
  assert told.value.code == said


def test_ours_are_named_where_there_are_none(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'other.py').write_text('x = 1')
  for name in ('configs/nope.py', 'nope.py', ''):
    with pytest.raises(SystemExit) as told:
      parse(['main.py', f'--config={name}'])
    assert told.value.code.startswith(f'error: --config {name!r} is no file; ')
    assert f'{ROOT}/{OURS}' in told.value.code


def test_configs_of_ones_own_are_named(tmp_path):
  (tmp_path / 'mine.py').write_text('def get_config():\n  return None\n')
  with pytest.raises(SystemExit, match=f'{tmp_path} has mine.py: name one'):
    parse(['main.py', f'--config={tmp_path}/mime.py'])


def test_help_says_how_a_config_is_named():
  process = subprocess.run(
    [sys.executable, 'main.py', '--help'],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert process.returncode == 0
  assert '--config=FILE[:VARIANT]' in process.stdout
  assert '--workdir: Folder of this run.' in process.stdout


def test_a_port_that_is_taken_is_told_before_the_model_is_read():
  with socket.create_server(('127.0.0.1', 0)) as other:
    port = other.getsockname()[1]
    with pytest.raises(SystemExit) as told:
      serve.main(['--checkpoint=nowhere', f'--port={port}'])
  assert told.value.code == (
    f'error: port {port} is taken: name another, --port'
  )


@pytest.mark.parametrize(
  'command',
  [
    ['main.py', '--workdir=run'],
    ['-m', 'benchmarks.tpu', '--topology=v5e:2x4'],
  ],
)
def test_commands_end_in_that_one_sentence(command):
  process = subprocess.run(
    [sys.executable, *command, '--config=configs/nope.py'],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert process.returncode != 0
  assert process.stdout == ''
  (line,) = process.stderr.strip().splitlines()
  assert line.startswith("error: --config 'configs/nope.py' is no file; ")
  assert OURS in line
  assert not (ROOT / 'run').exists()
