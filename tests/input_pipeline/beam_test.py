"""What Apache Beam prepares is what one process prepares."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from input_pipeline import beam, prepare
from input_pipeline.errors import UserError
from input_pipeline.store import beam_shards, shards
from input_pipeline.tensorflow_cpu import tf, tfds
from tests.input_pipeline import tfds_builders_test as builders
from tests.made import small_layouts
from tests.made.r2gen_folder import write_r2gen
from tests.made.small_layouts import many

pytestmark = pytest.mark.beam
ROOT = pathlib.Path(__file__).parents[2]
SIZES = ('--stored-size', '24', '--image-size', '16')
HERE = '--runner=DirectRunner'
TWO = f'{HERE} --direct_num_workers=2 --direct_running_mode=multi_processing'

# What Flink and Spark are spoken to by, with a server of Beam's own.
PORTABLE = (
  '--runner=PortableRunner --job_endpoint=embed --environment_type=LOOPBACK'
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """Seven shards of Open-i's layout, with a film that is none."""
  monkeypatch.setattr(shards, 'SHARD_STUDIES', 7)
  small_layouts.write_openi(tmp_path / 'openi', many(40), unpacked=True)
  film = tmp_path / 'openi' / 'png' / 'CXR107_IM-0007-1001.png'
  film.write_bytes(b'no film')
  return tmp_path / 'openi'


def run(folder, out, *flags):
  out = folder.parent / out
  prepare.main(['--source', str(folder), '--out', str(out), *SIZES, *flags])
  return out


def content(out):
  """{name: bytes} of a prepared folder, whose name is the same in all."""
  return {
    path.name: path.read_bytes().replace(str(out).encode(), b'OUT')
    for path in out.iterdir()
    if path.is_file() and path.name != '.lock'
  }


def assert_same_files(out, other):
  ours, theirs = content(out), content(other)
  assert sorted(ours) == sorted(theirs)
  assert len([name for name in ours if '.array_record-' in name]) >= 7
  assert not [name for name in ours if ours[name] != theirs[name]]
  assert not [p for p in out.iterdir() if p.is_dir()]


@pytest.mark.parametrize('options', [HERE, TWO, PORTABLE])
def test_prepared_files_are_those_of_one_process(folder, options):
  one = run(folder, 'one')
  many_workers = run(folder, 'beam', f'--beam={options}')
  assert_same_files(many_workers, one)
  info = json.loads((one / 'prepared.json').read_text())
  assert 'CXR107_IM-0007' in ' '.join(info['problems'])


def test_what_is_there_already_is_not_written_again(folder, monkeypatch):
  write_line, written = beam_shards.write_line, []

  def killed_at_the_third(line, config):
    if len(written) == 2:
      raise KeyboardInterrupt
    written.append(json.loads(line)['path'])
    write_line(line, config)

  def map_here(path, function, flags, **arguments):
    del function, flags
    for line in path.read_text().splitlines():
      killed_at_the_third(line, **arguments)

  with monkeypatch.context() as patch:
    patch.setattr(beam, 'map_lines', map_here)
    with pytest.raises(KeyboardInterrupt):
      run(folder, 'beam', f'--beam={HERE}')
  changed = {path: os.stat(path).st_mtime_ns for path in written}
  out = run(folder, 'beam', f'--beam={HERE}')
  assert changed == {path: os.stat(path).st_mtime_ns for path in written}
  assert_same_files(out, run(folder, 'one'))


