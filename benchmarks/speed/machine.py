"""The machine that measures: its name and its matmul peak."""

import os
import platform
import re
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

# Sides of the square matrices that are multiplied, by platform.
_PEAK_SIZE = {'cpu': 2048, 'gpu': 8192, 'tpu': 8192}
_PEAK_RUNS = 5


def machine() -> dict:
  """Processor, cores that this process may use, memory, accelerator."""
  device = jax.devices()[0]
  return {
    'processor': _processor(),
    'cores': len(os.sched_getaffinity(0)),
    'memory_bytes': os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'),
    'device': device.device_kind,
    'platform': device.platform,
    'system': platform.platform(),
  }


def _processor() -> str:
  cpuinfo = Path('/proc/cpuinfo')
  if cpuinfo.exists():
    name = re.search(r'model name\s*:\s*(.+)', cpuinfo.read_text())
    if name:
      return name[1]
  return platform.processor() or platform.machine()


def matmul_peak(dtype) -> float:
  """Floating point operations a second of the best of some large products."""
  size = _PEAK_SIZE[jax.devices()[0].platform]
  rng = np.random.default_rng(0)
  a, b = (jnp.asarray(rng.normal(size=(size, size)), dtype) for _ in range(2))
  product = jax.jit(jnp.matmul)
  product(a, b).block_until_ready()
  best = float('inf')
  for _ in range(_PEAK_RUNS):
    begin = time.perf_counter()
    product(a, b).block_until_ready()
    best = min(best, time.perf_counter() - begin)
  return 2.0 * size**3 / best
