"""Report generation: R2GenCMN, its ablations, and `proposed`."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
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
from cmn_jax.models.film_features import Opinion
from cmn_jax.models.images import images_of
from cmn_jax.models.report_generator import ReportGenerator
from cmn_jax.scores.decisions import choose_thresholds, decide
from cmn_jax.tasks.encoder import (
  RANDOM,
  encoded_images,
  encoder_of,
  feature_sizes_of,
  frozen_parts,
  pooled_features,
  pretrained_encoder,
)
from cmn_jax.tasks.opinion import finding_indicators, fit_opinion
from cmn_jax.tasks.report_model import prompted_findings
from cmn_jax.tasks.written_reports import WrittenReports, names_of
from cmn_jax.training.optimizer import VISUAL
from cmn_jax.training.parallel import AXIS
from cmn_jax.training.state import init_variables, study_batch
from input_pipeline.errors import UserError
from input_pipeline.findings_reader import (
  finding_targets,
  findings_reader,
  target_labels,
)

# A target of the findings head is there in so many training studies at least.
_LEAST_STUDIES = 10
# Of the arrays that say what is prompted with.
OPINION = 'opinion'


def _frozen(config: ConfigDict) -> tuple[str, ...]:
  """Top-level names of what is not trained: see `frozen_parts`, and prompts."""
  frozen, prompts = frozen_parts(config), config.model.prompts
  if prompts and not frozen:
    raise UserError(
      f'model.prompts is {prompts!r}, which needs features that do not change: '
      f'set train.freeze={VISUAL!r}'
    )
  return (*frozen, OPINION) if prompts else frozen


class ReportTask(WrittenReports):
  """Trains a report generator; see `training.task.Task` for the members.

  Attributes:
    prompted: findings that the decoder is told of, none without prompts: in
      training those of the report, else those that a classifier of the frozen
      features states.
    finding_targets: names of the findings head's logits.
  """

  sections = {'alignment': AlignmentConfig, 'decode': Decoding}

  def __init__(self, config: ConfigDict, data, loaded: Loaded | None = None):
    source = loaded.meta['label_source'] if loaded else data.label_source
    super().__init__(config, data, findings_reader(source))
    self.frozen = _frozen(config)
    self.reads_images = not self.frozen
    self._alignment = AlignmentConfig(**config.alignment)
    self.decoding = Decoding(**config.decode, seed=config.seed)
    self.prompted = []
    if config.model.prompts:
      self.prompted = prompted_findings(self._reader)
    if loaded:
      meta = loaded.meta
      self.tokenizer = loaded.tokenizer
      self.finding_targets = meta['finding_targets']
      self.encoder_start = meta.get('encoder_start', 'an unknown state')
      self._history = meta['history']
      self._keep_frozen(loaded.variables)
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
    model = ModelConfig.of(
      self._config,
      self.tokenizer.vocabulary,
      self.finding_targets,
      self.prompted,
    )
    return ReportGenerator(model, axis)

  def variables(self, seed: int) -> dict:
    """Random parameters, and the encoder that model.pretrained names.

    With prompts also the classifier, fitted to what that encoder sees.
    """
    c = self._config
    blank = study_batch(c.data.views, c.data.image_size, c.data.max_length)
    variables = init_variables(self.network(None), seed, blank)
    encoder, self.encoder_start = pretrained_encoder(c.model)
    variables = put_encoder(variables, encoder) if encoder else variables
    if self.prompted:
      fitted = fit_opinion(
        pooled_features(c, self._data, encoder_of(variables), 'train'),
        self._labels('train'),
        feature_sizes_of(c),
        c.consensus.l2,
      )
      params = {**variables['params'], OPINION: fitted}
      variables = {**variables, 'params': params}
    self._keep_frozen(variables)
    return variables

  def _keep_frozen(self, variables) -> None:
    if self.frozen:
      self._encoder = encoder_of(variables)
    if self.prompted:
      opinion = variables['params'][OPINION]
      self._opinion = jax.tree.map(np.array, opinion)

  def _labels(self, split) -> np.ndarray:
    """1 where a study has a finding that is prompted with, (S, G)."""
    studies = self._data.studies[split]
    return finding_indicators(studies, self._reader, self.prompted)

  def _stated(self, split) -> np.ndarray:
    """What the classifier states of each study, bool (S, G)."""
    pooled_SxD = pooled_features(self._config, self._data, self._encoder, split)
    opinion = Opinion(self.model.config.opinion)
    return np.asarray(opinion.apply({'params': self._opinion}, pooled_SxD))

  def targets(self, split: str, mirrored: bool = False) -> dict:
    """'findings_BxL' of a findings head; what a frozen encoder has seen.

    Also 'stated_BxG' of prompts: in training what the reports state.
    """
    arrays = self._encoded(split) if self.frozen else {}
    if self.prompted:
      train = split == 'train'
      stated = self._labels(split) > 0 if train else self._stated(split)
      arrays = {**arrays, 'stated_BxG': stated}
    if not self.finding_targets:
      return arrays
    labels_2xSxL = target_labels(
      self._data.studies[split], self._reader, self.finding_targets
    )
    return {**arrays, 'findings_BxL': labels_2xSxL[int(mirrored)]}

  def losses(self, outputs: dict, batch: dict, step: jax.Array) -> dict:
    """The words', the findings head's, and the alignment's."""
    return self._objective.losses(outputs, batch, step)

  def predict(self, variables: dict, batch: dict, full: bool) -> dict:
    """'ids', (B, T).

    With `full` also unit vectors for retrieval, (B, F), and of a findings head
    the 'probability' of its targets, (B, L).
    """
    ids_BxT, _ = self._write(
      variables, images_of(batch), batch['mask_B'], batch['mask_BxI']
    )
    rows = {'ids': ids_BxT}
    if not full:
      return rows
    if self.finding_targets:
      logits_BxL = self.model.apply(variables, batch, method='find')
      rows['probability'] = jax.nn.sigmoid(logits_BxL)
    return {**rows, **self._aligned(variables, batch)}

  def found(self, split: str, rows: dict) -> list[set[str]] | None:
    """What is prompted with, or what the findings head finds."""
    if self.prompted:
      return names_of(self._stated(split), self.prompted)
    classes = [c for c in self._reader.classes if c in self.finding_targets]
    if not classes:
      return None
    places = [self.finding_targets.index(name) for name in classes]
    probability_SxC = np.asarray(rows['probability'], float)[:, places]
    if split == 'val':
      studies = self._data.studies[split]
      truth = finding_indicators(studies, self._reader, classes) > 0
      known = np.ones_like(truth)
      self._thresholds_C = choose_thresholds(truth, known, probability_SxC)
    return names_of(decide(probability_SxC, self._thresholds_C), classes)

  def features(self, split: str, rows: dict, variables: dict) -> tuple | None:
    """A frozen encoder's maps, averaged."""
    if not self.frozen:
      return None
    return tuple(
      self._encoded(part)['maps_BxIxhxwxF'].mean(axis=(2, 3), dtype=np.float32)
      for part in ('train', split)
    )

  def _aligned(self, variables, batch) -> dict:
    """Unit vectors by the model's own alignment, or an untrained one."""
    model = self.model
    if not model.config.alignment:
      # What features are worth before any alignment: a random projection.
      with_alignment = dataclasses.replace(
        model.config, alignment=self._alignment
      )
      model = model.clone(config=with_alignment)
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

  def page(self, results: dict, rows: dict, variables: dict) -> list:
    """Scores, curves, and examples with the words' attention."""
    attention = attention_of_words(self.network(None))

    def look(variables, batch, ids_BxT):
      images, mask_BxI = batch['images_BxIxHxW'], batch['mask_BxI']
      return attention(variables, images, ids_BxT, mask_BxI)

    return self.attended_page(look, results, rows, variables, self._history)

  def describe(self, rows: dict, study: int) -> dict:
    """The report and the findings that it states."""
    return self.said(self.tokenizer.decode(rows['ids'][study]))

  def about(self, variables: dict) -> str:
    """Parameters, data and words."""
    return self.counted(variables['params'])

  def meta(self) -> dict:
    """As of any writer, and the targets of the findings head."""
    return {**super().meta(), 'finding_targets': list(self.finding_targets)}

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
