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
from cmn_jax.training.parallel import AXIS
from cmn_jax.training.state import study_batch


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
    if self._classifier.inputs != GENERATED:
      return self._data.ids[split]
    if split not in self._ids:
      c = self._config
      key = [self._report.fingerprint, c.decode.to_dict()]
      key += [c.seed] if c.decode.method == 'sample' else []
      found = self._computed('reports', split, key, self._writer())
      self._ids[split] = found['ids']
    return self._ids[split]

  def features(self, split: str) -> dict[str, np.ndarray]:
    """The frozen report model's features of every study, {name: (S, A)}."""
    if split not in self._features:
      ids_SxT = self.ids(split)
      reads = self._classifier.reads_report
      ids = ids_SxT.tobytes() if reads else b''
      key = [self._report.fingerprint, 'report' if reads else 'image', ids]
      self._features[split] = self._computed(
        'features', split, key, self._features_with(AXIS), {'ids_BxT': ids_SxT}
      )
    return self._features[split]

  def _computed(self, name, split, key, function, more=None):
    return precomputed.of_images(
      self._config,
      self._data,
      split,
      name,
      key,
      self._report.variables,
      function,
      more,
    )

  def _writer(self):
    """(variables, batch) -> the report model's own reports, as read."""
    network = report_network_of(self._report.meta, AXIS)
    decoding = Decoding(**self._config.decode, seed=self._config.seed)
    write = make_writer(network, decoding)

    def ids(variables, batch):
      images, masks = batch['images_BxIxHxW'], batch['mask_B']
      ids_BxT = write(variables, images, masks, batch['mask_BxI'])[0]
      return {'ids': jnp.pad(ids_BxT, ((0, 0), (1, 0)))[:, :-1]}

    return ids

  def _features_with(self, axis):
    """(variables, batch) -> features in evaluation mode, {name: (B, A)}."""
    network = report_network_of(self._report.meta, axis)
    model = Classifier(network, self._classifier, classes=1)

    def features(variables, batch):
      tree = {kind: {'report': x} for kind, x in variables.items()}
      return model.apply(tree, batch, method='features')

    return features
