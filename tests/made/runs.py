"""Small trained runs, made once for all tests that look at one.

A report model and a classifier on it, of sixty drawn studies;
`tests/conftest.py` has them as the fixture `runs`.
"""

import contextlib
import dataclasses
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import jax
import numpy as np
from ml_collections import ConfigDict

from cmn_jax.evaluate import evaluate
from cmn_jax.train import train
from cmn_jax.training.checkpoints import load_model
from cmn_jax.training.run import Run
from configs import phantom
from tests.made import small
from tests.made.reads import recorded

ROOT = Path(__file__).parents[2]
EPOCHS = 3
STEPS = 7  # of an epoch: 52 of the 60 studies train, 8 at a time
SMALL = {
  'data.phantom_studies': 60,
  'data.phantom_seed': 57,
  'data.phantom_size': 80,
  'data.image_size': 64,
  'data.stored_size': 72,
  'data.max_length': 40,
  'data.reference_length': 40,
  'model.encoder': small.add_tiny_encoder(),
  'model.encoder_width': 4,
  'model.memory_slots': 32,
  'model.memory_top_k': 8,
  'model.width': 16,
  'model.heads': 2,
  'model.hidden': 16,
  'model.layers': 1,
  'decode.beam_size': 2,
  'optim.warmup_steps': 2,
  'train.epochs': EPOCHS,
  'train.batch_size': 8,
  'train.select_by': 'rouge_l',
  'eval.batch_size': 8,
  'eval.bootstrap': 20,
  'eval.examples': 2,
}
# Too rare for sixty studies.
LEFT_OUT = (
  'fracture,pleural thickening,hiatal hernia,catheter,pneumothorax,edema'
)
# What the variants of other tasks change beside.
CONSENSUS = {'train.epochs': 0, 'train.select_by': 'micro_f1'}
CLASSIFIER = {
  'name': 'renamed',
  'classifier.inputs': 'image+generated',
  'classifier.leave_out': LEFT_OUT,
  'classifier.hidden': 8,
  'train.epochs': 2,
  'train.select_by': 'f1_macro',
}


@dataclasses.dataclass(frozen=True)
class Runs:
  """Where the shared runs are; a test that changes one takes a copy.

  Attributes:
    root: of all: data/, cache/, report/, classifier/, consensus/.
  """

  root: Path

  @property
  def report(self) -> Path:
    """Workdir of the report model: EPOCHS epochs of STEPS steps."""
    return self.root / 'report'

  @property
  def classifier(self) -> Path:
    """Workdir of a classifier that reads the report model's reports."""
    return self.root / 'classifier'

  @property
  def printed(self) -> dict[str, str]:
    """What each run printed, by the name of its workdir."""
    return json.loads((self.root / 'printed.json').read_text())

  @property
  def reads(self) -> set[str]:
    """Config fields that the runs read."""
    return set(json.loads((self.root / 'reads.json').read_text()))

  def config(self, variant: str = 'proposed', **changes) -> ConfigDict:
    """The config of a small run, with fields changed."""
    return config_of(self.root, variant, **changes)

  def results(self, name: str = 'report', split: str = 'test') -> dict:
    """The content of a run's evaluation/<split>.json."""
    return json.loads(
      (self.root / name / 'evaluation' / f'{split}.json').read_text()
    )

  def predictions(self, name: str = 'report') -> list[dict]:
    """The content of a run's evaluation/test_predictions.json."""
    path = self.root / name / 'evaluation' / 'test_predictions.json'
    return json.loads(path.read_text())


def settings(root: Path, **changes) -> dict:
  """Field to value of a small run."""
  return {
    **SMALL,
    'data.dir': str(root / 'data'),
    'data.cache_dir': str(root / 'cache'),
    **changes,
  }


def config_of(root: Path, variant: str, **changes) -> ConfigDict:
  """As `Runs.config`."""
  config = phantom.get_config(variant)
  more = {
    'report': {},
    'classify': {**CLASSIFIER, 'classifier.checkpoint': str(root / 'report')},
    'consensus': CONSENSUS,
  }[config.task]
  config.update_from_flattened_dict(settings(root, **{**more, **changes}))
  return config.lock()


def run(config: ConfigDict, workdir: Path, mode: str = 'train') -> dict:
  """As main.py, in this process; the content of evaluation/test.json."""
  # No Java: METEOR is another test's.
  with mock.patch.dict(os.environ, PATH='/nonexistent'):
    if mode == 'train':
      train(config, workdir)
    evaluate(config, workdir)
  return json.loads((workdir / 'evaluation' / 'test.json').read_text())


