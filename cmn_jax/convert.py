"""Weights from elsewhere, and back: `python -m cmn_jax.convert VERB ...`.

r2gencmn MODEL.pth --annotation annotation.json --out DIR
to-r2gencmn DIR --out MODEL.pth
ekagen MODEL.pth --annotation annotation.json --out DIR    its captioner
to-ekagen DIR --out MODEL.pth
encoder FILE_OR_HUB_NAME --arch resnet101|vit_b16|... --out DIR
diagnosisbot|locator MODEL.pth --out DIR          EKAGen's classifiers
to-diagnosisbot|to-locator DIR --out MODEL.pth
"""

import argparse
import sys

from cmn_jax.arguments import CMN, command, read_config
from input_pipeline.errors import UserError

_EKAGEN_CONFIG = 'configs/iu_xray.py:ekagen_rn101'
# Keys of `convert_classifiers.CLASSIFIERS`.
_CLASSIFIERS = ('diagnosisbot', 'locator')


def _parser() -> argparse.ArgumentParser:
  parser = command('convert', __doc__)
  verbs = parser.add_subparsers(dest='verb', required=True)

  def comes(name, does, config=''):
    """A file of theirs; with its annotation where a config names the model."""
    epilog = (
      f'--config FILE[:VARIANT] names the model ({config}); '
      '--config.field=value sets a field of it.'
    )
    verb = verbs.add_parser(name, help=does, epilog=config and epilog)
    verb.add_argument('path', metavar='MODEL.pth')
    if config:
      verb.add_argument(
        '--annotation', required=True, help='that it was trained with'
      )
    verb.add_argument('--out', required=True, help='folder to be made')
    return verb

  def goes(name, does):
    verb = verbs.add_parser(name, help=does)
    verb.add_argument('folder', metavar='DIR')
    verb.add_argument('--out', required=True, help='file to be made')

  comes('r2gencmn', 'an R2GenCMN checkpoint to one of ours', CMN)
  goes('to-r2gencmn', 'a checkpoint of ours to .pth')
  verb = verbs.add_parser('encoder', help='a pretrained visual encoder')
  verb.add_argument('source', help='.pth, .safetensors or name on the hub')
  verb.add_argument('--arch', required=True, help='resnet101, vit_b16, ...')
  verb.add_argument('--out', required=True, help='folder to be made')
  for name in _CLASSIFIERS:
    comes(name, f"EKAGen's {name} to a run of ours").add_argument(
      '--thresholds', metavar='PKL', help='theirs, if not those of their code'
    )
    goes(f'to-{name}', f"ours to EKAGen's {name}")
  verb = comes('ekagen', "EKAGen's captioner to a run of ours", _EKAGEN_CONFIG)
  for name, kind, does in (
    ('vocabulary', 'PKL', 'its words, if given'),
    ('knowledge', 'PKL', 'its knowledge base'),
    ('diagnosis', 'DIR', 'of convert diagnosisbot, for labels'),
    ('locator', 'DIR', 'of convert locator, for masks'),
  ):
    verb.add_argument(f'--{name}', metavar=kind, help=does)
  goes('to-ekagen', "ours to EKAGen's captioner")
  return parser


def _convert(parser, args, rest) -> None:
  """Does what the verb says."""
  # After the arguments, as in every verb: --help waits for no JAX.
  from cmn_jax import convert_classifiers, convert_ekagen, convert_r2gencmn

  if args.verb == 'r2gencmn':
    config = read_config(rest)
    convert_r2gencmn.convert_r2gencmn(
      args.path, args.annotation, args.out, config
    )
  elif args.verb == 'ekagen':
    config = read_config(rest, _EKAGEN_CONFIG)
    convert_ekagen.convert_captioner(
      args.path,
      convert_r2gencmn.training_reports(args.annotation),
      convert_r2gencmn.dataset_of(args.annotation, config),
      args.out,
      config,
      args.vocabulary,
      args.knowledge,
      args.diagnosis,
      args.locator,
    )
  elif rest:
    parser.error(f'unknown arguments {" ".join(rest)}')
  elif args.verb == 'to-r2gencmn':
    convert_r2gencmn.convert_to_r2gencmn(args.folder, args.out)
  elif args.verb == 'to-ekagen':
    convert_ekagen.convert_to_captioner(args.folder, args.out)
  elif args.verb in _CLASSIFIERS:
    convert_classifiers.convert_classifier(
      args.verb, args.path, args.out, args.thresholds
    )
  elif args.verb == 'encoder':
    convert_r2gencmn.convert_encoder(args.source, args.arch, args.out)
  else:
    which = args.verb.removeprefix('to-')
    convert_classifiers.convert_to_classifier(which, args.folder, args.out)


def main(argv: list[str]):
  """Reads the command line; what a person can mend is told in one sentence."""
  parser = _parser()
  args, rest = parser.parse_known_args(argv)
  try:
    _convert(parser, args, rest)
  except UserError as error:
    sys.exit(f'error: {error}')
  print(f'wrote {args.out}')


if __name__ == '__main__':
  main(sys.argv[1:])
