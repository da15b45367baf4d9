"""Training: epochs with validation and checkpoints, resumable at any moment."""

from collections.abc import Iterator
from pathlib import Path

from clu import parameter_overview
from ml_collections import ConfigDict

from cmn_jax import experiment
from cmn_jax.dataset import augmentation_of, open_dataset
from cmn_jax.interop.encoders import (
  IMAGENET,
  UnreachableError,
  load_encoder,
  load_imagenet,
  put_encoder,
)
from cmn_jax.scores.scoring import SplitScorer
from cmn_jax.tasks.writing import ReportWriter
from cmn_jax.training import distributed
from cmn_jax.training.checkpoints import Checkpoints, make_meta
from cmn_jax.training.epochs import check_select_by, run_epochs, tell
from cmn_jax.training.parallel import AXIS, Parallel
from cmn_jax.training.resuming import check_same_run, check_same_words
from cmn_jax.training.state import (
  STEP_ARRAYS,
  TrainState,
  init_state,
  init_variables,
  make_train_step,
)
from input_pipeline import batches as pipeline
from input_pipeline.findings_reader import (
  finding_targets,
  findings_reader,
  target_labels,
)

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
_RANDOM = 'random weights'


class Trainer:
  """One run: everything that the epochs of `config` in `workdir` need."""

  unit = 'reports'

  def __init__(self, config: ConfigDict, workdir: Path):
    self.config = config
    self.workdir = workdir
    self.parallel = Parallel(config.train.parallel)
    self.parallel.check_batch_size(config.train.batch_size, 'train.batch_size')
    self.parallel.check_batch_size(config.eval.batch_size, 'eval.batch_size')
    check_select_by(config, SELECTABLE)
    decoding = experiment.make_decoding(config)
    self._augmentation = augmentation_of(config)
    self.data = open_dataset(config)
    vocabulary = self.data.tokenizer.vocab_size + 1
    self._reader = findings_reader(self.data.label_source)
    self.targets = self._finding_targets()
    self._labels_2xNxL = target_labels(
      self.data.studies['train'], self._reader, self.targets
    )
    # What the visual encoder's weights were at the start, in words.
    self.encoder_start = _RANDOM
    self.model = experiment.make_model(
      config, vocabulary, AXIS, len(self.targets)
    )
    self.studies = len(self.data.studies['train'])
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
        experiment.make_contrast(config),
      ),
      donate_state=True,
    )

  def initial_state(self) -> TrainState:
    """Random parameters of config.seed."""
    data = self.config.data
    variables = init_variables(
      self.model, self.config.seed, data.views, data.image_size
    )
    return init_state(variables, self.optimizer)

  def load_pretrained(self, state: TrainState) -> TrainState:
    """`state` with the encoder that model.pretrained names; says which."""
    encoder, self.encoder_start = pretrained_encoder(self.config.model)
    if encoder is None:
      return state
    return state.replace(**put_encoder(state.variables, encoder))

  def batches(self, first_step: int) -> Iterator[dict]:
    """Training batches of this process, without end."""
    c = self.config
    return pipeline.train_batches(
      self.data,
      batch_size=c.train.batch_size,
      seed=c.seed,
      augmentation=self._augmentation,
      first_step=first_step,
      **distributed.part(),
    )

  def step(self, state: TrainState, batch: dict):
    """One step on all devices: the new state, and the metrics."""
    return self._step(state, self._place(batch))

  def validate(self, state: TrainState) -> dict:
    """Validation loss and the scores of the reports written for it."""
    studies = self.data.studies['val']

    def batches():
      return pipeline.eval_batches(
        self.data,
        'val',
        batch_size=self.config.eval.batch_size,
        **distributed.part(),
      )

    variables = state.variables
    loss = self.writer.loss(variables, batches())
    written = self.writer.write(variables, batches(), len(studies))
    texts = [self.data.text_of(ids) for ids in written.ids_SxT]
    scores = self.scorer(texts, meteor=False)
    return {
      'loss': loss,
      **{k: v for k, v in scores.items() if isinstance(v, float)},
      'micro_f1': scores['findings']['micro_f1'] or 0.0,
      'distinct_reports': scores['distinct_reports'],
    }

  def save(self, checkpoints: Checkpoints, state, history, score: float):
    """Saves the state after the last row of the history."""
    meta = make_meta(
      self.config,
      self.data.tokenizer,
      dataset=self.data.name,
      label_source=self._reader.source,
      history=history,
      finding_targets=self.targets,
    )
    meta['encoder_start'] = self.encoder_start
    checkpoints.save(history[-1]['step'], state, meta, score)

  def summary(self, row: dict) -> str:
    """A validated epoch in one line."""
    val = row['val']
    return (
      f'epoch {row["epoch"]:3d}  train loss {row["train_loss"]:.3f}  val loss '
      f'{val["loss"]:.3f}  BLEU-4 {val["bleu_4"]:.3f}  findings F1 '
      f'{val["micro_f1"]:.3f}'
    )

  def _finding_targets(self) -> list[str]:
    """Names of the findings head's targets; none without that head."""
    if not self.config.train.findings_weight:
      return []
    studies = self.data.studies['train']
    return finding_targets(studies, self._reader, _LEAST_STUDIES)

  def _place(self, batch):
    arrays = {name: batch[name] for name in STEP_ARRAYS}
    if self.targets:
      arrays['findings_BxL'] = self._labels_2xNxL[
        batch['mirrored_B'].astype(int), batch['study_B']
      ]
    return self.parallel.split(arrays)


