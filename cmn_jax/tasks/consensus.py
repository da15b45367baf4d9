"""Reports by consensus: what similar training studies would have been told.

Nothing is trained by steps. A frozen encoder's features of the training studies
are computed once; from them a logistic regression for the findings and a ridge
regression for the utility of every training report are solved.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from cmn_jax.interop.encoders import put_encoder
from cmn_jax.loaded import Loaded
from cmn_jax.models.config import DTYPES
from cmn_jax.models.consensus import Consensus, ConsensusConfig
from cmn_jax.models.film_features import standardise
from cmn_jax.pages.report import report_sections
from cmn_jax.scores.multilabel import score_classification
from cmn_jax.scores.utility import text_utility
from cmn_jax.tasks.encoder import (
  RANDOM,
  encoder_of,
  feature_sizes_of,
  pooled_features,
  pretrained_encoder,
)
from cmn_jax.tasks.opinion import (
  feature_scale,
  finding_indicators,
  fit_findings,
)
from cmn_jax.tasks.written_reports import WrittenReports, names_of
from cmn_jax.training import distributed
from cmn_jax.training.checkpoints import CheckpointError
from cmn_jax.training.resuming import check_same_words
from cmn_jax.training.state import init_variables, study_batch
from input_pipeline.findings import NO_FINDING
from input_pipeline.findings_reader import findings_reader


class ConsensusTask(WrittenReports):
  """See `training.task.Task` for the members.

  Attributes:
    candidates: the distinct training reports, one of which is written.
    classes: findings.
  """

  sections = {'consensus': ConsensusConfig}
  reads_images = True
  frozen = ()

  def __init__(self, config: ConfigDict, data, loaded: Loaded | None = None):
    distributed.alone()
    source = loaded.meta['label_source'] if loaded else data.label_source
    super().__init__(config, data, findings_reader(source))
    self.consensus = ConsensusConfig(**config.consensus)
    self.classes = [c for c in self._reader.classes if c != NO_FINDING]
    self.encoder_start = RANDOM
    if loaded:
      self.candidates = loaded.meta['candidates']
      self.encoder_start = loaded.meta['encoder_start']
      self._history = loaded.meta['history']
      self._features = loaded.variables['params']['centre'].shape[0]
    else:
      references = (study.reference for study in data.studies['train'])
      self.candidates = list(dict.fromkeys(references))
      self._features = self._count_features()
    self.model = self.network(None)
    # The network has no parameter that steps change.
    self.frozen = ('visual_encoder', *self.model.sizes)

  def network(self, axis: str | None) -> Consensus:
    """The network; nothing in it is averaged over devices."""
    del axis
    c = self._config
    return Consensus(
      encoder=c.model.encoder,
      encoder_width=c.model.encoder_width,
      views=c.data.views,
      features=self._features,
      classes=len(self.classes),
      reports=len(self.candidates),
      config=self.consensus,
      dtype=DTYPES[c.model.dtype],
    )

  def variables(self, seed: int) -> dict:
    """The encoder that model.pretrained names, and what is fitted to it."""
    c = self._config
    blank = study_batch(c.data.views, c.data.image_size, c.data.max_length)
    start = init_variables(self.model, seed, blank)
    encoder, self.encoder_start = pretrained_encoder(c.model)
    start = put_encoder(start, encoder) if encoder else start
    pooled_SxD = self._pooled(start)
    scale = feature_scale(pooled_SxD, feature_sizes_of(c))
    x_SxD = standardise(pooled_SxD, *scale.values())
    kernel_SxS = x_SxD @ x_SxD.T
    labels_SxC = self._labels('train')
    fitted = {
      **scale,
      'stated': self._stated(),
      **fit_findings(x_SxD, kernel_SxS, labels_SxC, self.consensus.l2),
      **self._fit_utility(x_SxD, kernel_SxS),
    }
    arrays = {name: np.float32(x) for name, x in fitted.items()}
    return {**start, 'params': {**start['params'], **arrays}}

  def targets(self, split: str, mirrored: bool = False) -> dict:
    """'labels_BxC', the findings."""
    return {} if mirrored else {'labels_BxC': self._labels(split)}

  def sampling(self) -> None:
    """No study is drawn."""

  def losses(self, outputs: dict, batch: dict, step: jax.Array) -> dict:
    """Cross-entropy of the findings, nats per study; only for the log."""
    del step
    labels_BxC = batch['labels_BxC']
    log_p = jax.nn.log_sigmoid(
      jnp.where(labels_BxC > 0, outputs['logits'], -outputs['logits'])
    )
    mask_B = batch['mask_B'].astype(jnp.float32)
    loss = -jnp.sum(log_p * mask_B[:, None]), jnp.sum(mask_B)
    return {'loss': (None, *loss)}

  def predict(self, variables: dict, batch: dict, full: bool) -> dict:
    """'probability' and 'stated' findings, and the 'choice' of a report.

    With `full` also 'features', (B, D).
    """
    rows = self.model.apply(variables, batch, method='choose')
    return rows if full else {k: x for k, x in rows.items() if k != 'features'}

  def texts(self, rows: dict) -> list[str]:
    """See `WrittenReports`."""
    return [self.candidates[n] for n in np.asarray(rows['choice'])]

  def found(self, split: str, rows: dict) -> list[set[str]]:
    """See `WrittenReports`."""
    del split
    return names_of(rows['stated'], self.classes)

  def features(self, split: str, rows: dict, variables: dict) -> tuple:
    """See `WrittenReports`."""
    del split
    scale = (
      variables['params'][name] for name in ('centre', 'deviation', 'weight')
    )
    train_SxD = standardise(self._pooled(variables), *scale)
    return tuple(x[:, None] for x in (train_SxD, np.asarray(rows['features'])))

  def score(self, split: str, rows: dict, full: bool, variables: dict) -> dict:
    """As of all written reports, and of the findings as a classifier."""
    scores = super().score(split, rows, full, variables)
    if not full:
      return scores
    labels_SxC = self._labels(split) > 0
    classifier = score_classification(
      labels_SxC,
      np.ones_like(labels_SxC),
      np.asarray(rows['stated']),
      self.classes,
      probability_SxC=np.asarray(rows['probability'], float),
      bootstrap=self._config.eval.bootstrap,
    )
    return {**scores, 'classifier': classifier}

  def page(self, results: dict, rows: dict, variables: dict) -> list:
    """Scores; no word looks anywhere, so there are no examples."""
    return report_sections(results, self._history, [])

  def describe(self, rows: dict, study: int) -> dict:
    """The report, and the findings with their probabilities."""
    probability_C = np.asarray(rows['probability'])[study]
    return {
      'report': self.texts(rows)[study],
      'findings': {
        name: round(float(p), 3)
        for name, p in zip(self.classes, probability_C, strict=True)
      },
    }

  def about(self, variables: dict) -> str:
    """Features, candidates and data."""
    return (
      f'{self._config.name}: {self._features:,} features of a study by '
      f'{self._config.model.encoder}, {len(self.candidates):,} candidate '
      f'reports; {self._data.name}: {len(self._data.studies["train"])} '
      'training studies'
    )

  def meta(self) -> dict:
    """Words, data, labels, and the candidates."""
    return {
      'tokenizer': self._data.tokenizer.to_json(),
      'dataset': self._data.name,
      'label_source': self._reader.source,
      'finding_targets': [],
      'encoder_start': self.encoder_start,
      'candidates': self.candidates,
    }

  def check(self, meta: dict, where: Path) -> None:
    """Raises CheckpointError unless the data are those it was fitted to."""
    check_same_words(meta['tokenizer'], self._data.tokenizer, where)
    if self._features != self._count_features():
      raise CheckpointError(
        f'{where} was fitted to {self._features} features of a study, '
        f'model.encoder and data.views give {self._count_features()}'
      )

  def _count_features(self) -> int:
    return sum(feature_sizes_of(self._config))

  def _pooled(self, variables) -> np.ndarray:
    """Features of the training studies, computed once, (S, D)."""
    encoder = encoder_of(variables)
    return pooled_features(self._config, self._data, encoder, 'train')

  def _labels(self, split) -> np.ndarray:
    """1 where a study has a finding, (S, C)."""
    studies = self._data.studies[split]
    return finding_indicators(studies, self._reader, self.classes)

  def _stated(self) -> np.ndarray:
    """1 where a candidate states a finding, (R, C)."""
    found = [self._reader.labels_of_text(text) for text in self.candidates]
    return np.float32([[c in names for c in self.classes] for names in found])

  def _fit_utility(self, x_SxD, kernel_SxS) -> dict[str, np.ndarray]:
    """Centred ridge regression from a study to each candidate's utility.

    The weights of the training studies, rows of K (K + ridge)^-1, are moved to
    sum to 1; through them utilities of a study are linear in its features.
    """
    references = [study.reference for study in self._data.studies['train']]
    utility_RxS = text_utility(
      self.candidates, references, self.consensus.cider_weight
    )
    ridge_SxS = kernel_SxS + self.consensus.ridge * np.eye(len(kernel_SxS))
    ones_Sx1 = np.ones((len(kernel_SxS), 1))
    solved = np.linalg.solve(ridge_SxS, np.hstack([utility_RxS.T, ones_Sx1]))
    linear = x_SxD.T @ solved
    return {
      'utility': linear[:, :-1],
      'total': linear[:, -1],
      'prior': utility_RxS.mean(axis=1),
    }
