"""Who may import whom, who may know what, and how long a file may be."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRODUCT = ('cmn_jax', 'input_pipeline', 'configs')
# Rooms of cmn_jax and what they import of it; what is not here stands above.
ARROWS = {
  'tasks': (
    *('loaded', 'training', 'interop', 'pages', 'scores'),
    *('models', 'decoding', 'losses'),
  ),
  'loaded': ('training',),
  'interop': ('training', 'models'),
  'training': ('models', 'decoding', 'losses'),
  'comparison': ('scores',),
  'pages': ('scores',),
  'scores': (),
  'losses': ('models',),
  'decoding': (),
  'models': (),
}
# What else a room must not know; 'input_pipeline.errors' is for all.
STRANGERS = {
  'input_pipeline': ('cmn_jax', 'configs', 'jax', 'flax', 'benchmarks'),
  'input_pipeline/findings': ('input_pipeline', 'tensorflow', 'numpy'),
  'configs': ('cmn_jax', 'input_pipeline', 'jax', 'benchmarks'),
  'cmn_jax': ('benchmarks', 'tests'),
  'cmn_jax/models': (
    *('input_pipeline', 'configs', 'ml_collections'),
    *('tensorflow', 'clu', 'orbax'),
  ),
  'cmn_jax/losses': ('input_pipeline', 'configs', 'ml_collections', 'orbax'),
  'cmn_jax/decoding': ('input_pipeline', 'configs', 'ml_collections', 'orbax'),
  'cmn_jax/scores': ('jax', 'flax', 'configs', 'ml_collections'),
  'cmn_jax/pages': ('jax', 'flax', 'configs', 'ml_collections'),
  'cmn_jax/comparison': ('jax', 'flax', 'configs'),
}
FILE, FUNCTION = 350, 100  # lines, at most


def _files(*folders):
  return sorted(p for f in folders for p in (ROOT / f).rglob('*.py'))


def _tree(path: Path) -> ast.Module:
  return ast.parse(path.read_text('utf-8'))


def _imports(path: Path) -> set[str]:
  """Dotted names, those of imports inside functions too."""
  names = set()
  for node in ast.walk(_tree(path)):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module:
      names |= {f'{node.module}.{alias.name}' for alias in node.names}
  return names


def _within(name: str, package: str) -> bool:
  return name == package or name.startswith(package + '.')


def _room(path: Path) -> str:
  """Of a file: its folder below cmn_jax/, or the file there."""
  return path.relative_to(ROOT).with_suffix('').parts[1]


def test_arrows_go_down_only():
  for path in _files('cmn_jax'):
    room = _room(path)
    if room not in ARROWS:
      continue
    for name in _imports(path):
      if _within(name, 'cmn_jax'):
        other = name.split('.')[1]
        assert other in (room, *ARROWS[room]), f'{path} imports {name}'


@pytest.mark.parametrize('folder', STRANGERS)
def test_what_a_room_does_not_know(folder):
  files = _files(folder)
  assert files
  own = folder.replace('/', '.')
  for path in files:
    for name in _imports(path):
      if _within(name, 'input_pipeline.errors') or _within(name, own):
        continue
      for package in STRANGERS[folder]:
        assert not _within(name, package), f'{path} imports {name}'


def test_no_circle_of_folders():
  """Folders, and files beside folders, of cmn_jax and of input_pipeline."""
  graph = defaultdict(set)

  def node(name):
    parts = name.split('.')
    return '.'.join(parts[:2] if parts[0] in PRODUCT[:2] else parts[:1])

  for path in _files(*PRODUCT):
    me = node('.'.join(path.relative_to(ROOT).with_suffix('').parts))
    others = {node(n) for n in _imports(path) if n.split('.')[0] in PRODUCT}
    graph[me] |= others - {me}
  assert graph['cmn_jax.tasks'] >= {'cmn_jax.training', 'cmn_jax.models'}
  done = set()

  def visit(one, above):
    assert one not in above, ' -> '.join([*above, one])
    if one not in done:
      for other in sorted(graph.get(one, ())):
        visit(other, (*above, one))
      done.add(one)

  for one in list(graph):
    visit(one, ())


def test_tensorflow_is_named_in_one_file():
  for path in _files(*PRODUCT):
    named = any(_within(n, 'tensorflow') for n in _imports(path))
    assert not named or path.name == 'tensorflow_cpu.py', path


def test_torch_is_imported_late_and_in_one_file():
  for path in _files(*PRODUCT):
    if any(_within(name, 'torch') for name in _imports(path)):
      assert path == ROOT / 'cmn_jax' / 'interop' / 'files.py', path
      for node in _tree(path).body:
        assert not (isinstance(node, ast.Import) and 'torch' in ast.dump(node))


def test_beam_is_imported_late_and_in_one_file():
  for path in _files(*PRODUCT):
    if any(_within(name, 'apache_beam') for name in _imports(path)):
      assert path == ROOT / 'input_pipeline' / 'beam.py', path
      assert all(
        'apache_beam' not in ast.dump(n)
        for n in _tree(path).body
        if isinstance(n, ast.Import | ast.ImportFrom)
      )


def test_pmap_and_shard_map_are_named_in_one_file():
  for path in _files(*PRODUCT):
    names = {
      node.attr
      for node in ast.walk(_tree(path))
      if isinstance(node, ast.Attribute)
    }
    if names & {'pmap', 'shard_map'}:
      assert path.name == 'parallel.py', path


def test_files_and_functions_are_short():
  for path in [*_files(*PRODUCT, 'benchmarks', 'tests'), ROOT / 'main.py']:
    lines = len(path.read_text('utf-8').splitlines())
    assert lines <= FILE, f'{path} has {lines} lines'
    for node in ast.walk(_tree(path)):
      if isinstance(node, ast.FunctionDef):
        lines = node.end_lineno - node.lineno + 1
        assert lines <= FUNCTION, f'{path}: {node.name} has {lines} lines'