def pretrained_encoder(c: ConfigDict) -> tuple[dict | None, str]:
  """The encoder of config.model to start from, None for random weights.

  Says which it is, loudly where it is not ImageNet's as asked, and returns
  that in words, too.

  Raises:
    ConversionError: what model.pretrained names is not there or unfit.
  """
  if c.pretrained == '':
    tell(f"the visual encoder starts from {_RANDOM} (model.pretrained is '')")
    return None, _RANDOM
  start = c.pretrained
  if start != 'imagenet':
    encoder = load_encoder(start, c.encoder, c.encoder_width)
  else:
    start = IMAGENET[c.encoder]
    try:
      encoder = load_imagenet(c.encoder, c.encoder_width)
    except UnreachableError as error:
      tell(
        'WARNING: the visual encoder starts from RANDOM weights, where the '
        f"papers start from ImageNet's: {error}"
      )
      return None, _RANDOM
  tell(f'the visual encoder starts from {start}')
  return encoder, start


def train(config: ConfigDict, workdir: str) -> None:
  """Trains to the end or until patience runs out; continues what is there."""
  run = Trainer(config, Path(workdir))
  checkpoints = Checkpoints(run.workdir)
  state, history = _start_or_resume(run, checkpoints)
  run_epochs(run, state, history, checkpoints)


def _start_or_resume(run: Trainer, checkpoints: Checkpoints):
  """The state to begin with, on the host, and the history up to it."""
  state = run.initial_state()
  step = checkpoints.latest_step
  if step is not None:
    meta = checkpoints.meta(step)
    check_same_run(meta['config'], run.config, run.workdir)
    check_same_words(meta['tokenizer'], run.data.tokenizer, run.workdir)
    run.encoder_start = meta.get('encoder_start', 'an unknown state')
    tell(f'continuing {run.workdir} after step {step}')
    return checkpoints.restore(step, state), meta['history']
  devices = run.parallel.devices
  count = parameter_overview.count_parameters(state.params)
  tell(
    f'{run.config.variant}: {count:,} parameters on {len(devices)} x '
    f'{devices[0].device_kind}\n{run.data.name}: '
    f'{len(run.data.studies["train"])} training studies, '
    f'{run.data.tokenizer.vocab_size} words'
  )
  state = run.load_pretrained(state)
  return state, []
