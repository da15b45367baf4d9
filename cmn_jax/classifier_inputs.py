"""What a classifier reads of each split: films and reports, or features."""

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from cmn_jax import experiment
from cmn_jax.losses.classification import SINGLE_LABEL
from cmn_jax.models.classifier import GENERATED, Classifier, ClassifierShape
from cmn_jax.models.films import normalise_films
from cmn_jax.report_model import ReportModel
from cmn_jax.tasks.writing import ReportWriter
from cmn_jax.training.classifier_step import make_probabilities
from cmn_jax.training.parallel import AXIS, Parallel
from input_pipeline import batch_plan
from input_pipeline import batches as pipeline
from input_pipeline.config import DataConfig
from input_pipeline.errors import UserError
from input_pipeline.labels import Labels, read_labels

# Changes with what the arrays in data.cache_dir are.
_FORMAT = 1
# What a batch says that no step reads.
_HOST = ('mirrored_B', 'study_B')


def labels_of(config: ConfigDict, data) -> Labels:
  """The labels of config.classifier."""
  c = config.classifier
  names = [name.strip() for name in c.leave_out.split(',')]
  labels = read_labels(
    data, c.labels, tuple(filter(None, names)), config.data.skip_bad
  )
  return labels.single() if c.task == SINGLE_LABEL else labels


