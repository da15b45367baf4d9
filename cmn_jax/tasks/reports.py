"""Report generation: R2GenCMN, its ablations, and `proposed`."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from clu import parameter_overview
from ml_collections import ConfigDict

from cmn_jax.decoding.generate import (
  Decoding,
  attention_of_words,
  make_writer,
)
from cmn_jax.interop.encoders import put_encoder
from cmn_jax.loaded import Loaded
from cmn_jax.losses.report import ReportObjective
from cmn_jax.models.alignment import Alignment, AlignmentConfig
from cmn_jax.models.config import ModelConfig
from cmn_jax.models.images import images_of
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.pages.report import report_sections
from cmn_jax.tasks.encoder import (
  RANDOM,
  encoded_images,
  encoder_of,
  frozen_parts,
  pretrained_encoder,
)
from cmn_jax.tasks.report_results import page_examples
from cmn_jax.tasks.written_reports import WrittenReports
from cmn_jax.training.parallel import AXIS
from cmn_jax.training.resuming import check_same_words
from cmn_jax.training.state import init_variables, study_batch
from input_pipeline.findings_reader import (
  finding_targets,
  findings_reader,
  target_labels,
)

# A target of the findings head is there in so many training studies at least.
_LEAST_STUDIES = 10


class ReportTask(WrittenReports):
  """Trains a report generator; see `training.task.Task` for the members.

  Attributes:
    tokenizer: its words.
    finding_targets: names of the findings head's logits.
    encoder_start: what the visual encoder's weights were at the start.
  """

  def __init__(self, config: ConfigDict, data, loaded: Loaded | None = None):
    source = loaded.meta['label_source'] if loaded else data.label_source
    super().__init__(config, data, findings_reader(source))
    self.frozen = frozen_parts(config)
    self.reads_images = not self.frozen
    self._alignment = AlignmentConfig(**config.alignment)
    self.decoding = Decoding(**config.decode, seed=config.seed)
    if loaded:
      meta = loaded.meta
      self.tokenizer = loaded.tokenizer
      self.finding_targets = meta['finding_targets']
      self.encoder_start = meta.get('encoder_start', 'an unknown state')
      self._history = meta['history']
      if self.frozen:
        self._encoder = encoder_of(loaded.variables)
    else:
      self.tokenizer = data.tokenizer
      self.finding_targets = self._choose_targets()
      self.encoder_start = RANDOM
    self._maps = {}
    self.model = self.network(AXIS)
    self._objective = ReportObjective(
      self.model, self._alignment, config.train.findings_weight
    )
    self._write = make_writer(self.model, self.decoding)

  def network(self, axis: str | None) -> ReportGenerator:
    """The generator, with batch statistics over a mapped axis or not."""
    vocabulary = self.tokenizer.vocab_size + 1
    model = ModelConfig.of(self._config, vocabulary, self.finding_targets)
    return ReportGenerator(model, axis)

  def variables(self, seed: int) -> dict:
    """Random parameters, and the encoder that model.pretrained names."""
    c = self._config
    blank = study_batch(c.data.views, c.data.image_size, c.data.max_length)
    variables = init_variables(self.network(None), seed, blank)
    encoder, self.encoder_start = pretrained_encoder(c.model)
    variables = put_encoder(variables, encoder) if encoder else variables
    if self.frozen:
      self._encoder = encoder_of(variables)
    return variables

  def targets(self, split: str, mirrored: bool = False) -> dict:
    """'findings_BxL' of a findings head; what a frozen encoder has seen."""
    arrays = self._encoded(split) if self.frozen else {}
    if not self.finding_targets:
      return arrays
    labels_2xSxL = target_labels(
      self._data.studies[split], self._reader, self.finding_targets
    )
    return {**arrays, 'findings_BxL': labels_2xSxL[int(mirrored)]}

  def sampling(self) -> None:
    """Each study is drawn once an epoch."""

  def losses(self, outputs: dict, batch: dict, step: jax.Array) -> dict:
    """The words', the findings head's, and the alignment's."""
    return self._objective.losses(outputs, batch, step)

  def predict(self, variables: dict, batch: dict, full: bool) -> dict:
    """'ids', (B, T); with `full` also unit vectors for retrieval, (B, F)."""
    ids_BxT, _ = self._write(
      variables, images_of(batch), batch['mask_B'], batch['mask_BxI']
    )
    rows = {'ids': ids_BxT}
    return {**rows, **self._aligned(variables, batch)} if full else rows

  def _aligned(self, variables, batch) -> dict:
    """Unit vectors by the model's own alignment, or an untrained one."""
    model = self.model
    if not model.config.alignment:
      # What features are worth before any alignment: a random projection.
      model = self._network_with(self._alignment)
      params = variables['params']
      words = params['logits']['kernel'].shape[1]
      features = params['patch_embed']['kernel'].shape[0]
      start = Alignment(self._alignment).init(
        jax.random.key(self._config.seed),
        jnp.zeros((1, 1, words)),
        jnp.ones((1, 1), bool),
        jnp.zeros((1, 1, features)),
      )
      params = {**params, 'alignment': start['params']}
      variables = {**variables, 'params': params}
    return model.apply(variables, batch, method='align')

  def _network_with(self, alignment: AlignmentConfig) -> ReportGenerator:
    """The generator with an alignment that it was not trained with."""
    return self.model.clone(config=self.model.config.with_alignment(alignment))

  def page(self, results: dict, rows: dict, variables: dict) -> list:
    """Scores, curves, and examples with the words' attention."""
    attention = attention_of_words(self.network(None))

    def look(variables, batch, ids_BxT):
      images, mask_BxI = batch['images_BxIxHxW'], batch['mask_BxI']
      return attention(variables, images, ids_BxT, mask_BxI)

    examples = page_examples(
      self._data,
      self._reader,
      look,
      self._config.eval.examples,
      variables,
      rows['ids'],
      self.texts(rows),
    )
    return report_sections(results, self._history, examples)

  def describe(self, rows: dict, study: int) -> dict:
    """The report and the findings that it states."""
    text = self.tokenizer.decode(rows['ids'][study])
    return {
      'report': text,
      'findings': sorted(self._reader.labels_of_text(text)),
    }

  def about(self, variables: dict) -> str:
    """Parameters, data and words."""
    count = parameter_overview.count_parameters(variables['params'])
    return (
      f'{self._config.name}: {count:,} parameters; {self._data.name}: '
      f'{len(self._data.studies["train"])} training studies, '
      f'{self.tokenizer.vocab_size} words'
    )

  def meta(self) -> dict:
    """Words, data, labels and start."""
    return {
      'tokenizer': self.tokenizer.to_json(),
      'dataset': self._data.name,
      'label_source': self._reader.source,
      'finding_targets': list(self.finding_targets),
      'encoder_start': self.encoder_start,
    }

  def check(self, meta: dict, where: Path) -> None:
    """Raises CheckpointError if the data give other words."""
    check_same_words(meta['tokenizer'], self._data.tokenizer, where)

  def texts(self, rows: dict) -> list[str]:
    """See `WrittenReports`."""
    return [self._data.text_of(ids) for ids in np.asarray(rows['ids'])]

  def _encoded(self, split) -> dict[str, np.ndarray]:
    """What joins a batch in place of images."""
    if split not in self._maps:
      self._maps[split] = encoded_images(
        self._config, self._data, self._encoder, split
      )
    return self._maps[split]

  def _choose_targets(self) -> list[str]:
    """Names of the findings head's targets; none without that head."""
    if not self._config.train.findings_weight:
      return []
    studies = self._data.studies['train']
    return finding_targets(studies, self._reader, _LEAST_STUDIES)
