import pytest

from benchmarks import throughput
from benchmarks.mimic_cxr import write_mimic_cxr
from input_pipeline import images
from input_pipeline.phantom.write import write_phantom
from tests.made.selecting import scan


@pytest.fixture(scope='module')
def mimic(tmp_path_factory):
  folder = tmp_path_factory.mktemp('phantom')
  write_phantom(folder / 'phantom', 12, 1, 32, 1)
  write_mimic_cxr(folder / 'phantom', folder / 'mimic', 90)
  return folder / 'mimic'


def test_a_phantom_in_the_layout_of_mimic_cxr_jpg(mimic):
  dataset = scan(mimic, views=1, view_rule='frontal')
  assert dataset.layout == 'MIMIC-CXR-JPG'
  assert sum(map(len, dataset.studies.values())) == 12
  for study in dataset.studies['train']:
    assert study.views == ('frontal',)
    assert study.report.endswith('.')
    assert images.read_film(study.films[0]).shape == (108, 90)
  both = scan(mimic, view_rule='frontal_lateral')
  assert both.studies['test'][0].views == ('frontal', 'lateral')


def test_three_rates_are_printed(mimic, capsys):
  throughput.main(['--source', str(mimic), '--batch', '4', '--rounds', '1'])
  said = capsys.readouterr().out
  assert str(mimic) in said and 'films per second on' in said
  rates = dict(line.split() for line in said.splitlines()[1:])
  assert list(rates) == ['preparing', 'prepared', 'streamed']
  assert all(1 < float(rate) < 1e6 for rate in rates.values())


def test_errors_are_one_sentence(tmp_path):
  with pytest.raises(SystemExit, match=r'^error: No data: there is no folder'):
    throughput.main(['--source', str(tmp_path / 'none')])
  with pytest.raises(SystemExit, match=r'^error: studies is 3'):
    throughput.main(['--studies', '3'])
