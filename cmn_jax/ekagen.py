"""EKAGen's builders: `python -m cmn_jax.ekagen VERB ...`.

knowledge --captioner DIR --diagnosis DIR --config=FILE:VARIANT --out DIR
masks --locator DIR --config=FILE:VARIANT --out DIR
build --config=FILE[:VARIANT] --workdir DIR

--config names the captioner's config, and --config.field=value changes a field
of it. `build` does all steps, each in its own folder, and goes on where it was
stopped; --STEP.field=value changes a field of one step alone, see its help.
"""

import argparse
import sys

from cmn_jax.arguments import command, read_config
from cmn_jax.models.ekagen_names import (
  CLASSES,
  DISTANCES,
  FLAT,
  FORMS,
  MEMBERS,
  PEAK_SHARE,
  RULES,
  STATED,
  THRESHOLD,
)
from configs.ekagen import STEPS
from input_pipeline import stopping


def _parser() -> argparse.ArgumentParser:
  parser = command('ekagen', __doc__)
  verbs = parser.add_subparsers(dest='verb', required=True)
  verb = verbs.add_parser('knowledge', help='embedded reports by class')
  verb.add_argument('--captioner', required=True, help='whose embedding')
  verb.add_argument('--diagnosis', required=True, help='whose labels')
  verb.add_argument(
    '--fold',
    action='append',
    default=[],
    help='a classifier of classifier.fold 1/K to K/K, once for each',
  )
  verb.add_argument('--form', choices=FORMS, default=CLASSES)
  verb.add_argument('--distance', choices=DISTANCES, default=FLAT)
  verb.add_argument(
    '--members',
    choices=MEMBERS,
    default=STATED,
    help='reports that may speak for a class: that state it, or of whose films '
    'the classifier says it',
  )
  verb.add_argument('--out', required=True, help='folder to be made')
  verb = verbs.add_parser('masks', help='where a locator looks')
  verb.add_argument('--locator', required=True, help='workdir of one')
  verb.add_argument('--rule', choices=RULES, default=THRESHOLD)
  verb.add_argument('--threshold', type=float, default=PEAK_SHARE)
  verb.add_argument('--no_finding', action='store_true', help='as the authors')
  verb.add_argument('--npy', action='store_true', help="the authors' form too")
  verb.add_argument('--out', required=True, help='folder')
  verb = verbs.add_parser(
    'build',
    help='all steps',
    usage='%(prog)s --config=FILE[:STUDENT] --workdir=DIR [options]',
    epilog='--config.field=value changes a field of all steps, '
    f'--STEP.field=value of one. The steps are {", ".join(STEPS)}.',
  )
  verb.add_argument('--workdir', required=True, help='of all steps')
  verb.add_argument(
    '--rounds', type=int, default=1, help='students, each taught by the last'
  )
  verb.add_argument(
    '--folds',
    type=int,
    default=0,
    help='classifiers that cross-fit the training labels; 0 for none',
  )
  return parser


def _run(args, rest: list[str]) -> list[str]:
  """Does what the verb says; a line for each thing that it wrote."""
  from cmn_jax import ekagen_build, process
  from cmn_jax.loaded import Loaded
  from cmn_jax.tasks.ekagen_knowledge import make_knowledge
  from cmn_jax.tasks.ekagen_parts import load_captioner
  from cmn_jax.tasks.mask_files import write_masks
  from input_pipeline.data import DataConfig, open_data

  process.set_up()
  if args.verb == 'build':
    ekagen_build.build(rest, args.workdir, args.rounds, args.folds)
    return []
  config = read_config(rest)
  if args.verb == 'masks':
    return write_masks(
      Loaded.load(args.locator),
      config,
      open_data(DataConfig(**config.data)),
      args.out,
      args.rule,
      args.threshold,
      args.no_finding,
      args.npy,
    )
  return make_knowledge(
    load_captioner(args.captioner, '--captioner'),
    Loaded.load(args.diagnosis),
    config,
    open_data(DataConfig(**config.data)),
    args.out,
    args.form,
    args.distance,
    [Loaded.load(folder) for folder in args.fold],
    args.members,
  )


def main(argv: list[str]) -> None:
  """Reads the command line; what a person can mend is told in one sentence."""
  stopping.install()
  args, rest = _parser().parse_known_args(argv)
  # After the arguments, as in every verb: --help waits for no JAX.
  from cmn_jax import process

  with process.told_in_one_sentence():
    lines = _run(args, rest)
  if lines:
    print('\n'.join([*lines, f'wrote {args.out}']))


if __name__ == '__main__':
  main(sys.argv[1:])
