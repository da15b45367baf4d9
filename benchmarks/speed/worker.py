"""One side of one workload in a process, run once for each line of input.

  python -m benchmarks.speed.worker SIDE WORKLOAD PLAN

Answers each line on its input with a line of JSON. SIDE is ours, theirs or
theirs_best.
"""

import json
import os
import sys
import time

from benchmarks import resident_memory
from cmn_jax.training import host_memory


def make_side(side: str, workload: str, plan):
  """`Ours` or `Theirs`; the other's packages are not imported."""
  if side == 'ours':
    host_memory.keep_freed()  # As the commands do.
  if workload.startswith('ekagen'):
    if side == 'ours':
      from benchmarks.speed.ekagen_ours import EkagenOurs

      return EkagenOurs(plan)
    from benchmarks.speed.ekagen_theirs import EkagenTheirs

    return EkagenTheirs(plan)
  if side == 'ours':
    from benchmarks.speed.ours import Ours

    return Ours(plan)
  from benchmarks.speed.theirs import Theirs

  return Theirs(plan, at_best=side == 'theirs_best')


def peak_bytes(side: str) -> int:
  """Largest resident memory since `forget_peak`; on a GPU, the device's."""
  if side == 'ours':
    import jax

    statistics = jax.local_devices()[0].memory_stats()
    if statistics:
      return statistics['peak_bytes_in_use']
  else:
    import torch

    if torch.cuda.is_available():
      return torch.cuda.max_memory_allocated()
  return resident_memory.peak_bytes()


def main():
  """Sets up, warms up, then runs once for each line."""
  side, workload, plan_path = sys.argv[1:]
  # Answers go where nothing else is printed.
  answers = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)
  from benchmarks.speed.workloads import Plan

  def answer(**content):
    answers.write(json.dumps(content) + '\n')
    answers.flush()

  made = make_side(side, workload, Plan.load(plan_path))
  begin = time.perf_counter()
  run = getattr(made, workload)()
  setup_seconds = time.perf_counter() - begin
  if not callable(run):
    answer(facts=run)
    return
  begin = time.perf_counter()
  (made.warm_up or run)()
  first_seconds = time.perf_counter() - begin
  resident_memory.forget_peak()
  answer(
    compile_seconds=made.compile_seconds,
    first_seconds=first_seconds,
    setup_seconds=setup_seconds,
    flops=made.flops,
  )
  for _ in sys.stdin:
    begin = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - begin
    answer(seconds=seconds, result=result, peak_bytes=peak_bytes(side))


if __name__ == '__main__':
  main()