def make_runs(root: Path) -> None:
  """Trains and evaluates each, in this process."""
  printed = {}
  variants = {'report': 'proposed', 'classifier': 'classifier'}
  variants |= {'consensus': 'consensus'}
  with recorded() as reads:
    for name, variant in variants.items():
      out = io.StringIO()
      with contextlib.redirect_stdout(out):
        run(config_of(root, variant), root / name)
      printed[name] = out.getvalue()
  (root / 'printed.json').write_text(json.dumps(printed))
  (root / 'reads.json').write_text(json.dumps(sorted(reads)))


def program(call: str) -> str:
  """Python's text of a call of runpy, where there is the small encoder too."""
  return f"""
import runpy, sys
sys.path.insert(0, {str(ROOT)!r})
from tests.made import small
small.add_tiny_encoder()
runpy.{call}
"""


PROGRAM = program(f"run_path({str(ROOT / 'main.py')!r}, run_name='__main__')")


def start(root: Path, workdir: Path, *flags: str) -> subprocess.Popen:
  """main.py on the report model's config, as a process of its own."""
  fields = settings(root)
  return process_of(
    PROGRAM,
    f'--config={ROOT}/configs/phantom.py:proposed',
    f'--workdir={workdir}',
    *(f'--config.{name}={value}' for name, value in fields.items()),
    *flags,
  )


def process_of(text: str, *arguments: str) -> subprocess.Popen:
  """A Python program with its arguments, without Java."""
  return subprocess.Popen(
    [sys.executable, '-c', text, *arguments],
    env={**os.environ, 'PATH': '/nonexistent'},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def stop_after(monkeypatch, epoch: int) -> None:
  """Makes runs end as by Ctrl-C when the checkpoint of an epoch is saved."""
  save = Run.save

  def save_and_stop(run, checkpoints, state, history):
    save(run, checkpoints, state, history)
    if history[-1]['epoch'] == epoch:
      checkpoints.wait()
      raise KeyboardInterrupt

  monkeypatch.setattr(Run, 'save', save_and_stop)


def assert_same_run(one: Path, other: Path) -> None:
  """As `assert_same_training`, and the same scores."""
  assert_same_training(one, other)
  both = one.parent, other.parent
  assert _placeless(_timeless(one), both) == _placeless(_timeless(other), both)


def assert_same_training(one: Path, other: Path) -> None:
  """The same checkpoints to the bit, with the same history."""
  steps = _steps(one)
  assert steps == _steps(other), (one, steps, _steps(other))
  for step in steps:
    (got, meta), (want, expected) = (
      load_model(workdir / 'checkpoints' / step) for workdir in (one, other)
    )
    jax.tree.map(np.testing.assert_array_equal, got, want)
    for each in (meta, expected):
      for field in ('save_every_steps', 'save_every_seconds'):
        del each['config']['train'][field]
    both = one.parent, other.parent
    assert _placeless(meta, both) == _placeless(expected, both)


# TensorBoard rows of a machine, which no two runs have alike.
_OF_TIME = (
  'step_seconds films_per_second waited_seconds tflop_per_second share_of_peak'
).split()


def scalars(workdir: Path) -> list[tuple[int, str, float]]:
  """All TensorBoard rows of a run, in the order of their steps."""
  import tensorflow as tf

  found = set()
  for path in workdir.glob('events.out.tfevents*'):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      for value in event.summary.value:
        if value.tag not in _OF_TIME:
          number = float(tf.make_ndarray(value.tensor))
          found.add((event.step, value.tag, number))
  return sorted(found)


def _steps(workdir) -> list[str]:
  return sorted(path.name for path in (workdir / 'checkpoints').iterdir())


def _timeless(workdir) -> dict:
  """The content of test.json, without what a clock said."""
  results = json.loads((workdir / 'evaluation' / 'test.json').read_text())
  return {k: v for k, v in results.items() if 'second' not in k}


def _placeless(content: dict, folders: Sequence[Path]) -> dict:
  """Without the folders around workdirs: where the parts of builds lie."""
  text = json.dumps(content)
  for folder in folders:
    text = text.replace(f'{folder}/', '')
  return json.loads(text)


def edit_meta(workdir: Path, edit: Callable[[dict], dict]) -> None:
  """Changes the meta of each checkpoint in a workdir."""
  for step in _steps(workdir):
    (path,) = (workdir / 'checkpoints' / step / 'meta').glob('*metadata')
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))
