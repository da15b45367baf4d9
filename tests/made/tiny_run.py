"""A workdir of main.py, whole and tiny: trained, tested, with its page."""

import subprocess
import sys
from pathlib import Path

from input_pipeline.phantom.write import write_phantom

ROOT = Path(__file__).parents[2]
STUDIES, EPOCHS = 60, 2
# Fields of a config that make a run of seconds.
FIELDS = {
  'data.phantom_studies': 0,
  'data.image_size': 64,
  'data.stored_size': 72,
  'model.encoder_width': 4,
  'model.memory_slots': 32,
  'model.memory_top_k': 8,
  'model.width': 16,
  'model.heads': 2,
  'model.hidden': 16,
  'model.layers': 1,
  'train.epochs': EPOCHS,
  'train.batch_size': 8,
  'optim.warmup_steps': 2,
  'eval.batch_size': 8,
  'eval.bootstrap': 20,
  'eval.examples': 2,
}


def make(folder: Path, config: str = 'configs/phantom.py:cmn') -> Path:
  """Draws 60 studies into folder/data and runs main.py on them.

  Returns:
    The workdir, folder/run: checkpoints/, evaluation/, report.html.
  """
  write_phantom(folder / 'data', studies=STUDIES, seed=3, size=80, workers=2)
  fields = FIELDS | {
    'data.dir': folder / 'data',
    'data.cache_dir': folder / 'cache',
  }
  done = subprocess.run(
    [
      *(sys.executable, 'main.py', f'--config={config}'),
      f'--workdir={folder / "run"}',
      *(f'--config.{name}={value}' for name, value in fields.items()),
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return folder / 'run'
