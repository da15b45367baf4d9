"""EKAGen's captioner: there and back, with its pickles, and what is none."""

import pickle

import numpy as np
import pytest

from cmn_jax.convert import main
from cmn_jax.interop.ekagen import captioner_variables, to_captioner
from cmn_jax.loaded import Loaded
from cmn_jax.models.ekagen import Captioner
from cmn_jax.models.ekagen_config import shape_of
from cmn_jax.reporter import Reporter
from cmn_jax.training.checkpoints import make_meta, save_model
from configs import iu_xray
from input_pipeline.ekagen_words import EkagenTokenizer
from input_pipeline.findings import CHEXPERT_14
from tests.made.r2gen_folder import write_r2gen

pytestmark = [pytest.mark.torch]
torch = pytest.importorskip('torch')
FIELDS = {
  'data.image_size': 32,
  'data.max_length': 12,
  'data.min_count': 1,
  'model.encoder': 'resnet18',
  'model.encoder_width': 4,
  'model.width': 16,
  'model.heads': 4,
  'model.hidden': 12,
  'model.layers': 2,
  'ekagen.word_hidden': 8,
}


def _drawn(abstract, rng):
  if isinstance(abstract, dict):
    return {k: _drawn(v, rng) for k, v in abstract.items()}
  return rng.random(abstract.shape).astype(np.float32)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A folder with model.pth, knowledge.pkl, annotation.json and bot/."""
  folder, rng = tmp_path_factory.mktemp('theirs'), np.random.default_rng(0)
  annotation = write_r2gen(folder)
  config = iu_xray.get_config('ekagen_rn101')
  config.update_from_flattened_dict(FIELDS)
  reports = [entry['report'] for entry in annotation['train']]
  words = EkagenTokenizer.fit(reports, 1, 'iu_xray')
  shape = shape_of(config, words.vocabulary, knowledge=True)
  captioner = _drawn(captioner_variables(Captioner(shape)), rng)
  arrays = to_captioner(shape, captioner)
  tensors = {k: torch.from_numpy(np.array(v)) for k, v in arrays.items()}
  torch.save({'model': tensors, 'epoch': 7}, folder / 'model.pth')
  table = {
    tuple(int(x) for x in key): torch.from_numpy(
      rng.random((shape.max_length, shape.width)).astype(np.float32)
    )
    for key in np.eye(14)[:5]
  }
  (folder / 'knowledge.pkl').write_bytes(pickle.dumps(table))
  _write_bot(folder / 'bot', rng)
  return folder


def _write_bot(out, rng):
  config = iu_xray.get_config('ekagen_diagnosis')
  config.update_from_flattened_dict(
    {'data.image_size': 32, 'model.encoder': 'resnet18'}
  )
  config.model.encoder_width = 4
  from cmn_jax.models.film_classifier import SingleFilmClassifier
  from cmn_jax.training.state import study_batch, variable_shapes

  network = SingleFilmClassifier('resnet18', 4, 14)
  shapes = variable_shapes(network, study_batch(1, 32, 8))
  about = {
    'dataset': 'iu_xray',
    'label_source': None,
    'encoder_start': 'drawn',
    'diagnosis': {
      'classes': list(CHEXPERT_14),
      'thresholds': [0.5] * 14,
      'shift_last_stage': False,
    },
  }
  variables = {k: _drawn(dict(v), rng) for k, v in shapes.items()}
  save_model(out, variables, make_meta(config, [], 0.0, about))


def _convert(folder, out, *more):
  main(
    [
      'ekagen',
      str(folder / 'model.pth'),
      '--annotation',
      str(folder / 'annotation.json'),
      '--out',
      str(out),
      *(f'--config.{k}={v}' for k, v in FIELDS.items()),
      *more,
    ]
  )


def test_the_way_back_is_bit_exact_and_it_writes(folder, tmp_path):
  ours, back = tmp_path / 'ours', tmp_path / 'back.pth'
  knowledge = ('--knowledge', str(folder / 'knowledge.pkl'))
  _convert(folder, ours, *knowledge, '--diagnosis', str(folder / 'bot'))
  main(['to-ekagen', str(ours), '--out', str(back)])
  content, again = (
    torch.load(path, weights_only=True) for path in (folder / 'model.pth', back)
  )
  assert again['epoch'] == 7
  assert again['model'].keys() == content['model'].keys()
  for name, tensor in content['model'].items():
    assert torch.equal(again['model'][name], tensor), name
  report = Reporter.load(ours).report([folder / 'images' / 'test-0' / '0.png'])
  assert {c.name for c in report.classes} == set(CHEXPERT_14)
  meta = Loaded.load(ours).meta
  assert meta['parts']['knowledge']['meta']['form'] == 'combinations'


def test_without_a_base_knowledge_must_be_given(folder, tmp_path, capsys):
  _convert(folder, tmp_path / 'ours')
  reporter = Reporter.load(tmp_path / 'ours')
  films = np.zeros((1, 1, 32, 32), np.uint8)
  with pytest.raises(Exception, match='convert it with --knowledge'):
    reporter.generate(films)
  given = np.zeros((1, 11, 16), np.float32)
  assert reporter.generate(films, knowledge=given).shape == (1, 11)


class _Evil:
  def __reduce__(self):
    return print, ('executed',)


def test_what_does_not_fit_is_one_sentence(folder, tmp_path, capsys):
  evil = tmp_path / 'evil.pkl'
  evil.write_bytes(pickle.dumps({(0,) * 14: _Evil()}))
  for more, says in (
    (('--knowledge', str(folder / 'knowledge.pkl')), '--diagnosis'),
    (
      ('--knowledge', str(evil), '--diagnosis', str(folder / 'bot')),
      'run code',
    ),
    (('--vocabulary', str(folder / 'knowledge.pkl')), 'no vocabulary'),
    (('--config.data.min_count=9',), 'give the vocabulary'),
  ):
    with pytest.raises(SystemExit, match=says):
      _convert(folder, tmp_path / 'ours', *more)
    assert not (tmp_path / 'ours').exists()
  assert 'executed' not in capsys.readouterr().out
  torch.save({'state_dict': {}}, tmp_path / 'other.pth')
  with pytest.raises(SystemExit, match='has no model'):
    main(
      [
        'ekagen',
        str(tmp_path / 'other.pth'),
        '--annotation',
        str(folder / 'annotation.json'),
        '--out',
        str(tmp_path / 'ours'),
      ]
    )
