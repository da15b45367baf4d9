"""R2GenCMN's checkpoints to ours and back, and encoders from elsewhere."""

from pathlib import Path

from ml_collections import ConfigDict

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
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.tasks.report_model import report_network_of
from cmn_jax.training.checkpoints import (
  META_FORMAT,
  check_same_shapes,
  make_meta,
)
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
    training_reports(annotation), config.data.min_count, config.data.clean
  )
  model = ReportGenerator(ModelConfig.of(config, tokenizer.vocabulary))
  variables = from_r2gencmn(model, tensors, str(path))
  name, label_source = dataset_of(annotation, config)
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


def training_reports(path: Path | str) -> list[str]:
  """Of an annotation.json of R2Gen."""
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


def dataset_of(annotation: Path | str, config: ConfigDict):
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
