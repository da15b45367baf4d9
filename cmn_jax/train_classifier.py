"""Training a classifier on a pretrained report model, resumable as all runs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from clu import parameter_overview
from ml_collections import ConfigDict

from cmn_jax import experiment
from cmn_jax.classifier_inputs import ClassifierInputs, labels_of
from cmn_jax.dataset import open_dataset
from cmn_jax.losses.classification import (
  MULTI_LABEL,
  Objective,
  balanced_shares,
  class_weights,
)
from cmn_jax.report_model import ReportModel
from cmn_jax.scores.decisions import choose_thresholds, decide
from cmn_jax.scores.multilabel import score_classification
from cmn_jax.training.checkpoints import Checkpoints, make_meta
from cmn_jax.training.classifier_step import make_classifier_step
from cmn_jax.training.epochs import check_select_by, run_epochs, tell
from cmn_jax.training.parallel import AXIS, Parallel
from cmn_jax.training.resuming import (
  check_same_classes,
  check_same_run,
  check_same_words,
)
from cmn_jax.training.state import TrainState, init_state
from input_pipeline import batches as pipeline

# Validation scores that can pick the checkpoint.
SELECTABLE = (
  'micro_f1',
  'f1_macro',
  'f1_weighted',
  'auroc_macro',
  'auprc_macro',
  'accuracy',
)


class ClassifierTrainer:
  """One run: everything that the epochs of `config` in `workdir` need.

  Attributes:
    labels: what every study has.
    inputs: the classifier, and batches for it.
    thresholds_C: of the last validation; None for a single label.
  """

  unit = 'studies'

  def __init__(self, config: ConfigDict, workdir: Path, report: ReportModel):
    self.config = config
    self.workdir = workdir
    self.parallel = Parallel(config.train.parallel)
    self.parallel.check_batch_size(config.train.batch_size, 'train.batch_size')
    self.parallel.check_batch_size(config.eval.batch_size, 'eval.batch_size')
    check_select_by(config, SELECTABLE)
    self.data = open_dataset(config)
    report.check_fits(self.data)
    self.report = report
    self.labels = labels_of(config, self.data)
    self.inputs = ClassifierInputs(
      config, self.data, report, len(self.labels.classes), self.parallel
    )
    self.studies = len(self.data.studies['train'])
    self.steps_per_epoch = pipeline.steps_per_epoch(
      self.data, 'train', config.train.batch_size
    )
    self.optimizer = experiment.make_optimizer_of(config, self.steps_per_epoch)
    self.schedule = experiment.make_schedules(config, self.steps_per_epoch)[1]
    self.thresholds_C = None
    self._step = self.parallel.map_step(
      make_classifier_step(
        self.inputs.model,
        self._objective(),
        self.optimizer,
        config.seed,
        AXIS,
      ),
      donate_state=True,
    )

  def initial_state(self) -> TrainState:
    """A random head on the report model; a frozen one is no part of it."""
    head = self.inputs.init_head(self.config.seed)
    variables = {'params': {'head': head}, 'batch_stats': {}}
    if not self.inputs.frozen:
      for kind, tree in self.report.variables.items():
        variables[kind] = {**variables[kind], 'report': tree}
    return init_state(variables, self.optimizer)

  def batches(self, first_step: int) -> Iterator[dict]:
    """Training batches of this process, without end."""
    shares_N = None
    if self.config.classifier.balanced_sampling:
      shares_N = balanced_shares(
        self.labels.present['train'], self.labels.known['train']
      )
    return self.inputs.train_batches(first_step, shares_N)

  def step(self, state: TrainState, batch: dict):
    """One step on all devices: the new state, and the metrics."""
    study_B = batch['study_B']
    labels = {
      'labels_BxC': self.labels.present['train'][study_B].astype(np.float32),
      'known_BxC': self.labels.known['train'][study_B],
    }
    return self._step(state, self.inputs.place({**batch, **labels}))

  def validate(self, state: TrainState) -> dict:
    """Scores at the thresholds that are best on validation themselves."""
    probability_SxC = self.inputs.probabilities(state.variables, 'val')
    present, known = self.labels.present['val'], self.labels.known['val']
    if self.config.classifier.task == MULTI_LABEL:
      self.thresholds_C = choose_thresholds(present, known, probability_SxC)
    result = score_classification(
      present,
      known,
      decide(probability_SxC, self.thresholds_C),
      self.labels.classes,
      probability_SxC=probability_SxC,
      bootstrap=0,
      single_label=self.config.classifier.task != MULTI_LABEL,
    )
    # An average over no class at all is no score.
    return {name: result[name] or 0.0 for name in SELECTABLE}

  def save(self, checkpoints: Checkpoints, state, history, score: float):
    """Saves the classifier, its report model with it, frozen or not."""
    meta = make_meta(
      self.config,
      self.data.tokenizer,
      dataset=self.data.name,
      label_source=self.labels.source,
      history=history,
      finding_targets=self.report.meta['finding_targets'],
    )
    c = self.config.classifier
    meta['classifier'] = {
      'classes': list(self.labels.classes),
      'inputs': c.inputs,
      'task': c.task,
      'thresholds': (
        None if self.thresholds_C is None else self.thresholds_C.tolist()
      ),
      'report_model': self.report.meta,
      'report_fingerprint': self.report.fingerprint,
    }
    checkpoints.save(history[-1]['step'], self._whole(state), meta, score)

  def summary(self, row: dict) -> str:
    """A validated epoch in one line."""
    val = row['val']
    return (
      f'epoch {row["epoch"]:3d}  train loss {row["train_loss"]:.4f}  F1 micro '
      f'{val["micro_f1"]:.3f} macro {val["f1_macro"]:.3f}  AUROC '
      f'{val["auroc_macro"]:.3f}'
    )

  def restore(self, checkpoints: Checkpoints, step: int) -> TrainState:
    """The state of a step, on the host."""
    like = self._whole(self.initial_state())
    state = checkpoints.restore(step, like)
    return state.replace(**self.inputs.own_variables(state.variables))

  def _whole(self, state: TrainState) -> TrainState:
    """The state with a frozen report model's variables in it."""
    if not self.inputs.frozen:
      return state
    frozen = self.report.variables
    return state.replace(
      params={**state.params, 'report': frozen['params']},
      batch_stats={'report': frozen['batch_stats']},
    )

  def _objective(self) -> Objective:
    c = self.config.classifier
    return Objective(
      c.task,
      c.ce_weight,
      c.focal_weight,
      c.gamma,
      c.alpha,
      class_weights(
        self.labels.present['train'],
        self.labels.known['train'],
        c.class_weights,
      ),
    )


