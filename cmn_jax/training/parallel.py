"""Data parallelism: the only file that names pmap and shard_map.

A step is written for one device, with collectives over AXIS. `Parallel` runs
it on all devices, either way: state is the same on each device, a batch is
split over them along its first axis.
"""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from input_pipeline.errors import UserError, check_choice

AXIS = 'devices'
KINDS = ('pmap', 'shard_map')


class Parallel:
  """Runs per-device functions on all devices of this job.

  Attributes:
    kind: 'pmap' or 'shard_map'; both give the same results.
    devices: all devices of the job.
  """

  def __init__(self, kind: str, devices=None):
    check_choice('train.parallel', kind, KINDS)
    self.kind = kind
    self.devices = list(devices or jax.devices())
    self._local = [
      d for d in self.devices if d.process_index == jax.process_index()
    ]
    mesh_devices = self._local if kind == 'pmap' else self.devices
    self._mesh = Mesh(np.array(mesh_devices), (AXIS,))

  def check_batch_size(self, batch_size: int, field: str, parts: int = 1):
    """Raises UserError unless every device gets the same share.

    Args:
      batch_size: of all devices.
      field: what messages call it.
      parts: train.accumulate; each device's share must divide by it.
    """
    for name, value in ((field, batch_size), ('train.accumulate', parts)):
      if value < 1:
        raise UserError(f'{name} is {value}; it must be 1 or more')
    devices = len(self.devices)
    if batch_size % devices:
      raise UserError(
        f'{field} {batch_size} is not divisible by {devices} devices'
      )
    if batch_size // devices % parts:
      raise UserError(
        f"a device's share of {field} {batch_size}, {batch_size // devices} "
        f'studies, is not divisible by train.accumulate {parts}'
      )

  def replicate(self, tree):
    """A copy of the tree on every device."""
    return jax.device_put(tree, NamedSharding(self._mesh, P()))

  def split(self, batch: dict) -> dict:
    """Places this process's numpy batch, its first axis over the devices."""
    sharding = NamedSharding(self._mesh, P(AXIS))
    if self.kind == 'pmap':
      n = len(self._local)
      return {
        name: jax.device_put(x.reshape(n, -1, *x.shape[1:]), sharding)
        for name, x in batch.items()
      }
    return {
      name: jax.make_array_from_process_local_data(sharding, x)
      for name, x in batch.items()
    }

  def map_step(self, step: Callable, *, donate_state: bool = False) -> Callable:
    """(state, batch) -> tree that is the same on every device.

    With donate_state the state's buffers are reused for the result.
    """
    donate = (0,) if donate_state else ()
    if self.kind == 'pmap':
      return jax.pmap(
        step,
        AXIS,
        in_axes=(None, 0),
        out_axes=None,
        devices=self.devices,
        donate_argnums=donate,
      )
    mapped = jax.shard_map(
      step,
      mesh=self._mesh,
      in_specs=(P(), P(AXIS)),
      out_specs=P(),
      check_vma=False,
    )
    return jax.jit(mapped, donate_argnums=donate)

  def map_studies(self, function: Callable) -> Callable:
    """(state, batch) -> tree of one row per study of this process, numpy."""
    mapped = self.studies_program(function)

    def run(state, batch):
      return jax.tree.map(self._join, mapped(state, batch))

    return run

  def studies_program(self, function: Callable) -> Callable:
    """The compiled program of `map_studies`; its rows stay on the devices."""
    if self.kind == 'pmap':
      return jax.pmap(
        function, AXIS, in_axes=(None, 0), out_axes=0, devices=self.devices
      )
    mapped = jax.shard_map(
      function,
      mesh=self._mesh,
      in_specs=(P(), P(AXIS)),
      out_specs=P(AXIS),
      check_vma=False,
    )
    return jax.jit(mapped)

  def describe(self, state, batch: dict):
    """Abstract arguments of a program: to compile without any device.

    Args:
      state: a tree of arrays or of their shapes, for every device.
      batch: the whole job's, likewise; split as `split` does.
    """
    n = len(self.devices)

    def abstract(x, spec):
      return jax.ShapeDtypeStruct(
        x.shape, x.dtype, sharding=NamedSharding(self._mesh, spec)
      )

    if self.kind == 'pmap':
      return state, jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(
          (n, x.shape[0] // n, *x.shape[1:]), x.dtype
        ),
        batch,
      )
    return (
      jax.tree.map(lambda x: abstract(x, P()), state),
      jax.tree.map(lambda x: abstract(x, P(AXIS)), batch),
    )

  def _join(self, x):
    """This process's rows of a result, in order."""
    if self.kind == 'pmap':
      x = np.asarray(x)
      return x.reshape(-1, *x.shape[2:])
    shards = sorted(x.addressable_shards, key=lambda s: s.index[0].start or 0)
    return np.concatenate([np.asarray(s.data) for s in shards])
