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
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from cmn_jax.config_errors import sentence_of
from cmn_jax.convert_classifiers import (
  CLASSIFIERS,
  convert_classifier,
  convert_to_classifier,
)
from cmn_jax.convert_ekagen import CONFIG as EKAGEN_CONFIG
from cmn_jax.convert_ekagen import (
  add_verbs,
  convert_captioner,
  convert_to_captioner,
)
from cmn_jax.interop.encoders import WIDTH, load_encoder
from cmn_jax.interop.files import (
  state_dict_of,
  torch_positions,
  whole_number,
  write_pth,
)
from cmn_jax.interop.folders import check_free, check_new, write_folder
from cmn_jax.interop.names import ConversionError
from cmn_jax.interop.r2gencmn import (
  POSITION_NAMES,
  POSITIONS,
  batches_tracked,
  expected_variables,
  from_r2gencmn,
  to_r2gencmn,
)
from cmn_jax.loaded import Loaded
from cmn_jax.models.config import ModelConfig
from cmn_jax.models.encoders import ENCODERS
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.tasks.report_model import report_network_of
from cmn_jax.training.checkpoints import (
  META_FORMAT,
  check_same_shapes,
  make_meta,
)
from input_pipeline.errors import UserError
from input_pipeline.findings_reader import findings_reader
from input_pipeline.layouts.rows import read_json
from input_pipeline.study import DataError
from input_pipeline.tokenizers import WordTokenizer

_CONFIG = 'configs/iu_xray.py:cmn'


def convert_r2gencmn(
  path: Path | str, annotation: Path | str, out: Path | str, config: ConfigDict
):
  """Converts a checkpoint of the authors' trainer.

  Args:
    path: the .pth.
    annotation: the annotation.json that it was trained with; the vocabulary
      is fitted again from its training reports.
    out: folder to be made, with model/ and meta/.
    config: of the same model; its data section says how words are counted.

  Raises:
    ConversionError: something does not fit; nothing is written.
  """
  check_free(out)
  if Path(path).suffix == '.safetensors':
    raise ConversionError(
      f'{path} is a safetensors file: expected the .pth that R2GenCMN writes, '
      'with epoch, state_dict and optimizer'
    )
  content, tensors = state_dict_of(
    path, 'state_dict', 'R2GenCMN', 'epoch and optimizer'
  )
  tokenizer = WordTokenizer.fit(
    _training_reports(annotation), config.data.min_count, config.data.clean
  )
  model = ReportGenerator(ModelConfig.of(config, tokenizer.vocabulary))
  variables = from_r2gencmn(model, tensors, str(path))
  name, label_source = _dataset_of(annotation, config)
  try:
    best = float(content.get('monitor_best', 0.0))
  except (TypeError, ValueError, RuntimeError) as error:
    raise ConversionError(
      f'{path}: its monitor_best is no number ({str(error)[:100]})'
    ) from error
  about = {
    'tokenizer': tokenizer.to_json(),
    'dataset': name,
    'label_source': findings_reader(label_source).source,
    'finding_targets': [],
    'r2gencmn': {
      'epoch': whole_number(content, 'epoch', path),
      'monitor_best': best,
      'batches_tracked': batches_tracked(tensors),
    },
  }
  write_folder(out, variables, make_meta(config, [], best, about))


def convert_to_r2gencmn(folder: Path | str, out: Path | str):
  """Writes a checkpoint that the authors' code loads.

  Heads for findings and for alignment, which theirs does not have and which
  write no word, stay behind.

  Args:
    folder: a workdir, a step of it, or a converted checkpoint.
    out: the .pth.

  Raises:
    ConversionError: the authors have no such model.
    CheckpointError: nothing there, or not readable.
  """
  out = Path(out)
  check_new(out)
  loaded = Loaded.load(folder)
  variables, meta = loaded.variables, loaded.meta
  if meta.get('task') != 'report':
    raise ConversionError(f'{folder} holds no report generator')
  model = report_network_of(meta, None)
  check_same_shapes(variables, expected_variables(model), str(folder))
  origin = meta.get('r2gencmn') or _origin_of(meta)
  arrays = to_r2gencmn(model.config, variables, origin['batches_tracked'])
  positions = torch_positions(POSITIONS, model.config.width)
  arrays.update(dict.fromkeys(POSITION_NAMES, positions))
  out.parent.mkdir(parents=True, exist_ok=True)
  content = {
    'epoch': origin['epoch'],
    'state_dict': arrays,
    'monitor_best': origin['monitor_best'],
  }
  write_pth(out, content)


def convert_encoder(source: str, arch: str, out: Path | str):
  """Writes a pretrained encoder as a folder that needs no torch.

  Raises:
    ConversionError: something does not fit; nothing is written.
  """
  check_free(out)
  variables = load_encoder(source, arch, WIDTH)
  meta = {'format': META_FORMAT, 'encoder': arch, 'source': str(source)}
  write_folder(out, variables, meta)


