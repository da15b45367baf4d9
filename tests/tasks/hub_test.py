"""A checkpoint as a folder of plain files, there and back."""

import json
import shutil

import huggingface_hub
import jax
import numpy as np
import pytest

from cmn_jax import export
from cmn_jax.interop.encoders import load_encoder
from cmn_jax.loaded import Loaded
from cmn_jax.training.checkpoints import CheckpointError
from tests.made.runs import edit_meta


def _export(workdir, out, *flags):
  export.main([str(workdir), '--to=hub', f'--out={out}', *flags])
  return out


@pytest.mark.parametrize('name', ['report', 'classifier', 'consensus'])
def test_there_and_back_to_the_bit(runs, tmp_path, name):
  out = _export(runs.root / name, tmp_path / 'hub')
  ours, theirs = Loaded.load(runs.root / name), Loaded.load(out)
  assert theirs.meta == ours.meta
  jax.tree.map(np.testing.assert_array_equal, theirs.variables, ours.variables)
  assert theirs.fingerprint == ours.fingerprint
  card = (out / 'README.md').read_text()
  assert 'Not for clinical use' in card and 'drawn by a program' in card
  classifier = name == 'classifier'
  assert ('| constant report |' in card) != classifier
  assert ('| always No Finding |' in card) == classifier
  assert ('The constant report is' in card) != classifier
  assert f'| this model | {ours.meta["config"]["name"]}' not in card
  assert json.loads((out / 'tokenizer.json').read_text())
  assert len({path.stat().st_mode for path in out.iterdir()}) == 1


def test_an_encoder_may_start_from_it(runs, tmp_path):
  c = runs.config().model
  out = _export(runs.report, tmp_path / 'hub')
  encoders = [
    load_encoder(str(source), c.encoder, c.encoder_width)
    for source in (out, runs.report)
  ]
  jax.tree.map(np.testing.assert_array_equal, *encoders)


def test_by_name(runs, tmp_path, monkeypatch):
  out = _export(runs.report, tmp_path / 'hub')
  asked = []

  def download(name, revision, allow_patterns):
    asked.append((name, revision))
    if name == 'no/network':
      raise OSError('offline')
    return str(out)

  monkeypatch.setattr(huggingface_hub, 'snapshot_download', download)
  assert Loaded.load('hf:an-org/cmn').origin == str(out)
  Loaded.load('hf:an-org/cmn@v1.0')
  assert asked == [('an-org/cmn', None), ('an-org/cmn', 'v1.0')]
  for name, says in (
    ('hf:no/network', r'could not be downloaded \(OSError\)'),
    ('hf:cmn', 'is no model on the hub'),
  ):
    with pytest.raises(CheckpointError, match=says):
      Loaded.load(name)


def test_pushing(runs, tmp_path, monkeypatch, capsys):
  calls = []

  class Api:
    def create_repo(self, name, **how):
      calls.append((name, how))

    def upload_folder(self, **how):
      calls.append(sorted(p.name for p in how['folder_path'].iterdir()))

  monkeypatch.setattr(huggingface_hub, 'HfApi', Api)
  _export(runs.report, tmp_path / 'hub', '--push=an-org/cmn')
  assert 'pushed: --checkpoint hf:an-org/cmn' in capsys.readouterr().out
  assert calls == [
    ('an-org/cmn', {'private': True, 'exist_ok': True}),
    ['README.md', 'config.json', 'model.safetensors', 'tokenizer.json'],
  ]
  real = shutil.copytree(runs.report, tmp_path / 'real')
  edit_meta(real, lambda meta: {**meta, 'dataset': 'iu_xray'})
  with pytest.raises(SystemExit, match='weights are not ours to give away'):
    _export(real, tmp_path / 'iu', '--push=an-org/cmn')
  assert len(calls) == 2 and not (tmp_path / 'iu').exists()
  _export(real, tmp_path / 'iu')
  assert 'not ours to give away' in (tmp_path / 'iu/README.md').read_text()


def test_what_cannot_be_read_or_written(runs, tmp_path):
  out = _export(runs.report, tmp_path / 'hub')
  with pytest.raises(SystemExit, match='exists and is not empty'):
    _export(runs.report, out)
  config, weights = out / 'config.json', out / 'model.safetensors'
  whole = config.read_text(), weights.read_bytes()
  config.write_text(json.dumps({**json.loads(whole[0]), 'format': 99}))
  with pytest.raises(CheckpointError, match='is of format 99'):
    Loaded.load(out)
  config.write_text('{}')
  with pytest.raises(CheckpointError, match='names no library cmn_jax'):
    Loaded.load(out)
  config.write_text(whole[0])
  weights.write_bytes(whole[1][:-100])
  with pytest.raises(CheckpointError, match='cannot read the checkpoint'):
    Loaded.load(out)
  with pytest.raises(SystemExit, match='no checkpoint in'):
    _export(tmp_path / 'none', tmp_path / 'x')
