"""XLA's flags for programs so small that compiling them takes longest."""

from importlib.metadata import version

# What LLVM gains is less than it costs.
QUICKLY_COMPILED = ['--xla_backend_optimization_level=0']
if tuple(map(int, version('jaxlib').split('.')[:2])) < (0, 11):
  # Fusions by way of MLIR take twice the time of all else; an XLA that does not
  # know the flag ends the process.
  QUICKLY_COMPILED.append('--xla_cpu_use_fusion_emitters=false')
