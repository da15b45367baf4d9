"""The page of one's own films: what it takes, says and keeps, over HTTP."""

import concurrent.futures
import os
import re
import shlex
import shutil
import struct
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cmn_jax import serve
from cmn_jax.reporter import Reporter
from tests.made.dicom_file import RAMP_HxW, write_dicom

gradio_client = pytest.importorskip('gradio_client')
httpx = pytest.importorskip('httpx')
processing_utils = pytest.importorskip('gradio.processing_utils')

pytestmark = pytest.mark.page

DOC = Path(__file__).parents[2] / 'docs' / 'own_films.md'


@pytest.fixture(scope='module')
def address(runs):
  """Of a page that is open; uploaded films are removed after a second."""
  patch = pytest.MonkeyPatch()
  patch.setattr(serve, '_KEPT', 1)
  patch.setattr(serve, '_LOOK', 1)
  writer = Reporter.load(runs.report, runs.root / 'classifier')
  with serve.opened(writer, '127.0.0.1', None) as address:
    yield address
  patch.undo()


@pytest.fixture(scope='module')
def client(address):
  return gradio_client.Client(address, verbose=False)


@pytest.fixture
def study(runs):
  """Two films of a study."""
  folder = next((runs.root / 'data' / 'images').iterdir())
  return folder / '0.png', folder / '1.png'


def _ask(client, *films, **more):
  files = [gradio_client.handle_file(str(film)) for film in films]
  files += [None] * (2 - len(files))
  return client.predict(*files, **more, api_name='/report')


def _post(address, film, **more):
  """A request as a stranger may send it; the events that come back."""
  call = f'{address}gradio_api/call/report'
  sent = {'data': [film, None, 'as trained', 3, 1.0], **more}
  answer = httpx.post(call, json=sent)
  if answer.status_code != 200:
    return answer.text
  return httpx.get(f'{call}/{answer.json()["event_id"]}', timeout=60).text


def test_a_report_as_the_reporter_writes_it(client, study, runs):
  page, answer = _ask(client, *study)
  said = Reporter.load(runs.report, runs.root / 'classifier').report(study)
  assert answer['report'] == said.text
  assert answer['images'] == ['0.png', '1.png']
  assert answer['clinical_use'] is False and answer['unlike_training'] is False
  classes = answer['classifier']['classes']
  assert [c['name'] for c in classes] == [c.name for c in said.classes]
  np.testing.assert_allclose(
    [c['probability'] for c in classes],
    [c.probability for c in said.classes],
    atol=1e-5,
  )
  assert 'sandbox="allow-scripts"' in page and 'Probabilities: ' in page


@pytest.mark.parametrize(
  'choice, beams',
  [({'method': 'greedy'}, 1), ({'method': 'beam', 'beam_size': 2}, 2)],
)
def test_words_are_chosen_as_one_likes(client, study, runs, choice, beams):
  _, answer = _ask(client, study[0], **choice)
  assert (
    answer['report'] == Reporter.load(runs.report).report(study[:1], beams).text
  )


def test_drawn_words_are_other_words(client, study):
  said = {
    _ask(client, study[0], method='sample', temperature=t)[1]['report']
    for t in (0.5, 1.3)
  }
  assert len(said) == 2


def test_eight_visitors_share_calls_and_each_has_their_own(
  client, runs, tmp_path, monkeypatch
):
  from cmn_jax import desk

  sizes, write = [], desk.write_reports
  monkeypatch.setattr(
    desk,
    'write_reports',
    lambda writer, studies, *a, **k: (
      sizes.append(len(studies)) or write(writer, studies, *a, **k)
    ),
  )
  films = sorted((runs.root / 'data' / 'images').glob('*/0.png'))[:7]
  films.append(tmp_path / 'bad.png')
  films[-1].write_bytes(b'no film')
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    answers = list(pool.map(lambda film: _ask(client, film)[1], films))
  reporter = Reporter.load(runs.report)
  for film, answer in zip(films[:-1], answers, strict=False):
    assert answer['report'] == reporter.report([film]).text
  assert 'neither PNG nor JPEG nor DICOM' in answers[-1]['error']
  assert sum(sizes) == 8 and max(sizes) > 1


def _make_bad(folder, what):
  path = folder / 'film.png'
  if what == 'zip':
    with zipfile.ZipFile(path, 'w') as file:
      file.writestr('film.txt', 'film')
  elif what == 'wide':
    Image.new('1', (8, 8)).save(path)
    png = path.read_bytes()
    head = b'IHDR' + struct.pack('>2I', 60_000, 60_000) + png[24:29]
    head += struct.pack('>I', zlib.crc32(head))
    path.write_bytes(png[:12] + head + png[33:])
  else:
    path.write_bytes({'empty': b'', 'html': b'<script>alert(1)</script>'}[what])
  return path