def train_classifier(config: ConfigDict, workdir: str) -> None:
  """Trains to the end or until patience runs out; continues what is there."""
  report = ReportModel.load(config.classifier.checkpoint)
  run = ClassifierTrainer(config, Path(workdir), report)
  checkpoints = Checkpoints(run.workdir)
  state, history = _start_or_resume(run, checkpoints)
  run_epochs(run, state, history, checkpoints)


def _start_or_resume(run: ClassifierTrainer, checkpoints: Checkpoints):
  """The state to begin with, on the host, and the history up to it."""
  step = checkpoints.latest_step
  if step is not None:
    meta = checkpoints.meta(step)
    check_same_run(meta['config'], run.config, run.workdir)
    check_same_words(meta['tokenizer'], run.data.tokenizer, run.workdir)
    run.report.check_same(meta['classifier'], run.workdir)
    check_same_classes(
      meta['classifier']['classes'], run.labels.classes, run.workdir
    )
    tell(f'continuing {run.workdir} after step {step}')
    return run.restore(checkpoints, step), meta['history']
  state = run.initial_state()
  count = parameter_overview.count_parameters(state.params)
  c, labels = run.config.classifier, run.labels
  known = int(labels.known['train'].any(axis=1).sum())
  tell(
    f'{run.config.variant}, inputs {c.inputs}: {count:,} parameters, the '
    f'report model {"fine-tuned" if c.finetune else "frozen"}\n'
    f'{run.data.name}: {known} of {run.studies} training studies have labels '
    f'of source {labels.source}, {len(labels.classes)} classes'
  )
  return state, []
