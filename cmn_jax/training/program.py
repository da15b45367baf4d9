"""A compiled training step: what it computes, and the machine's share of it."""

import time

import jax
import jax.numpy as jnp

from cmn_jax.training import host_memory

# TFLOP/s of one device in bfloat16, dense, as their makers give them; the
# first name that a device's kind holds.
_PEAKS = {
  'v6': 918.0,
  'v5p': 459.0,
  'v5 lite': 197.0,
  'v5e': 197.0,
  'v5': 459.0,
  'v4': 275.0,
  'H200': 989.0,
  'H100': 989.0,
  'A100': 312.0,
}
_CPU_SIDE, _CPU_ROUNDS = 1024, 5


def peak_flops(device: jax.Device) -> float | None:
  """FLOP/s that a device can do; of a CPU as measured, None if unknown."""
  if device.platform == 'cpu':
    return _measured()
  for name, tera in _PEAKS.items():
    if name.lower() in device.device_kind.lower():
      return tera * 1e12
  return None


def _measured() -> float:
  """FLOP/s of products of float32 matrices, the best of a few."""
  multiply = jax.jit(jnp.matmul)
  x = jnp.ones((_CPU_SIDE, _CPU_SIDE))
  multiply(x, x).block_until_ready()
  best = 0.0
  for _ in range(_CPU_ROUNDS):
    begin = time.perf_counter()
    multiply(x, x).block_until_ready()
    best = max(best, 2 * _CPU_SIDE**3 / (time.perf_counter() - begin))
  return best


class Program:
  """A step that was compiled before its first call.

  Attributes:
    flops: of one device and one step, as XLA counts them.
    peak: FLOP/s of a device, None if unknown.
  """

  def __init__(
    self, function, state, batch, device: jax.Device, parts: int = 1
  ):
    """Compiles.

    Args:
      function: the step, mapped.
      state: its first argument.
      batch: its second.
      device: one of those that run it.
      parts: train.accumulate, passes of a loop that XLA counts once; the
        optimizer, outside it, is little beside them.
    """
    self._compiled = function.lower(state, batch).compile()
    memory = self._compiled.memory_analysis()
    host_memory.set_aside(memory.temp_size_in_bytes)
    # What pmap compiles for several processes cannot be called directly.
    alone = jax.process_count() == 1
    self._call = self._compiled if alone else function
    counted = float((self._compiled.cost_analysis() or {}).get('flops', 0))
    self.flops = parts * counted
    self.peak = peak_flops(device)
    self._batch_bytes = sum(x.nbytes for x in jax.tree.leaves(batch))

  def __call__(self, state, batch):
    return self._call(state, batch)

  def share_of_peak(self, step_seconds: float) -> float | None:
    """Of the arithmetic that the machine can do, what a step of such a time
    does; None where its peak is unknown."""
    return self.peak and self.flops / step_seconds / self.peak

  def about(self) -> str:
    """Operations and memory of one device, in two lines."""
    memory = self._compiled.memory_analysis()
    kept = memory.argument_size_in_bytes
    return (
      f'a step on a device: {_operations(self.flops)}, '
      f'{_bytes(kept)} of arguments,\n  '
      f'{_bytes(memory.temp_size_in_bytes)} of temporaries; '
      f'a batch is {_bytes(self._batch_bytes)}'
    )


def _operations(count: float) -> str:
  if count >= 1e12:
    return f'{count / 1e12:.3g} TFLOP'
  return f'{count / 1e9:.3g} GFLOP'


def _bytes(count: float) -> str:
  return f'{count / 1e9:.2f} GB' if count >= 1e9 else f'{count / 1e6:.1f} MB'
