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

from ml_collections import ConfigDict

from cmn_jax.arguments import CMN, command, read_config
from cmn_jax.convert_classifiers import (
  CLASSIFIERS,
  convert_classifier,
  convert_to_classifier,
)
from cmn_jax.convert_ekagen import CONFIG as EKAGEN_CONFIG
from cmn_jax.convert_ekagen import convert_captioner, convert_to_captioner
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
from input_pipeline.layouts.r2gen import read_description
from input_pipeline.layouts.rows import read_json
from input_pipeline.study import DataError
from input_pipeline.tokenizers import WordTokenizer


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
  described = read_description(Path(annotation).parent)
  if not described:
    return config.data.clean, None
  return described['name'], described.get('label_source')


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
  verb.add_argument('--arch', required=True, choices=sorted(ENCODERS))
  verb.add_argument('--out', required=True, help='folder to be made')
  for name in CLASSIFIERS:
    comes(name, f"EKAGen's {name} to a run of ours").add_argument(
      '--thresholds', metavar='PKL', help='theirs, if not those of their code'
    )
    goes(f'to-{name}', f"ours to EKAGen's {name}")
  verb = comes('ekagen', "EKAGen's captioner to a run of ours", EKAGEN_CONFIG)
  for name, kind, does in (
    ('vocabulary', 'PKL', 'its words, if given'),
    ('knowledge', 'PKL', 'its knowledge base'),
    ('diagnosis', 'DIR', 'of convert diagnosisbot, for labels'),
    ('locator', 'DIR', 'of convert locator, for masks'),
  ):
    verb.add_argument(f'--{name}', metavar=kind, help=does)
  goes('to-ekagen', "ours to EKAGen's captioner")
  return parser


def main(argv: list[str]):
  """Reads the command line; what a person can mend is told in one sentence."""
  parser = _parser()
  args, rest = parser.parse_known_args(argv)
  try:
    if args.verb == 'r2gencmn':
      config = read_config(rest)
      convert_r2gencmn(args.path, args.annotation, args.out, config)
    elif args.verb == 'ekagen':
      config = read_config(rest, EKAGEN_CONFIG)
      convert_captioner(
        args.path,
        _training_reports(args.annotation),
        _dataset_of(args.annotation, config),
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
