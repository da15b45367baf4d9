"""What a command sets for its process, before its first array."""

from cmn_jax import compilation_cache
from cmn_jax.training import host_memory


def set_up() -> None:
  """Freed memory is kept, and compiled programs are read back."""
  host_memory.keep_freed()
  compilation_cache.enable()
