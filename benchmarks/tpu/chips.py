"""Chips by name: their published peaks, and topologies of them."""

import dataclasses

from jax.experimental import topologies

from input_pipeline.errors import UserError


@dataclasses.dataclass(frozen=True)
class Chip:
  """Published peaks of one chip.

  Attributes:
    flops: bfloat16 operations a second.
    bandwidth: bytes a second from and to HBM.
    hbm: bytes of HBM.
  """

  flops: float
  bandwidth: float
  hbm: float


# cloud.google.com/tpu/docs/{v4,v5e,v5p,v6e}, "Key chip specifications".
CHIPS = {
  'v4': Chip(275e12, 1200e9, 32 * 2**30),
  'v5e': Chip(197e12, 819e9, 16e9),
  'v5p': Chip(459e12, 2765e9, 95e9),
  'v6e': Chip(918e12, 1638e9, 32e9),
}


class CheckError(UserError):
  """The check cannot be made as asked."""


def open_topology(topology: str):
  """The chip's peaks and the chips of a topology, such as 'v5e:2x4'.

  Raises:
    CheckError: it is unknown, or libtpu is not installed.
  """
  name = topology.split(':')[0]
  if name not in CHIPS:
    raise CheckError(
      f'--topology {topology} names no known chip: expected one of '
      f'{", ".join(CHIPS)}, a colon and a shape, such as v5e:2x4'
    )
  try:
    import libtpu  # noqa: F401  (only to say in one sentence that it is absent)
  except ImportError:
    raise CheckError(
      "libtpu, the TPU's compiler, is not installed here: "
      'pip install -r requirements-tpu-check.txt'
    ) from None
  try:
    found = topologies.get_topology_desc(platform='tpu', topology_name=topology)
  except Exception as error:
    reason = str(error).split('\n')[0]
    raise CheckError(
      f'libtpu knows no topology {topology} ({reason}): try v5e:2x4, v4:2x2x1'
    ) from error
  return CHIPS[name], list(found.devices)