@pytest.mark.parametrize(
  'what, says',
  [
    ('empty', 'film.png: has 0 bytes'),
    ('zip', 'film.png: is neither PNG nor JPEG nor DICOM'),
    ('html', 'film.png: is neither PNG nor JPEG nor DICOM'),
    ('wide', 'film.png: .*too large|film.png: its header says 60000'),
  ],
)
def test_what_is_no_film_is_a_sentence(client, tmp_path, what, says):
  page, answer = _ask(client, _make_bad(tmp_path, what))
  assert re.match(says, answer['error']), answer
  assert 'role="alert"' in page and '/films/' not in page + answer['error']


def test_films_that_do_not_belong_together(client, tmp_path):
  films = [tmp_path / f'{n}.dcm' for n in (1, 2)]
  for patient, film in enumerate(films):
    write_dicom(film, RAMP_HxW, PatientID=str(patient))
  assert 'of 2 patients' in _ask(client, *films)[1]['error']
  assert 'no film was given' in _ask(client)[1]['error']


def test_a_film_of_another_kind_is_told(client, study, tmp_path):
  inverted = tmp_path / 'inverted.png'
  Image.fromarray(255 - np.asarray(Image.open(study[0]))).save(inverted)
  page, answer = _ask(client, inverted)
  assert answer['unlike_training'] is True
  assert 'inverted' in page.replace('inverted.png', '')


def test_sixty_megabytes_are_refused(address):
  films = {'files': ('film.png', bytes(60_000_000))}
  answer = httpx.post(f'{address}gradio_api/upload', files=films)
  assert answer.status_code == 413
  assert 'maximum allowed size' in answer.text


def test_what_was_uploaded_is_opened_by_its_path(address, study):
  """So that the refusals below are of the path, not of the request."""
  films = {'files': ('film.png', study[0].read_bytes())}
  (path,) = httpx.post(f'{address}gradio_api/upload', files=films).json()
  film = {'path': path, 'meta': {'_type': 'gradio.FileData'}}
  said = _post(address, film)
  assert 'event: complete' in said and 'iframe' in said


SECRET = '/etc/hostname'


@pytest.mark.parametrize(
  'path',
  [
    SECRET,
    '{films}/../../../../..' + SECRET,
    'file://' + SECRET,
    'http://127.0.0.1:9/film.png',
    'HTTP://127.0.0.1:9/film.png',
    str(DOC),
    'docs/own_films.md',
  ],
)
def test_no_path_of_a_visitor_is_opened(address, path, monkeypatch):
  fetched = []
  for name in ('async_ssrf_protected_download', 'ssrf_protected_download'):
    monkeypatch.setattr(
      processing_utils, name, lambda *a, **k: fetched.append(a)
    )
  path = path.format(films=os.environ['GRADIO_TEMP_DIR'])
  film = {'path': path, 'meta': {'_type': 'gradio.FileData'}}
  for sent in (film, {**film, 'url': path}, {'path': path}, path, [film]):
    said = _post(address, sent)
    assert 'event: complete' not in said and not fetched
  answer = httpx.get(f'{address}gradio_api/file={path}')
  assert answer.status_code in (403, 404)


@pytest.mark.parametrize(
  'choice',
  [
    ['as trained', 4000, 1.0],
    ['sample', 3, 0.1234],
    ['sample', 3, -1],
    ['other', 3, 1.0],
  ],
)
def test_programs_are_few_whoever_asks(address, choice):
  said = _post(address, None, data=[None, None, *choice])
  assert 'event: error' in said


def test_nothing_is_kept(client, study):
  folder = Path(os.environ['GRADIO_TEMP_DIR'])
  _ask(client, *study)
  assert list(folder.rglob('0.png'))
  ends = time.monotonic() + 30
  while list(folder.rglob('0.png')):
    assert time.monotonic() < ends
    time.sleep(0.2)


def test_the_folder_goes_with_the_page(runs):
  with serve.opened(Reporter.load(runs.root / 'consensus'), '127.0.0.1', None):
    folder = Path(os.environ['GRADIO_TEMP_DIR']).parent
    assert folder.exists()
  assert not folder.exists()


def test_the_clients_program_runs_as_written(
  address, study, runs, tmp_path, capsys
):
  section = DOC.read_text().split('## A page\n')[1].split('\n## ')[0]
  (program,) = re.findall(r'^```python\n(.*?)^```', section, re.M | re.S)
  (command,) = re.findall(r'^```sh\n(.*?)^```', section, re.M | re.S)
  assert shlex.split(command)[:3] == ['python', '-m', 'cmn_jax.serve']
  for film in study:
    shutil.copy(film, tmp_path)
  program = program.replace('http://127.0.0.1:7860', address)
  exec(program.replace('films/a', str(tmp_path)), {})
  said = Reporter.load(runs.report).report(study).text
  assert said in capsys.readouterr().out
