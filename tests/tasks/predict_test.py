"""What commands say of a mistake: one sentence of the user's, ours whole."""

import json
import os
import shutil
from types import SimpleNamespace

import pytest
from PIL import Image

import cmn_jax.train
import main as program
from cmn_jax import compilation_cache, loaded, opening, predict, reporter
from input_pipeline.errors import UserError
from tests.made.dicom_file import RAMP_HxW, write_dicom
from tests.made.fake_writer import FakeWriter


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


@pytest.fixture
def run_fake(monkeypatch, tmp_path, capsys):
  """View rule, {name: tags} -> the films that a report names, and warnings."""

  def run(rule, films):
    writer = FakeWriter(rule)
    monkeypatch.setattr(loaded.Loaded, 'load', lambda _: writer.loaded)
    monkeypatch.setattr(reporter.Reporter, 'load', lambda *_: writer)
    monkeypatch.chdir(tmp_path)
    for name, tags in films.items():
      write_dicom(tmp_path / name, RAMP_HxW, **tags)
    images = [f'--image={name}' for name in films]
    predict.main(['--checkpoint=x', '--json', *images])
    said = capsys.readouterr()
    return json.loads(said.out)['images'], said.err

  return run


def test_films_are_put_in_the_models_order(run_fake):
  lateral, frontal = {'ViewPosition': 'LL'}, {'ViewPosition': 'PA'}
  images, told = run_fake('first', {'a.dcm': lateral, 'b.dcm': frontal})
  assert images == ['b.dcm', 'a.dcm']
  assert 'the films are taken as b.dcm, a.dcm' in told
  images, told = run_fake('first', {'a.dcm': frontal, 'b.dcm': lateral})
  assert images == ['a.dcm', 'b.dcm'] and not told
  images, told = run_fake('frontal_lateral', {'a.dcm': lateral})
  assert images == ['a.dcm'] and not told
  with pytest.raises(SystemExit, match='takes frontal ones alone'):
    run_fake('frontal', {'a.dcm': lateral})


def test_films_of_two_patients_are_no_study(run_fake):
  films = {f'{name}.dcm': {'PatientID': name} for name in 'ab'}
  with pytest.raises(SystemExit, match='its 2 films are of 2 patients') as told:
    run_fake('first', films)
  assert '\n' not in told.value.code
  with pytest.raises(UserError, match=r'a\.dcm, b\.dcm: its 2 films are of 2'):
    FakeWriter().report(list(films))


def test_a_film_whose_name_is_no_utf8(run_fake):
  images, _ = run_fake('first', {os.fsdecode(b'M\xfc.dcm'): {}})
  assert images == ['M\\udcfc.dcm']


def test_one_film_is_no_second_view(capsys):
  with pytest.raises(SystemExit):
    predict.main(['--checkpoint=x', '--image=a.png', '--image=a.png'])
  assert '--image a.png is there twice' in capsys.readouterr().err
