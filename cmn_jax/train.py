"""Training: epochs with validation and checkpoints, resumable at any moment."""

import math
import sys
from pathlib import Path

import jax
import numpy as np
import tqdm
from clu import metric_writers, parameter_overview
from ml_collections import ConfigDict

from cmn_jax import experiment
from cmn_jax.dataset import open_dataset
from cmn_jax.evaluation.findings_reader import (
  finding_targets,
  findings_reader,
  targets_of_study,
)
from cmn_jax.evaluation.metrics import fast_scores
from cmn_jax.evaluation.scoring import SplitScorer
from cmn_jax.evaluation.writing import ReportWriter
from cmn_jax.interop.encoders import load_encoder, put_encoder
from cmn_jax.training.checkpoints import Checkpoints, make_meta
from cmn_jax.training.parallel import AXIS, Parallel
from cmn_jax.training.resuming import check_same_run, check_same_words
from cmn_jax.training.state import (
  TrainState,
  init_state,
  init_variables,
  make_train_step,
)
from input_pipeline import pipeline

# Validation scores that can pick the checkpoint.
SELECTABLE = (
  'bleu_1',
  'bleu_2',
  'bleu_3',
  'bleu_4',
  'rouge_l',
  'cider',
  'meteor_nltk',
  'micro_f1',
)
# A target of the findings head is there in so many training studies at least.
_LEAST_STUDIES = 10


class TrainingError(RuntimeError):
  """Training cannot go on; the checkpoints so far are whole."""


class Trainer:
  """One run: everything that the epochs of `config` in `workdir` need."""

  def __init__(self, config: ConfigDict, workdir: Path):
    self.config = config
    self.workdir = workdir
    self.parallel = Parallel(config.train.parallel)
    self.parallel.check_batch_size(config.train.batch_size, 'train.batch_size')
    self.parallel.check_batch_size(config.eval.batch_size, 'eval.batch_size')
    if config.train.select_by not in SELECTABLE:
      raise ValueError(
        f'train.select_by is {config.train.select_by!r}; choose from '
        f'{", ".join(SELECTABLE)}'
      )
    decoding = experiment.make_decoding(config)
    self.data = open_dataset(config)
    vocabulary = self.data.tokenizer.vocab_size + 1
    self._reader = findings_reader(self.data.label_source)
    self.targets, self._labels_NxL = self._finding_labels()
    self.model = experiment.make_model(
      config, vocabulary, AXIS, len(self.targets)
    )
    self.steps_per_epoch = pipeline.steps_per_epoch(
      self.data, 'train', config.train.batch_size
    )
    self.optimizer = experiment.make_optimizer_of(config, self.steps_per_epoch)
    self.schedule = experiment.make_schedules(config, self.steps_per_epoch)[1]
    self.writer = ReportWriter(self.model, decoding, self.parallel)
    self.scorer = SplitScorer(
      self.data.studies['val'],
      self._reader,
      bootstrap=0,
    )
    self._step = self.parallel.map_step(
      make_train_step(
        self.model,
        self.optimizer,
        config.seed,
        config.train.findings_weight,
      ),
      donate_state=True,
    )

  def initial_state(self) -> TrainState:
    """Random parameters of config.seed, the encoder's pretrained if named."""
    data, model = self.config.data, self.config.model
    variables = init_variables(
      self.model, self.config.seed, data.views, data.image_size
    )
    if model.pretrained:
      encoder = load_encoder(
        model.pretrained, model.encoder, model.encoder_width
      )
      variables = put_encoder(variables, encoder)
    return init_state(variables, self.optimizer)

  def train_epoch(self, state, epoch: int, batches, metrics_out) -> tuple:
    """One epoch; returns the state and the mean training loss."""
    first = epoch * self.steps_per_epoch
    pending = None
    with _EpochProgress(self, epoch, metrics_out) as progress:
      for step in range(first, first + self.steps_per_epoch):
        batch = next(batches)
        state, metrics = self._step(state, self._place(batch))
        # The results of a step are read while the next one runs.
        if pending is not None:
          progress.read(*pending)
        pending = (step, int(batch['mask_B'].sum()), metrics['loss'])
      progress.read(*pending)
    return state, progress.mean_loss

  def validate(self, state: TrainState) -> dict:
    """Validation loss and the scores of the reports written for it."""
    studies = self.data.studies['val']

    def batches():
      return pipeline.eval_batches(
        self.data, 'val', batch_size=self.config.eval.batch_size
      )

    variables = state.variables
    loss = self.writer.loss(variables, batches())
    written = self.writer.write(variables, batches(), len(studies))
    texts = [self.data.text_of(ids) for ids in written.ids_SxT]
    scores = self.scorer(texts, fast_scores)
    return {
      'loss': loss,
      **{k: v for k, v in scores.items() if isinstance(v, float)},
      'micro_f1': scores['findings']['micro_f1'],
      'distinct_reports': scores['distinct_reports'],
    }

  def meta(self, history: list[dict]) -> dict:
    """What a checkpoint says about itself."""
    return make_meta(
      self.config,
      self.data.tokenizer,
      dataset=self.data.name,
      label_source=self._reader.source,
      history=history,
      finding_targets=self.targets,
    )

  def _finding_labels(self):
    """Names of the findings head's targets, and each training study's."""
    if not self.config.train.findings_weight:
      return [], None
    studies = self.data.studies['train']
    names = finding_targets(studies, self._reader, _LEAST_STUDIES)
    labels_NxL = np.zeros((len(studies), len(names)), np.float32)
    for row, study in zip(labels_NxL, studies, strict=True):
      targets = targets_of_study(study, self._reader)
      row[[i for i, name in enumerate(names) if name in targets]] = 1
    return names, labels_NxL

  def _place(self, batch):
    names = ('images_BxIxHxW', 'ids_BxT', 'mask_B')
    arrays = {name: batch[name] for name in names}
    if self.targets:
      arrays['findings_BxL'] = self._labels_NxL[batch['study_B']]
    return self.parallel.split(arrays)


