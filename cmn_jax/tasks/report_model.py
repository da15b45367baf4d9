"""A trained report model as the start of a classifier."""

import jax

from cmn_jax.loaded import Loaded
from cmn_jax.models.config import ModelConfig
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.training.checkpoints import CheckpointError, check_same_shapes
from cmn_jax.training.optimizer import VISUAL
from cmn_jax.training.state import study_batch, variable_shapes
from input_pipeline import vocabularies
from input_pipeline.findings import NO_FINDING
from input_pipeline.findings_reader import FindingsReader, findings_reader

# What a classifier's checkpoint holds of the meta of its report model.
_META = (
  'format',
  'task',
  'config',
  'tokenizer',
  'dataset',
  'label_source',
  'history',
  'finding_targets',
)


def report_network_of(meta: dict, axis: str | None) -> ReportGenerator:
  """The network that a report model's checkpoint belongs to."""
  vocabulary = vocabularies.from_json(meta['tokenizer']).vocabulary
  prompted = prompted_findings(findings_reader(meta['label_source']))
  model = ModelConfig.of(
    meta['config'], vocabulary, meta['finding_targets'], prompted
  )
  return ReportGenerator(model, axis)


def prompted_findings(reader: FindingsReader) -> list[str]:
  """Classes that a generator with prompts is told of."""
  return [name for name in reader.classes if name != NO_FINDING]


def load_report_model(folder: str) -> Loaded:
  """From a workdir (its best checkpoint), a step of it, or a converted one.

  Raises:
    CheckpointError: nothing there, or no report model.
  """
  if not folder:
    raise CheckpointError(
      'classifier.checkpoint is empty: name the workdir of a trained report '
      'model, --config.classifier.checkpoint=DIR'
    )
  loaded = Loaded.load(folder)
  if loaded.task != 'report':
    raise CheckpointError(
      f'{loaded.origin} holds what the task {loaded.task!r} trained: a '
      'classifier starts from a report model, as main.py trains it with base, '
      'mem, cmn or proposed'
    )
  params = loaded.variables['params']
  if VISUAL not in params or 'tokenizer' not in loaded.meta:
    raise CheckpointError(
      f'{loaded.origin} holds no report model with a visual encoder: its '
      f'{len(jax.tree.leaves(loaded.variables))} arrays are under '
      f'{", ".join(sorted(params)[:6])}'
    )
  meta = {key: loaded.meta[key] for key in _META}
  c = loaded.config.data
  expected = variable_shapes(
    report_network_of(meta, None),
    study_batch(c.views, c.image_size, c.max_length),
  )
  check_same_shapes(loaded.variables, expected, loaded.origin)
  return Loaded(
    loaded.variables, {**meta, 'origin': loaded.origin}, loaded.origin
  )


def inside(classifier: Loaded) -> Loaded:
  """The report model in a classifier, which may have been fine-tuned there."""
  variables, meta = classifier.variables, classifier.meta['classifier']
  report = {
    'params': variables['params']['report'],
    'batch_stats': variables['batch_stats'].get('report', {}),
  }
  about = meta['report_model']
  return Loaded(report, about, about['origin'])
