"""Whether a config's loss is the same in bfloat16: both types, step by step.

  python -m benchmarks.speed.half_precision --config=configs/phantom.py:cmn

Trains twice from the same weights on the same batches with the same dropout,
in float32 and in bfloat16, and prints both losses. Nothing is saved.
"""

import sys
import tempfile
from pathlib import Path

import jax
from absl import app, flags
from ml_collections import ConfigDict

from cmn_jax import compilation_cache
from cmn_jax.command_line import CONFIG, parse
from cmn_jax.experiment import DTYPES

_STEPS = flags.DEFINE_integer('steps', 50, 'Training steps.', lower_bound=1)
_ROWS = 10


def losses(config: ConfigDict, dtype: str, steps: int) -> list[float]:
  """The report's loss of each of the first steps, per word."""
  from cmn_jax.train import Trainer

  config = ConfigDict(config).lock()
  config.model.dtype = dtype
  with tempfile.TemporaryDirectory() as folder:
    trainer = Trainer(config, Path(folder))
    state = trainer.load_pretrained(trainer.initial_state())
    state = trainer.parallel.replicate(state)
    batches = trainer.batches(0)
    values = []
    for _ in range(steps):
      state, metrics = trainer.step(state, next(batches))
      total, count = jax.device_get(metrics['loss'])
      values.append(float(total / count))
  return values


def table(by_dtype: dict[str, list[float]]) -> str:
  """Some of the steps, and the largest difference of all."""
  whole, half = (by_dtype[dtype] for dtype in DTYPES)
  gaps = [abs(b - a) / a for a, b in zip(whole, half, strict=True)]
  shown = range(len(gaps) - 1, -1, -max(1, len(gaps) // _ROWS))
  lines = ['| step | float32 | bfloat16 | relative difference |']
  lines += ['| ---: | ---: | ---: | ---: |']
  lines += [
    f'| {i + 1} | {whole[i]:.4f} | {half[i]:.4f} | {gaps[i]:.1e} |'
    for i in reversed(shown)
  ]
  worst = gaps.index(max(gaps))
  mean = abs(sum(half) - sum(whole)) / sum(whole)
  lines += [
    '',
    f'Largest difference of {len(gaps)} steps: {gaps[worst]:.1e}, at step '
    f'{worst + 1}; of their mean: {mean:.1e}.',
  ]
  return '\n'.join(lines)


def main(_):
  """Trains twice; what a person can mend is told in one sentence."""
  compilation_cache.enable()
  try:
    by_dtype = {
      dtype: losses(CONFIG.value, dtype, _STEPS.value) for dtype in DTYPES
    }
  except (OSError, ValueError) as error:
    sys.exit(f'error: {error}')
  print(table(by_dtype))


if __name__ == '__main__':
  app.run(main, flags_parser=parse)