def read_config(arguments: list[str], named: str = _CONFIG) -> ConfigDict:
  """The config of `--config FILE[:VARIANT]` and `--config.field=value`s.

  Where no file is named it is `named`.
  """
  if not any(a.split('=')[0] == '--config' for a in arguments):
    arguments = [f'--config={named}', *arguments]
  values = flags.FlagValues()
  config = config_flags.DEFINE_config_file(
    'config', lock_config=True, flag_values=values, sys_argv=arguments
  )
  try:
    rest = values(['convert', *arguments])[1:]
    loaded = config.value.copy_and_resolve_references()
  except flags.UnrecognizedFlagError as error:
    raise ConversionError(f'unknown arguments --{error.flagname}') from error
  except (flags.Error, AttributeError, KeyError, OSError, ValueError) as error:
    raise ConversionError(
      f'cannot read the config: {sentence_of(error)}'
    ) from error
  if rest:
    raise ConversionError(f'unknown arguments {" ".join(rest)}')
  return loaded


def _training_reports(path: Path | str) -> list[str]:
  try:
    entries = read_json(Path(path))['train']
    reports = [entry['report'] for entry in entries]
  except OSError as error:
    raise ConversionError(
      f'{path} cannot be read ({error.strerror}): the vocabulary is fitted '
      'from its training reports'
    ) from error
  except (DataError, KeyError, TypeError) as error:
    raise ConversionError(
      f'{path} is no annotation.json of R2Gen: expected '
      '{"train": [{"report": ...}, ...], ...}'
    ) from error
  if not reports or not all(isinstance(report, str) for report in reports):
    raise ConversionError(
      f'{path}: its train split has no reports, or not text'
    )
  return reports


def _dataset_of(annotation: Path | str, config: ConfigDict):
  """Name and source of labels: dataset.json's beside it, or the cleaner's."""
  path = Path(annotation).with_name('dataset.json')
  if not path.exists():
    return config.data.clean, None
  fields = read_json(path)
  if not isinstance(fields, dict) or not isinstance(fields.get('name'), str):
    raise ConversionError(f'{path}: expected an object with "name"')
  return fields['name'], fields.get('label_source')


def _origin_of(meta: dict) -> dict:
  """Of a model trained here, what the authors' checkpoint says of itself."""
  history = meta['history']
  scores = [row['val']['bleu_4'] for row in history if 'val' in row]
  return {
    'epoch': history[-1]['epoch'] if history else 0,
    'monitor_best': max(scores, default=0.0),
    'batches_tracked': {},
  }


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='python -m cmn_jax.convert',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  verbs = parser.add_subparsers(dest='verb', required=True)
  verb = verbs.add_parser(
    'r2gencmn',
    help='an R2GenCMN checkpoint to one of ours',
    epilog=f'--config FILE[:VARIANT] names the model ({_CONFIG}); '
    '--config.field=value sets a field of it.',
  )
  verb.add_argument('path', metavar='MODEL.pth')
  verb.add_argument(
    '--annotation', required=True, help='that it was trained with'
  )
  verb.add_argument('--out', required=True, help='folder to be made')
  verb = verbs.add_parser('to-r2gencmn', help='a checkpoint of ours to .pth')
  verb.add_argument('folder', metavar='DIR')
  verb.add_argument('--out', required=True, help='file to be made')
  verb = verbs.add_parser('encoder', help='a pretrained visual encoder')
  verb.add_argument('source', help='.pth, .safetensors or name on the hub')
  verb.add_argument('--arch', required=True, choices=sorted(ENCODERS))
  verb.add_argument('--out', required=True, help='folder to be made')
  _add_classifiers(verbs)
  add_verbs(verbs)
  return parser


def _add_classifiers(verbs) -> None:
  """EKAGen's two classifiers of films, each way."""
  for name in CLASSIFIERS:
    verb = verbs.add_parser(name, help=f"EKAGen's {name} to a run of ours")
    verb.add_argument('path', metavar='MODEL.pth')
    verb.add_argument(
      '--thresholds', metavar='PKL', help='theirs, if not those of their code'
    )
    verb.add_argument('--out', required=True, help='folder to be made')
    verb = verbs.add_parser(f'to-{name}', help=f"ours to EKAGen's {name}")
    verb.add_argument('folder', metavar='DIR')
    verb.add_argument('--out', required=True, help='file to be made')


def main(argv: list[str]):
  """Reads the command line; what a person can mend is told in one sentence."""
  parser = _parser()
  args, rest = parser.parse_known_args(argv)
  try:
    if args.verb == 'r2gencmn':
      config = read_config(rest)
      convert_r2gencmn(args.path, args.annotation, args.out, config)
    elif args.verb == 'ekagen':
      convert_captioner(
        args.path,
        _training_reports(args.annotation),
        _dataset_of(
          args.annotation, config := read_config(rest, EKAGEN_CONFIG)
        ),
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
      convert_to_r2gencmn(args.folder, args.out)
    elif args.verb == 'to-ekagen':
      convert_to_captioner(args.folder, args.out)
    elif args.verb in CLASSIFIERS:
      convert_classifier(args.verb, args.path, args.out, args.thresholds)
    elif args.verb.removeprefix('to-') in CLASSIFIERS:
      which = args.verb.removeprefix('to-')
      convert_to_classifier(which, args.folder, args.out)
    else:
      convert_encoder(args.source, args.arch, args.out)
  except UserError as error:
    sys.exit(f'error: {error}')
  print(f'wrote {args.out}')


if __name__ == '__main__':
  main(sys.argv[1:])
