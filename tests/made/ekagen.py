"""All of EKAGen, very small, from sixty drawn studies."""

import subprocess
from pathlib import Path

from ml_collections import ConfigDict

from configs import phantom
from tests.made import small
from tests.made.runs import LEFT_OUT, ROOT, process_of, program

SETTINGS = {
  'data.phantom_studies': 60,
  'data.phantom_seed': 57,
  'data.phantom_size': 40,
  'data.image_size': 32,
  'data.stored_size': 36,
  'data.max_length': 24,
  'data.reference_length': 24,
  'model.encoder_width': 4,
  'model.width': 16,
  'model.heads': 2,
  'model.hidden': 16,
  'model.layers': 1,
  'ekagen.word_hidden': 16,
  'optim.warmup_steps': 2,
  'train.epochs': 1,
  'train.batch_size': 8,
  'train.freeze': '',
  'data.crop': True,
  'ekagen.frozen': 'none',
  'eval.batch_size': 8,
  'eval.bootstrap': 5,
  'eval.examples': 1,
}
EPOCHS = 2  # of the student


def settings(root: Path, **changes) -> dict:
  """Field to value."""
  return {
    **SETTINGS,
    'data.dir': str(root / 'data'),
    'data.cache_dir': str(root / 'cache'),
    'model.encoder': small.add_tiny_encoder(),
    'classifier.leave_out': LEFT_OUT,
    **changes,
  }


def arguments(root: Path) -> list[str]:
  """Of the builder."""
  return [
    f'--config={ROOT}/configs/phantom.py',
    *(f'--config.{k}={v}' for k, v in settings(root).items()),
    f'--student.train.epochs={EPOCHS}',
    # Two epochs of so few words say nothing else.
    '--student.train.select_by=rouge_l',
  ]


def start(root: Path, workdir: Path) -> subprocess.Popen:
  """The builder, as a process of its own."""
  text = program("run_module('cmn_jax.ekagen', run_name='__main__')")
  return process_of(text, 'build', *arguments(root), f'--workdir={workdir}')


def config_of(root: Path, variant: str, **changes) -> ConfigDict:
  """Of one of the variants."""
  config = phantom.get_config(variant)
  config.update_from_flattened_dict(settings(root, **changes))
  return config.lock()


def student_config(root: Path, **changes) -> ConfigDict:
  """Of the student that the builder trains in root/build."""
  build = root / 'build'
  fields = {
    'ekagen.knowledge': str(build / 'knowledge'),
    'ekagen.locator': str(build / 'diagnosis'),
    'ekagen.teacher': str(build / 'teacher'),
    'model.pretrained': str(build / 'diagnosis'),
    'train.epochs': EPOCHS,
    'train.select_by': 'rouge_l',
  }
  return config_of(root, 'ekagen_rn101', **{**fields, **changes})
