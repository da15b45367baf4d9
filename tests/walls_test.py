"""Who may import whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
  'input_pipeline': ('cmn_jax', 'jax', 'flax', 'torch', 'configs'),
  'cmn_jax/models': (
    'tensorflow',
    'tensorflow_datasets',
    'clu',
    'orbax',
    'configs',
    'ml_collections',
    'input_pipeline',
    'torch',
    'cmn_jax.training',
    'cmn_jax.tasks',
    'cmn_jax.decoding',
    'cmn_jax.scores',
    'cmn_jax.pages',
    'cmn_jax.comparison',
  ),
  'cmn_jax/decoding': ('cmn_jax.models', 'cmn_jax.training', 'input_pipeline'),
  'cmn_jax/training': (
    'cmn_jax.tasks',
    'cmn_jax.scores',
    'tensorflow',
    'torch',
  ),
}


def _imports(path: Path) -> list[str]:
  names = []
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names += [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
      names += [f'{node.module}.{alias.name}' for alias in node.names]
  return names


def _within(name: str, package: str) -> bool:
  return name == package or name.startswith(package + '.')


@pytest.mark.parametrize('folder', FORBIDDEN)
def test_imports_go_down_only(folder):
  files = list((ROOT / folder).rglob('*.py'))
  assert files
  for path in files:
    for name in _imports(path):
      # What a person can mend is the one word that all rooms share.
      if _within(name, 'input_pipeline.errors'):
        continue
      for package in FORBIDDEN[folder]:
        assert not _within(name, package), f'{path} imports {name}'


def test_tensorflow_is_named_in_one_file():
  for path in ROOT.glob('input_pipeline/**/*.py'):
    named = any(_within(n, 'tensorflow') for n in _imports(path))
    assert not named or path.name == 'tensorflow_cpu.py', path


def test_pmap_and_shard_map_are_named_in_one_file():
  for path in ROOT.glob('cmn_jax/**/*.py'):
    names = {
      node.attr
      for node in ast.walk(ast.parse(path.read_text()))
      if isinstance(node, ast.Attribute)
    }
    if names & {'pmap', 'shard_map'}:
      assert path.name == 'parallel.py', path
