"""docs/own_films.md: each command runs as it is written there."""

import json
import re
import shlex
import shutil
from pathlib import Path

import inference
from cmn_jax import export, predict

DOC = Path(__file__).parents[2] / 'docs' / 'own_films.md'
COMMANDS = {
  ('python', '-m', 'cmn_jax.predict'): predict.main,
  ('python', '-m', 'cmn_jax.export'): export.main,
  ('python', 'inference.py'): inference.main,
  # By tests/pages/serve_test.py, with the program that asks it.
  ('python', '-m', 'cmn_jax.serve'): lambda words: None,
}


def _blocks(language):
  return re.findall(rf'^```{language}\n(.*?)^```', DOC.read_text(), re.M | re.S)


def test_each_command_and_the_program(runs, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'runs').mkdir()
  (tmp_path / 'runs' / 'cmn').symlink_to(runs.report)
  study = next((runs.root / 'data' / 'images').iterdir())
  shutil.copytree(study, tmp_path / 'films' / 'a')
  films = [f'/a/{n}.png' for n in (0, 1)]
  (tmp_path / 'list.csv').write_text('image\nfilms/a/0.png;films/a/1.png\n')
  (tmp_path / 'studies.json').write_text(
    json.dumps({'a': {'image_path': films, 'key_image_path': films[0]}})
  )
  monkeypatch.setattr(inference, '_WEIGHTS', tmp_path / 'weights')
  lines = ''.join(_blocks('sh')).splitlines()
  assert len(lines) == 12
  for line in lines:
    words = shlex.split(line)
    (start,) = [c for c in COMMANDS if tuple(words[: len(c)]) == c]
    COMMANDS[start](words[len(start) :])
  for name in re.findall(r'--(?:out|page|save_json_file) (\S+)', str(lines)):
    assert Path(name.strip("',")).exists(), name
  said = capsys.readouterr().out
  program, _ = _blocks('python')
  exec(compile(program, str(DOC), 'exec'), {})
  report = json.loads(Path('reports.jsonl').read_text())['report']
  assert capsys.readouterr().out == f'a {report}\n'
  assert report.split()[0] in said