def test_a_killed_command_goes_on(tmp_path):
  counts = {'train': 6, 'val': 3, 'test': 3}
  write_r2gen(tmp_path / 'data', counts)
  out = tmp_path / 'prepared'
  code = (
    'import sys, time\n'
    'from input_pipeline import prepare\n'
    'from input_pipeline.store import shards\n'
    'shards.SHARD_STUDIES = 1\n'
    'prepare.main(sys.argv[1:])\n'
  )
  command = [sys.executable, '-c', code, '--source', str(tmp_path / 'data')]
  command += ['--out', str(out), *SIZES, f'--beam={TWO}']
  first = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
  end = time.monotonic() + 120
  while len(list(out.glob('progress/*.json'))) < 2:
    assert first.poll() is None and time.monotonic() < end
    time.sleep(0.002)
  first.send_signal(signal.SIGKILL)
  first.wait()
  done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
  assert b'kept          12  studies' in done.stdout
  assert (out / 'prepared.json').exists()


def test_films_of_another_host_are_no_bad_films(folder, monkeypatch):
  """They are not there: a worker fails, and no study is left out."""
  write_line = beam_shards.write_line

  def elsewhere(line, config):
    write_line(line.replace('/png/', '/mounted/'), config)

  monkeypatch.setattr(beam_shards, 'write_line', elsewhere)
  with pytest.raises(SystemExit, match=r'error: .* does not see .*/mounted/'):
    run(folder, 'beam', f'--beam={HERE}')
  monkeypatch.setattr(beam_shards, 'write_line', lambda line, config: None)
  with pytest.raises(SystemExit, match='7 of 7 shards are not in') as caught:
    run(folder, 'beam', f'--beam={HERE}')
  assert '\n' not in caught.value.code


def test_errors_are_one_sentence(folder):
  for options, message in (
    ("--runner='", 'is no command line: No closing quotation'),
    ('--runner=Nobody', 'Unexpected pipeline runner: Nobody. Valid values'),
  ):
    with pytest.raises(SystemExit, match=f'^error: .*{message}'):
      run(folder, 'beam', f'--beam={options}')


def in_beam(options=HERE):
  pipeline_options = beam.load().options.pipeline_options
  return pipeline_options.PipelineOptions(options.split())


def records(builder):
  """{split: its examples, in order}; the order of their fields is TFDS's."""
  raw = tfds.decode.DeserializeMethod.RAW_BYTES
  return {
    split: [
      tf.train.Example.FromString(record)
      for record in builder.as_data_source(split, deserialize_method=raw)
    ]
    for split in builder.info.splits
  }


@pytest.fixture(params=['iu_xray', 'mimic_cxr'])
def source(request, tmp_path):
  """Name of a builder, and a function that prepares its data."""
  folder = tmp_path / 'source'
  write = {
    'iu_xray': builders.write_archives,
    'mimic_cxr': builders.write_mimic,
  }
  write[request.param](folder)

  def make(out, **config):
    builder = tfds.builder(
      request.param, data_dir=tmp_path / out, file_format='array_record'
    )
    config = tfds.download.DownloadConfig(manual_dir=folder, **config)
    builder.download_and_prepare(download_config=config)
    return builder

  return make


def test_tfds_has_the_files_and_records_of_one_process(source):
  one, other = source('one'), source('beam', beam_options=in_beam())
  assert records(other) == records(one)
  ours, theirs = (
    sorted(path.name for path in pathlib.Path(builder.data_dir).iterdir())
    for builder in (other, one)
  )
  assert ours == theirs


@pytest.mark.parametrize('source', ['iu_xray'], indirect=True)
def test_tfds_has_the_same_order_over_several_shards(source):
  """It cuts them by number in one process, and in Beam by hash."""
  one = source('one', num_shards=3)
  other = source('beam', num_shards=3, beam_options=in_beam(TWO))
  assert other.info.splits['train'].num_shards > 1
  assert records(other) == records(one)


def test_tfds_takes_a_runner_alone(source):
  want = records(source('one'))
  assert records(source('beam', beam_runner='DirectRunner')) == want


def test_tfds_says_what_to_install(source, monkeypatch):
  monkeypatch.setitem(sys.modules, 'apache_beam', None)
  with pytest.raises(UserError, match='Apache Beam is not installed'):
    source('beam', beam_runner='DirectRunner')
