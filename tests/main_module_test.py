"""`python -m cmn_jax VERB` finds each verb, and starts at once."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from cmn_jax import serve
from cmn_jax.__main__ import VERBS

ROOT = Path(__file__).parent.parent


def _run(*arguments, options=()):
  return subprocess.run(
    [sys.executable, *options, '-m', 'cmn_jax', *arguments],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )


def test_help_lists_the_verbs_and_imports_nothing_heavy():
  done = _run('--help', options=['-X', 'importtime'])
  assert done.returncode == 0
  for verb, (_, _, does) in VERBS.items():
    assert f'\n  {verb} ' in done.stdout and does in done.stdout
  imported = {line.split('|')[-1].strip() for line in done.stderr.splitlines()}
  assert 'cmn_jax' in imported
  assert not imported & {'numpy', 'jax', 'tensorflow', 'absl', 'argparse'}


@pytest.mark.parametrize('verb', VERBS)
def test_help_of_a_verb_waits_for_nothing_heavy(verb):
  done = _run(verb, '--help', options=['-X', 'importtime'])
  assert 'usage: ' in done.stdout or '--workdir' in done.stdout
  imported = {line.split('|')[-1].strip() for line in done.stderr.splitlines()}
  assert imported & {'argparse', 'absl.flags'}  # what was imported is told
  heavy = {'jax', 'flax', 'tensorflow', 'orbax', 'clu', 'scipy', 'torch'}
  assert not imported & heavy


def test_each_verb_is_a_module_that_runs():
  for module, _, _ in VERBS.values():
    spec = importlib.util.find_spec(module)
    if spec.submodule_search_locations:
      spec = importlib.util.find_spec(f'{module}.__main__')
    assert "if __name__ == '__main__':" in Path(spec.origin).read_text()


@pytest.mark.parametrize(
  'arguments, says',
  [
    (
      ['forecast'],
      "error: cmn-jax has no verb 'forecast'; choose from train, ",
    ),
    ([], 'error: no verb; choose from train, '),
  ],
)
def test_a_verb_that_is_not_there(arguments, says):
  done = _run(*arguments)
  assert done.returncode == 2
  assert done.stdout == ''
  (line,) = done.stderr.splitlines()
  assert line.startswith(says)


def test_arguments_reach_the_verb():
  done = _run('tables', '--runs', 'nowhere')
  assert done.returncode == 1
  assert done.stderr.startswith('error: ') and 'nowhere' in done.stderr
  done = _run('evaluate', '--config=configs/phantom.py', '--workdir=nowhere')
  assert done.returncode != 0
  assert 'nowhere' in done.stderr.splitlines()[-1]


def test_a_page_without_its_extra_is_a_sentence(runs, monkeypatch):
  monkeypatch.setitem(sys.modules, 'gradio', None)
  monkeypatch.setattr(serve.signal, 'signal', lambda *_: None)
  with pytest.raises(SystemExit, match=r"pip install '\.\[serve\]'"):
    serve.main([f'--checkpoint={runs.report}'])


def test_a_verb_does_its_work(runs):
  done = _run('tables', '--runs', str(runs.report))
  assert done.returncode == 0, done.stderr
  assert 'BLEU-4' in done.stdout


@pytest.mark.parametrize('module', ['train', 'evaluate'])
def test_a_module_that_is_no_command_says_so(module):
  done = subprocess.run(
    [sys.executable, '-m', f'cmn_jax.{module}', '--config=configs/phantom.py'],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 1 and not done.stdout
  (line,) = done.stderr.strip().splitlines()
  assert line.startswith('error: ') and '`python main.py --config=' in line


@pytest.mark.parametrize(
  'chosen, level', [({}, 40), ({'HF_HUB_VERBOSITY': 'info'}, 20)]
)
def test_a_download_retries_in_silence(monkeypatch, chosen, level):
  monkeypatch.delenv('HF_HUB_VERBOSITY', raising=False)
  for name, value in chosen.items():
    monkeypatch.setenv(name, value)
  program = (
    'from cmn_jax import process\nprocess.set_up()\n'
    'import huggingface_hub.utils.logging, logging\n'
    'print(logging.getLogger("huggingface_hub.utils").getEffectiveLevel())'
  )
  done = subprocess.run(
    [sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True
  )
  assert done.stdout.strip() == str(level), done.stderr