class ClassifierInputs:
  """Batches for a classifier, and the classifier that reads them.

  With a frozen report model they hold its features, which do not change: they
  are computed once, in evaluation mode and without crops, and kept in
  data.cache_dir for the next classifier of the same report model. Fine-tuned,
  they hold films and reports. Generated reports are those of the report model
  as it came, written once, and kept too.

  Attributes:
    model: the classifier.
    frozen: whether the report model stays as it is.
  """

  def __init__(
    self,
    config: ConfigDict,
    data,
    report: ReportModel,
    classes: int,
    parallel: Parallel,
  ):
    c = config.classifier
    shape = ClassifierShape(c.inputs, classes, c.hidden, c.dropout)
    self.model = Classifier(report.generator(AXIS), shape)
    self.frozen = not c.finetune
    self._augmentation = DataConfig(**config.data).augmentation
    if self._augmentation.flip_with_text and c.inputs == GENERATED:
      raise UserError(
        f'classifier.inputs {GENERATED!r} reads reports that were written for '
        'films as they are: set data.flip_with_text=False'
      )
    self._config, self._data, self._report = config, data, report
    self._parallel = parallel
    self._ids, self._features_of = {}, {}
    self._compute = parallel.map_studies(self._features_of_batch)
    self._probabilities = parallel.map_studies(
      make_probabilities(self.model, c.task)
    )

  def init_head(self, seed: int) -> dict:
    """Random parameters of all but the report model."""
    data = self._data
    size = (1, data.views, data.image_size, data.image_size)
    batch = {
      'images_BxIxHxW': np.zeros(size, np.uint8),
      'ids_BxT': np.zeros((1, data.max_length), np.int32),
      'mask_B': np.ones(1, bool),
      'mask_BxI': np.ones((1, data.views), bool),
    }
    shapes = jax.eval_shape(
      self._features_of_batch, self._report.variables, batch
    )
    features = {k: jnp.zeros(x.shape, x.dtype) for k, x in shapes.items()}

    @jax.jit
    def init(key):
      return self.model.init(key, features, False, method='classify')

    return init(jax.random.key(seed))['params']['head']

  def own_variables(self, variables: dict) -> dict:
    """What the classifier needs of a checkpoint's variables."""
    if not self.frozen:
      return variables
    return {'params': {'head': variables['params']['head']}, 'batch_stats': {}}

  def train_batches(
    self, first_step: int, shares_N: np.ndarray | None
  ) -> Iterator[dict]:
    """Training batches of this process from a step on, without end.

    Args:
      first_step: batches to leave out.
      shares_N: how often to draw each study; None takes each once an epoch.
    """
    c = self._config
    processes = jax.process_index(), jax.process_count()
    if self.frozen:
      part = batch_plan.part_of(c.train.batch_size, *processes)
      plan = batch_plan.plan_batches(
        len(self._data.studies['train']),
        self._data.views,
        c.train.batch_size,
        c.seed,
        first_step,
        shares_N,
      )
      return self._take(
        'train', ((take_B[part], mask_B[part]) for take_B, mask_B, _ in plan)
      )
    batches = pipeline.train_batches(
      self._data,
      batch_size=c.train.batch_size,
      seed=c.seed,
      augmentation=self._augmentation,
      first_step=first_step,
      process_index=processes[0],
      process_count=processes[1],
      shares_N=shares_N,
    )
    return self._with_ids('train', batches)

  def eval_batches(self, split: str) -> Iterator[dict]:
    """Every study of a split once, in order, the last batch padded."""
    size = self._config.eval.batch_size
    if self.frozen:
      order = np.arange(len(self._data.studies[split]))
      return self._take(split, batch_plan.batches_of(order, size, first=0))
    return self._with_ids(split, self._films(split))

  def probabilities(self, variables, split: str) -> np.ndarray:
    """Probability of each class for each study of a split, (S, C).

    Args:
      variables: the head's, and unless frozen the report model's; on the
        devices.
      split: 'train', 'val' or 'test'.
    """
    classes = self.model.shape.classes
    whole_SxC = np.zeros((len(self._data.studies[split]), classes), np.float32)
    for batch in self.eval_batches(split):
      kept = batch['mask_B']
      rows = self._probabilities(variables, self.place(batch))
      whole_SxC[batch['study_B'][kept]] = rows[kept]
    return whole_SxC

  def place(self, batch: dict) -> dict:
    """What a step reads of a batch, on the devices."""
    return self._parallel.split(
      {name: x for name, x in batch.items() if name not in _HOST}
    )

  def ids(self, split: str) -> np.ndarray:
    """The reports that are read, [0] + words + zeros, (S, T)."""
    if split not in self._ids:
      if self.model.shape.inputs == GENERATED:
        self._ids[split] = self._kept(
          f'{split}-reports', self._decode_key(), lambda: self._write(split)
        )['ids']
      else:
        self._ids[split] = self._data.ids[split]
    return self._ids[split]

  def _write(self, split) -> dict:
    """The report model's own reports, as they are read."""
    studies = len(self._data.studies[split])
    print(f'writing {studies} {split} reports, once', file=sys.stderr)
    writer = ReportWriter(
      self._report.generator(AXIS),
      experiment.make_decoding(self._config),
      self._parallel,
    )
    variables = self._parallel.replicate(self._report.variables)
    written = writer.write(variables, self._films(split), studies)
    length = written.ids_SxT.shape[1]
    return {'ids': np.pad(written.ids_SxT, ((0, 0), (1, 0)))[:, :length]}

  def _features(self, split) -> dict:
    """The frozen report model's features of every study, {name: (S, A)}."""
    if split not in self._features_of:
      read = 'image' if not self.model.shape.reads_report else 'report'
      key = [read, self.ids(split).tobytes() if read == 'report' else b'']
      self._features_of[split] = self._kept(
        f'{split}-features', key, lambda: self._compute_features(split)
      )
    return self._features_of[split]

  def _compute_features(self, split) -> dict:
    studies = len(self._data.studies[split])
    print(f'reading {studies} {split} studies, once', file=sys.stderr)
    variables = self._parallel.replicate(self._report.variables)
    features = {}
    for batch in self._with_ids(split, self._films(split)):
      kept = batch['mask_B']
      for name, rows in self._compute(variables, self.place(batch)).items():
        whole = features.setdefault(
          name, np.zeros((studies, rows.shape[1]), np.float32)
        )
        whole[batch['study_B'][kept]] = rows[kept]
    return features

  def _features_of_batch(self, variables, batch):
    """Features in evaluation mode, {name: (B, A)}."""
    return self.model.apply(
      {kind: {'report': tree} for kind, tree in variables.items()},
      normalise_films(batch['images_BxIxHxW']),
      batch['ids_BxT'],
      batch['mask_B'],
      False,
      batch['mask_BxI'],
      method='features',
    )

  def _films(self, split):
    return pipeline.eval_batches(
      self._data, split, batch_size=self._config.eval.batch_size
    )

  def _with_ids(self, split, batches):
    """Batches of films with the reports that are to be read."""
    if self.model.shape.inputs != GENERATED:
      return batches
    ids_SxT = self.ids(split)
    return (batch | {'ids_BxT': ids_SxT[batch['study_B']]} for batch in batches)

  def _take(self, split, plan):
    """Batches of features, which are computed before the first is asked for."""
    features = self._features(split)
    return (
      {
        **{name: rows[take_B] for name, rows in features.items()},
        'mask_B': mask_B,
        'study_B': np.where(mask_B, take_B, -1),
      }
      for take_B, mask_B in plan
    )

  def _decode_key(self):
    return self._config.decode.to_dict()

  def _kept(self, name: str, key, compute) -> dict:
    """Arrays of data.cache_dir, computed where they are not there."""
    data = self._data
    about = [
      _FORMAT,
      self._report.fingerprint,
      key,
      data.films.key,
      [study.id for study in data.studies[name.split('-')[0]]],
      data.ids[name.split('-')[0]].tobytes(),
    ]
    digest = hashlib.sha256(repr(about).encode()).hexdigest()[:16]
    folder = Path(self._config.data.cache_dir).expanduser() / 'classifier'
    path = folder / f'{name}-{digest}.npz'
    if path.exists():
      with np.load(path) as arrays:
        return dict(arrays)
    arrays = compute()
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.name}.{os.getpid()}')
    with partial.open('wb') as file:
      np.savez(file, **arrays)
    os.replace(partial, path)
    return arrays
