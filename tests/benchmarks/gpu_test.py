"""The GPU benchmark: what it needs, and what it says of measured rows."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.speed.workloads import LENGTH, OPTIM, VIEWS, Plan
from cmn_jax.models.config import ModelConfig
from cmn_jax.training.optimizer import OptimConfig
from configs import iu_xray

ROOT = Path(__file__).parents[2]
# A machine with a GPU may have none of them.
ABSENT = """tensorflow tensorflow_datasets clu orbax.checkpoint ml_collections
  tqdm sentencepiece nltk pydicom PIL safetensors huggingface_hub torch"""


def test_our_side_needs_jax_flax_optax_and_numpy_alone(tmp_path):
  program = f"""
import sys
for name in '{' '.join(ABSENT.split())}'.split():
  sys.modules[name] = None
from benchmarks import gpu
from benchmarks.speed import ours
"""
  done = subprocess.run(
    [sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr


def test_the_sizes_are_those_of_the_config():
  config = iu_xray.get_config('cmn')
  plan = Plan(
    batch=16,
    beam=3,
    studies=590,
    split_batches=1,
    image_size=224,
    encoder='resnet101',
    vocabulary=761,
    data='',
    cache_dir='',
    checkout=None,
    threads=1,
    dtype='float32',
    folder='',
  )
  published = ModelConfig.of(config, 761)
  assert vars(plan.model()) | {'pretrained': 'imagenet'} == vars(published)
  assert OptimConfig(**config.optim) == OPTIM
  assert (config.data.views, config.data.max_length) == (VIEWS, LENGTH)


def test_a_machine_without_one_is_told(monkeypatch):
  monkeypatch.setattr(gpu, 'do_once', lambda *_: {'platform': 'cpu'})
  with pytest.raises(SystemExit, match='JAX finds no GPU here'):
    gpu.main([])


def _row(work, dtype, studies, **measured):
  return {
    'work': work,
    'dtype': dtype,
    'studies': studies,
    'note': '',
  } | measured


def test_page_and_summary():
  rows = [
    _row(
      'train_step',
      'float32',
      16,
      ours_seconds=0.018,
      theirs_seconds=0.09,
      ratio=5.0,
      films_per_second=1777.8,
      share_of_peak=0.25,
      ours_bytes=8e9,
      compile_seconds=61.0,
    ),
    _row('train_step', 'bfloat16', 128, error='out of memory'),
    _row('encoder', 'float32', 16, skipped='out of time'),
    *(_row('digest', 'float32', 16, digest=bits) for bits in 'ab'),
    *(
      _row('digest', 'float32', 16, digest='c') | {'note': 'deterministic'}
      for _ in range(2)
    ),
  ]
  peaks = {'float32': 4e14}
  machine = {'device': 'NVIDIA H100', 'matmul_peak_flops': peaks}
  content = {'machine': machine, 'rows': rows}
  head, _, _, _, step, failed, skipped = gpu.page(content)
  assert head == (
    'NVIDIA H100; products of matrices reach 400.0 TFLOP/s in float32.'
  )
  cells = [cell.strip() for cell in step.strip('|').split('|')]
  assert cells == [
    *('train_step', 'float32', '16', '', '18', '90', '5', '1778', '-', '25%'),
    *('8.00', '61'),
  ]
  assert failed.count(' - ') == 8 and 'out of time' in skipped
  said = gpu.summary(content)
  assert 'takes 18 ms in float32' in said and ' - films a second' in said
  assert said.endswith(
    'A second process ends with other bits, with deterministic operations with '
    'the same ones.'
  )