class _EpochProgress:
  """The progress bar and TensorBoard rows of one epoch, and its mean loss."""

  def __init__(self, run: Trainer, epoch: int, metrics_out):
    self._run = run
    self._epoch = epoch
    self._metrics_out = metrics_out
    self._total, self._count, self._last = 0.0, 0.0, None
    self._bar = tqdm.tqdm(
      total=len(run.data.studies['train']),
      desc=f'epoch {epoch + 1}/{run.config.train.epochs}',
      unit=' reports',
      dynamic_ncols=True,
      leave=False,
    )

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self._bar.close()

  @property
  def mean_loss(self) -> float:
    """Nats per token over the epoch so far."""
    return self._total / max(self._count, 1.0)

  def read(self, step: int, studies: int, loss):
    """Takes in one step's loss, a (sum, count) still on the device."""
    loss_sum, tokens = (float(x) for x in loss)
    mean = loss_sum / max(tokens, 1.0)
    if not math.isfinite(mean):
      self._refuse(mean, step)
    self._last = mean
    self._total, self._count = self._total + loss_sum, self._count + tokens
    self._bar.update(studies)
    self._bar.set_postfix_str(f'loss {mean:.3f}')
    if step % self._run.config.train.log_every == 0:
      rate = float(self._run.schedule(step))
      self._metrics_out.write_scalars(
        step, {'train_loss': mean, 'learning_rate': rate}
      )

  def _refuse(self, loss: float, step: int):
    optim = self._run.config.optim
    before = (
      'at the first step of this epoch'
      if self._last is None
      else f'after {self._last:.4g}'
    )
    raise TrainingError(
      f'the training loss became {loss} {before}, at step {step} of epoch '
      f'{self._epoch + 1}: lower optim.rate ({optim.rate}) and '
      f'optim.visual_rate ({optim.visual_rate}), or set optim.clip_norm; '
      'the checkpoints of earlier epochs are whole'
    )


def train(config: ConfigDict, workdir: str) -> None:
  """Trains to the end or until patience runs out; continues what is there."""
  run = Trainer(config, Path(workdir))
  checkpoints = Checkpoints(run.workdir)
  state, history = _start_or_resume(run, checkpoints)
  first_epoch = int(state.step) // run.steps_per_epoch
  state = run.parallel.replicate(state)
  batches = pipeline.train_batches(
    run.data,
    batch_size=config.train.batch_size,
    seed=config.seed,
    augment={'crop': config.data.crop, 'flip': config.data.flip},
    first_step=first_epoch * run.steps_per_epoch,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
  )
  metrics_out = metric_writers.SummaryWriter(str(run.workdir))
  for epoch in range(first_epoch, config.train.epochs):
    if _out_of_patience(history, config):
      break
    state, loss = run.train_epoch(state, epoch, batches, metrics_out)
    step = (epoch + 1) * run.steps_per_epoch
    row = {'epoch': epoch + 1, 'step': step, 'train_loss': loss}
    history = [*history, row]
    last = epoch + 1 == config.train.epochs
    if last or (epoch + 1) % config.train.validate_every == 0:
      row['val'] = run.validate(state)
      score = row['val'][config.train.select_by]
      checkpoints.save(step, state, run.meta(history), score)
      metrics_out.write_scalars(
        step, {f'val_{k}': v for k, v in row['val'].items()}
      )
      _tell(_summary(row))
  metrics_out.close()
  checkpoints.close()


def _start_or_resume(run: Trainer, checkpoints: Checkpoints):
  """The state to begin with, on the host, and the history up to it."""
  state = run.initial_state()
  step = checkpoints.latest_step
  if step is not None:
    meta = checkpoints.meta(step)
    check_same_run(meta['config'], run.config, run.workdir)
    check_same_words(meta['tokenizer'], run.data.tokenizer, run.workdir)
    _tell(f'continuing {run.workdir} after step {step}')
    return checkpoints.restore(step, state), meta['history']
  devices = run.parallel.devices
  count = parameter_overview.count_parameters(state.params)
  _tell(
    f'{run.config.variant}: {count:,} parameters on {len(devices)} x '
    f'{devices[0].device_kind}\n{run.data.name}: '
    f'{len(run.data.studies["train"])} training studies, '
    f'{run.data.tokenizer.vocab_size} words'
  )
  if not run.config.model.pretrained:
    _tell(
      'the visual encoder starts from RANDOM weights, where the papers\n'
      'start from ImageNet: see model.pretrained'
    )
  return state, []


def _tell(line: str):
  """Prints beside the progress bar."""
  tqdm.tqdm.write(line, file=sys.stderr)


def _summary(row: dict) -> str:
  val = row['val']
  return (
    f'epoch {row["epoch"]:3d}  train loss {row["train_loss"]:.3f}  val loss '
    f'{val["loss"]:.3f}  BLEU-4 {val["bleu_4"]:.3f}  findings F1 '
    f'{val["micro_f1"]:.3f}'
  )


def best_row(history: list[dict], select_by: str) -> dict | None:
  """The first validated epoch with the best score."""
  rows = [row for row in history if 'val' in row]
  return max(rows, key=lambda row: row['val'][select_by], default=None)


def _out_of_patience(history: list[dict], config: ConfigDict) -> bool:
  """Whether the best score is at least `patience` epochs old."""
  best = best_row(history, config.train.select_by)
  if best is None:
    return False
  return history[-1]['epoch'] - best['epoch'] >= config.train.patience
