import pytest

from benchmarks import preparing
from tests.made.r2gen_folder import write_r2gen


def test_what_a_film_costs_is_printed(tmp_path, capsys):
  write_r2gen(tmp_path / 'data')
  preparing.main(['--source', str(tmp_path / 'data'), '--rounds', '1'])
  whole, locked, _, *cores = capsys.readouterr().out.splitlines()
  assert 0 < float(locked.split()[0]) < float(whole.split()[0])
  assert whole.endswith(' ms a film in all')
  assert [int(line.split()[0]) for line in cores] == [2, 16, 64]


def test_a_process_has_one_lock():
  seconds = {'in all': 0.05, 'under the lock': 0.01}
  assert preparing.rate(seconds, 2, 1) == pytest.approx(40)
  assert preparing.rate(seconds, 16, 1) == pytest.approx(100)
  assert preparing.rate(seconds, 16, 16) == pytest.approx(320)


def test_errors_are_one_sentence(tmp_path):
  with pytest.raises(SystemExit, match=r'^error: No data: there is no folder'):
    preparing.main(['--source', str(tmp_path / 'none')])


@pytest.mark.parametrize('rounds', ['0', '-1', 'many'])
def test_a_median_needs_a_round(rounds, capsys):
  with pytest.raises(SystemExit, match=r'^2$'):
    preparing.main([f'--rounds={rounds}'])
  assert f"--rounds: '{rounds}': expected 1 or more" in capsys.readouterr().err
