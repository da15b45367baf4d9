"""What commands say of a mistake: one sentence of the user's, ours whole."""

import json
import shutil
from types import SimpleNamespace

import pytest
from PIL import Image

import cmn_jax.train
import main as program
from cmn_jax import compilation_cache, loaded, opening, predict, reporter
from input_pipeline.errors import UserError


@pytest.fixture
def run_main(monkeypatch):
  """error -> main.py, whose training raises it."""
  for flag, value in (
    ('CONFIG', None),
    ('_WORKDIR', 'x'),
    ('_MODE', 'train'),
    ('_DISTRIBUTED', False),
    ('_COORDINATOR', None),
    ('_PROCESSES', None),
    ('_PROCESS', None),
    ('_DETERMINISTIC', False),
  ):
    monkeypatch.setattr(program, flag, SimpleNamespace(value=value))
  monkeypatch.setattr(opening, 'runs_of', lambda *_: [(None, 'x')])
  monkeypatch.setattr(compilation_cache, 'enable', lambda: None)

  def run(error):
    monkeypatch.setattr(cmn_jax.train, 'train', lambda *_: _raise(error))
    program.main(None)

  return run


@pytest.fixture
def run_predict(monkeypatch, tmp_path):
  """error -> predict, whose report model raises it."""
  film = tmp_path / 'x.png'
  Image.new('L', (8, 8)).save(film)
  monkeypatch.setattr(compilation_cache, 'enable', lambda: None)
  report = SimpleNamespace(task='report')
  monkeypatch.setattr(loaded.Loaded, 'load', lambda folder: report)

  def run(error):
    monkeypatch.setattr(reporter.Reporter, 'load', lambda *_: _raise(error))
    predict.main(['--checkpoint=x', f'--image={film}'])

  return run


def _raise(error):
  raise error


@pytest.mark.parametrize('command', ['run_main', 'run_predict'])
def test_our_own_faults_show_a_traceback(request, command):
  run = request.getfixturevalue(command)
  for error in (ValueError('shapes'), KeyError('model'), TypeError('none')):
    with pytest.raises(type(error)) as caught:
      run(error)
    assert caught.value is error


@pytest.mark.parametrize('command', ['run_main', 'run_predict'])
def test_what_a_person_can_mend_is_one_line(request, command):
  with pytest.raises(SystemExit) as caught:
    request.getfixturevalue(command)(UserError('data.dir is 3: name a folder'))
  assert caught.value.code == 'error: data.dir is 3: name a folder'


def test_a_report_of_ones_own_films(runs, tmp_path, capsys):
  film = next((runs.root / 'data' / 'images').rglob('*.png'))
  flags = [f'--checkpoint={runs.report}', f'--image={film}']
  more = [
    f'--image={shutil.copy(film, tmp_path / name)}'
    for name in ('a.png', 'b.png')
  ]
  predict.main([*flags, '--json'])
  said = json.loads(capsys.readouterr().out)
  assert said['report'] and said['images'] == [str(film)]
  assert said['clinical_use'] is False and said['classifier'] is None
  predict.main(flags)
  assert said['report'].split()[0] in capsys.readouterr().out
  for wrong, says in (
    ([flags[0], f'--image={tmp_path}/none.png'], 'none.png'),
    ([*flags, *more], '3 images given; this model takes 1 to 2'),
    ([f'--checkpoint={tmp_path}', flags[1]], 'no checkpoint in'),
  ):
    with pytest.raises(SystemExit, match=says) as caught:
      predict.main(wrong)
    assert '\n' not in caught.value.code


def test_one_film_is_no_second_view(capsys):
  with pytest.raises(SystemExit):
    predict.main(['--checkpoint=x', '--image=a.png', '--image=a.png'])
  assert '--image a.png is there twice' in capsys.readouterr().err
