"""EKAGen's classifiers: there and back, and what is no such file."""

import numpy as np
import pytest

from cmn_jax.convert import main
from cmn_jax.interop.ekagen_files import THRESHOLDS
from cmn_jax.loaded import Loaded
from cmn_jax.models.film_classifier import FilmClassifier
from cmn_jax.predictor import Predictor
from cmn_jax.tasks.diagnosis import FilmReader
from cmn_jax.training.checkpoints import save_model
from input_pipeline.findings import CHEXPERT_14
from tests.parity import ekagen_draw

pytestmark = [pytest.mark.torch]
torch = pytest.importorskip('torch')


@pytest.fixture(scope='module')
def locator(tmp_path_factory):
  """A folder with locator.pth, and what was converted from it."""
  folder = tmp_path_factory.mktemp('locator')
  drawn = ekagen_draw.draw_classifier(FilmClassifier('resnet34', 64, 14), 1)
  tensors = {k: torch.from_numpy(v) for k, v in drawn.items()}
  for name in [k for k in tensors if k.endswith('.running_mean')]:
    counter = name.replace('running_mean', 'num_batches_tracked')
    tensors[counter] = torch.tensor(34)
  torch.save(tensors, folder / 'locator.pth')
  main(['locator', str(folder / 'locator.pth'), '--out', str(folder / 'ours')])
  return folder


def test_the_way_back_is_bit_exact(locator):
  back = locator / 'back.pth'
  main(['to-locator', str(locator / 'ours'), '--out', str(back)])
  tensors, back = (
    torch.load(path, weights_only=True)
    for path in (locator / 'locator.pth', back)
  )
  assert back.keys() == tensors.keys()
  for name, tensor in tensors.items():
    assert back[name].dtype == tensor.dtype
    assert torch.equal(back[name], tensor), name


def test_it_predicts_by_names_in_our_order(locator, tmp_path):
  from PIL import Image

  film = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
  Image.fromarray(film).save(tmp_path / 'film.png')
  loaded = Loaded.load(locator / 'ours')
  said = Predictor(loaded).describe([tmp_path / 'film.png'])
  assert tuple(said) == CHEXPERT_14
  # Rows of the head in alphabetical order, as in their file.
  tensors = torch.load(locator / 'locator.pth', weights_only=True)
  kernel = loaded.variables['params']['head']['kernel']
  for row, name in enumerate(sorted(CHEXPERT_14)):
    ours = kernel[:, CHEXPERT_14.index(name)]
    np.testing.assert_array_equal(ours, tensors['fc.weight'][row].numpy())
    bound = FilmReader.of(loaded.meta).thresholds_G[CHEXPERT_14.index(name)]
    assert bound == THRESHOLDS[name]


def _refused(*arguments) -> str:
  with pytest.raises(SystemExit) as error:
    main(list(map(str, arguments)))
  message = str(error.value)
  assert message.startswith('error: ') and '\n' not in message
  return message


def test_files_and_folders_of_another_network(locator, tmp_path):
  path = locator / 'locator.pth'
  out = ('--out', tmp_path / 'out')
  assert 'does not fit' in _refused('diagnosisbot', path, *out)
  ours = locator / 'ours'
  message = _refused('to-diagnosisbot', ours, *out)
  assert 'holds resnet34, and their diagnosisbot is swin_t' in message
  loaded = Loaded.load(ours)
  about = loaded.meta['diagnosis']
  about = {**about, 'classes': about['classes'][::-1]}
  save_model(
    tmp_path / 'other', loaded.variables, {**loaded.meta, 'diagnosis': about}
  )
  message = _refused('to-locator', tmp_path / 'other', *out)
  assert 'the same in another order' in message
  head = {'params': {'head': loaded.variables['params']['head']}}
  save_model(tmp_path / 'report', head, {**loaded.meta, 'task': 'report'})
  assert "task 'report'" in _refused('to-locator', tmp_path / 'report', *out)
  assert not (tmp_path / 'out').exists()
