"""What a classifier reads of a report model: its features, its reports."""

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from cmn_jax.decoding.generate import Decoding, make_writer
from cmn_jax.loaded import Loaded
from cmn_jax.models.classifier import GENERATED, Classifier, ClassifierConfig
from cmn_jax.tasks import precomputed
from cmn_jax.tasks.report_model import report_network_of
from cmn_jax.training import distributed
from cmn_jax.training.parallel import AXIS, Parallel
from cmn_jax.training.state import study_batch
from cmn_jax.training.studies import OverStudies
from input_pipeline import batches


class ReportFeatures:
  """Arrays of a frozen report model for every study, computed once.

  Features are computed in evaluation mode and without crops. Generated reports
  are those of the report model as it came. Both are cached in data.cache_dir,
  for the next classifier of the same report model.

  Args:
    config: the whole one.
    data: `input_pipeline.data.Data`.
    report: the report model.
    classifier: what is read.
  """

  def __init__(
    self,
    config: ConfigDict,
    data,
    report: Loaded,
    classifier: ClassifierConfig,
  ):
    self._config, self._data = config, data
    self._report, self._classifier = report, classifier
    self._parallel = Parallel(config.train.parallel)
    self._network = report_network_of(report.meta, AXIS)
    self._ids, self._features = {}, {}

  def arrays(self, split: str) -> dict[str, np.ndarray]:
    """What joins a batch: features, or the reports that are read instead."""
    if not self._classifier.finetune:
      return self.features(split)
    if self._classifier.inputs == GENERATED:
      return {'ids_BxT': self.ids(split)}
    return {}

  def blank(self) -> dict:
    """Features of one study, zeros; only their shapes matter."""
    data = self._data
    batch = study_batch(data.views, data.image_size, data.max_length)
    shapes = jax.eval_shape(
      self._features_with(None), self._report.variables, batch
    )
    return {name: jnp.zeros(x.shape, x.dtype) for name, x in shapes.items()}

  def ids(self, split: str) -> np.ndarray:
    """The reports that are read, [0] + words + zeros, (S, T)."""
    if split not in self._ids:
      ids_SxT = self._data.ids[split]
      if self._classifier.inputs == GENERATED:
        key = [self._report.fingerprint, self._config.decode.to_dict()]
        ids_SxT = self._cached(
          'reports', split, key, lambda: self._write(split)
        )['ids']
      self._ids[split] = ids_SxT
    return self._ids[split]

  def features(self, split: str) -> dict[str, np.ndarray]:
    """The frozen report model's features of every study, {name: (S, A)}."""
    if split not in self._features:
      reads = self._classifier.reads_report
      ids = self.ids(split).tobytes() if reads else b''
      key = [self._report.fingerprint, 'report' if reads else 'image', ids]
      self._features[split] = self._cached(
        'features', split, key, lambda: self._compute(split)
      )
    return self._features[split]

  def _cached(self, name, split, key, compute):
    return precomputed.per_study(
      self._config.data.cache_dir, name, self._data, split, key, compute
    )

  def _write(self, split) -> dict:
    """The report model's own reports, as they are read."""
    decoding = Decoding(**self._config.decode, seed=self._config.seed)
    write = make_writer(self._network, decoding)

    def ids(variables, batch):
      images, masks = batch['images_BxIxHxW'], batch['mask_B']
      return {'ids': write(variables, images, masks, batch['mask_BxI'])[0]}

    ids_SxT = self._over_studies(ids, split, self._images(split))['ids']
    length = ids_SxT.shape[1]
    return {'ids': np.pad(ids_SxT, ((0, 0), (1, 0)))[:, :length]}

  def _compute(self, split) -> dict:
    rows = self._images(split)
    if self._classifier.inputs == GENERATED:
      ids_SxT = self.ids(split)
      rows = (row | {'ids_BxT': ids_SxT[row['study_B']]} for row in rows)
    return self._over_studies(self._features_with(AXIS), split, rows)

  def _over_studies(self, function, split, rows):
    variables = self._parallel.replicate(self._report.variables)
    run = OverStudies(function, self._parallel)
    return run(variables, rows, len(self._data.studies[split])).arrays

  def _features_with(self, axis):
    """(variables, batch) -> features in evaluation mode, {name: (B, A)}."""
    network = report_network_of(self._report.meta, axis)
    model = Classifier(network, self._classifier, classes=1)

    def features(variables, batch):
      tree = {kind: {'report': x} for kind, x in variables.items()}
      return model.apply(tree, batch, method='features')

    return features

  def _images(self, split):
    return batches.eval_batches(
      self._data,
      split,
      batch_size=self._config.eval.batch_size,
      **distributed.part(),
    )
