"""A run's test reports in the form of a board or a scorer, or its weights.

  python -m cmn_jax.export runs/cmn --to rexrank --out cmn.json
  python -m cmn_jax.export runs/cmn --to hub --out cmn

rexrank: JSON by study, to be handed in. radeval: JSON of two lists in prose,
and beside it the same in cleaned words. radfact, crimson: CSV.
cxr-report-metric: a folder with gt.csv and pred.csv. hub: a folder of
model.safetensors, config.json, tokenizer.json and a model card, which every
--checkpoint takes; --push brings it to the Hugging Face hub as well.
"""

import argparse
import json
import sys
from pathlib import Path

from cmn_jax.arguments import command
from cmn_jax.comparison.exports import EMPTY, FORMS, export
from cmn_jax.comparison.runs import read_saved
from input_pipeline.atomic_write import atomic_folder
from input_pipeline.errors import UserError


def _parser() -> argparse.ArgumentParser:
  parser = command('export', __doc__)
  parser.add_argument('workdir', type=Path, help='of an evaluated report model')
  parser.add_argument('--to', choices=(*FORMS, 'hub'), required=True)
  parser.add_argument('--out', type=Path, required=True, metavar='FILE')
  parser.add_argument(
    '--push', metavar='ORG/NAME', help='of --to hub: a private repository'
  )
  return parser


def _hub(args) -> None:
  """Weights, words and card in one folder."""
  # Imported late: files of reports need no JAX.
  from cmn_jax.comparison.card import card_of, check_may_push
  from cmn_jax.interop.folders import check_free
  from cmn_jax.loaded import Loaded
  from cmn_jax.training import hub

  check_free(args.out)
  loaded = Loaded.load(args.workdir)
  dataset = loaded.meta.get('dataset')
  if dataset is None:
    raise UserError(
      f'{args.workdir} holds no model that predicts: expected the workdir of a '
      'run, or a checkpoint'
    )
  if args.push:
    check_may_push(dataset)
  results = args.workdir / 'evaluation' / 'test.json'
  scores = json.loads(results.read_text()) if results.is_file() else None
  with atomic_folder(args.out) as partial:
    card = card_of(loaded.meta, scores)
    hub.write_hub_folder(partial, loaded.variables, loaded.meta, card)
  print(f'{loaded.origin} is in {args.out}: {", ".join(hub.FILES)}')
  if args.push:
    print(f'pushed: --checkpoint {hub.push(args.out, args.push)}')


def main(argv: list[str] | None = None) -> None:
  """Writes the files that the command line names.

  Args:
    argv: the arguments, those of the command line by default.
  """
  args = _parser().parse_args(argv)
  try:
    if args.to == 'hub':
      _hub(args)
      return
    if args.push:
      raise UserError('--push is of --to hub: leave it out')
    runs = read_saved(args.workdir).runs
    if len(runs) != 1 or runs[0].predictions is None:
      raise UserError(
        f'{args.workdir} has no evaluation/test_predictions.json: expected the '
        'workdir of one run that main.py has evaluated'
      )
    files, empty = export(args.to, args.out, runs[0].predictions)
  except (UserError, OSError) as error:
    sys.exit(f'error: {error}')
  print(
    f'{len(runs[0].predictions)} studies in {", ".join(map(str, files))}'
    + (f'; {empty} empty predictions stand as {EMPTY!r}' if empty else '')
  )


if __name__ == '__main__':
  main()
