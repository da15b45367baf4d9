"""EKAGen's captioner: their .pth and pickles to our folders, and back."""

from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from cmn_jax.interop.ekagen import from_captioner, to_captioner
from cmn_jax.interop.ekagen_files import read_knowledge, read_vocabulary
from cmn_jax.interop.files import state_dict_of, whole_number, write_pth
from cmn_jax.interop.folders import check_free, check_new, write_folder
from cmn_jax.interop.names import ConversionError
from cmn_jax.loaded import Loaded
from cmn_jax.models.ekagen import Captioner
from cmn_jax.models.ekagen_config import shape_of
from cmn_jax.models.ekagen_names import COMBINATIONS
from cmn_jax.models.knowledge import KnowledgeBase
from cmn_jax.tasks.diagnosis import FilmReader
from cmn_jax.tasks.ekagen_knowledge import classes_of, knowledge_meta
from cmn_jax.tasks.ekagen_parts import (
  CAPTIONER,
  DIAGNOSIS,
  KNOWLEDGE,
  LOCATOR,
  Parts,
  captioner_shape,
  load_captioner,
)
from cmn_jax.training.checkpoints import make_meta
from input_pipeline.ekagen_words import EkagenTokenizer
from input_pipeline.findings import NO_FINDING
from input_pipeline.findings_reader import findings_reader


def convert_captioner(
  path: Path | str,
  reports: list[str],
  dataset: tuple[str, str | None],
  out: Path | str,
  config: ConfigDict,
  vocabulary: str | None = None,
  knowledge: str | None = None,
  diagnosis: str | None = None,
  locator: str | None = None,
) -> None:
  """Converts a captioner of theirs, with what it reads beside films.

  Args:
    path: the .pth.
    reports: training reports, from which the words are fitted again.
    dataset: its name, and the source of its labels.
    out: folder to be made, with model/ and meta/.
    config: of the same model.
    vocabulary: their `*_vocabulary.pkl`, where the words are not to be fitted.
    knowledge: their knowledge base, a pickle that is read, not executed.
    diagnosis: folder of a converted DiagnosisBot, or of a run of ours, whose
      labels choose knowledge.
    locator: folder of a converted locator, for masks of new films.

  Raises:
    ConversionError: something does not fit; nothing is written.
  """
  check_free(out)
  if bool(knowledge) != bool(diagnosis):
    raise ConversionError(
      'knowledge is looked up by the labels of a classifier: give --knowledge '
      'and --diagnosis together, or neither'
    )
  content, tensors = state_dict_of(
    path, 'model', 'EKAGen', 'optimizer and epoch'
  )
  tokenizer = _words(vocabulary, reports, config)
  shape = shape_of(config, tokenizer.vocabulary, knowledge=True)
  captioner = from_captioner(Captioner(shape), tensors, str(path))
  parts = _parts(shape, tokenizer, dataset[0], knowledge, diagnosis, locator)
  own = parts.variables
  stats = captioner.get('batch_stats', {})
  variables = {
    'params': {CAPTIONER: captioner['params'], **own['params']},
    'batch_stats': {CAPTIONER: stats, **own['batch_stats']},
  }
  about = {
    'tokenizer': tokenizer.to_json(),
    'dataset': dataset[0],
    'label_source': findings_reader(dataset[1]).source,
    'encoder_start': f'EKAGen, {Path(path).name}',
    'fused': True,
    'parts': parts.meta,
    'ekagen': {'epoch': whole_number(content, 'epoch', path)},
  }
  write_folder(out, variables, make_meta(config, [], 0.0, about))


def convert_to_captioner(folder: Path | str, out: Path | str) -> None:
  """Writes the captioner alone as a .pth that their code loads.

  Raises:
    ConversionError: they have no such model.
    CheckpointError: nothing there, or no captioner.
  """
  check_new(out)
  loaded = load_captioner(str(folder), 'DIR')
  arrays = to_captioner(captioner_shape(loaded.meta), loaded.variables)
  history = loaded.meta['history']
  epoch = history[-1]['epoch'] if history else 0
  epoch = loaded.meta.get('ekagen', {}).get('epoch', epoch)
  Path(out).parent.mkdir(parents=True, exist_ok=True)
  write_pth(out, {'model': arrays, 'epoch': epoch})


def _words(vocabulary, reports, config) -> EkagenTokenizer:
  c = config.data
  if not vocabulary:
    return EkagenTokenizer.fit(reports, c.min_count, c.clean)
  try:
    return EkagenTokenizer(read_vocabulary(vocabulary), c.clean)
  except ValueError as error:
    raise ConversionError(f'{vocabulary}: {error}') from error


def _parts(shape, tokenizer, dataset, knowledge, diagnosis, locator) -> Parts:
  loaded = {}
  if knowledge:
    bot = Loaded.load(diagnosis)
    classes = classes_of(bot)
    keys_YxG, table_YxTxD = read_knowledge(
      knowledge, classes, shape.max_length, shape.width
    )
    rows = len(keys_YxG)
    base = KnowledgeBase(
      COMBINATIONS,
      table_YxTxD,
      keys_YxG,
      np.full(rows, -1),
      np.zeros(rows, int),
      classes.index(NO_FINDING),
    )
    about = {
      'dataset': dataset,
      'tokenizer': tokenizer.to_json(),
      'split_digest': None,
      'captioner': {'origin': str(knowledge), 'fingerprint': None},
    }
    table = {'table': np.float32(table_YxTxD), 'keys': keys_YxG}
    loaded[KNOWLEDGE] = Loaded(
      {'params': table}, knowledge_meta(base, bot, about), str(knowledge)
    )
    loaded[DIAGNOSIS] = bot
  if locator:
    loaded[LOCATOR] = Loaded.load(locator)
    FilmReader.of(loaded[LOCATOR].meta)
  return Parts(loaded)
