"""The commands of cmn_jax by name: `cmn-jax VERB ...`.

Each is the module of its line, run as `python -m` would run it; only that one
is imported.
"""

import runpy
import sys

# Verb: the module that it runs, arguments put first, and what it does.
VERBS = {
  'train': ('main', (), 'train a config in a workdir, then test it'),
  'evaluate': (
    'main',
    ('--mode=evaluate',),
    'test the checkpoint of a workdir',
  ),
  'predict': ('cmn_jax.predict', (), 'write the report of films'),
  'serve': ('cmn_jax.serve', (), 'a page that writes the report of films'),
  'convert': ('cmn_jax.convert', (), 'weights from elsewhere, and back'),
  'tables': ('cmn_jax.tables', (), "tables of runs' scores"),
  'export': ('cmn_jax.export', (), "predictions or weights in others' formats"),
  'ekagen': ('cmn_jax.ekagen', (), "EKAGen's knowledge, masks, all steps"),
  'prepare': ('input_pipeline.prepare', (), 'read a dataset into a folder'),
  'phantom': ('input_pipeline.phantom', (), 'draw films with their reports'),
}


def usage() -> str:
  """What --help prints: a line for each verb."""
  width = max(map(len, VERBS))
  lines = [f'  {verb:{width}}  {does}' for verb, (*_, does) in VERBS.items()]
  return '\n'.join(
    ['usage: cmn-jax VERB ...', '', *lines, '', 'cmn-jax VERB --help says more']
  )


def main() -> None:
  """Runs the verb that the command line names.

  Without one, or with one that is not there, exits with 2.
  """
  program, *rest = sys.argv
  if rest and rest[0] in ('-h', '--help'):
    print(usage())
    return
  verb = rest[0] if rest else None
  if verb not in VERBS:
    said = f'error: cmn-jax has no verb {verb!r}' if rest else 'error: no verb'
    print(f'{said}; choose from {", ".join(VERBS)}', file=sys.stderr)
    sys.exit(2)
  module, first, _ = VERBS[verb]
  sys.argv = [program, *first, *rest[1:]]
  runpy.run_module(module, run_name='__main__', alter_sys=True)


if __name__ == '__main__':
  main()
