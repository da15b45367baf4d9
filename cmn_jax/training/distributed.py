"""Several processes that train as one: their start, and what they exchange.

Every process runs the same program on the same arguments; each reads its own
rows of a batch. Folders must be shared: all read the workdir, and the first
process writes it.
"""

import contextlib
import itertools
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils
from orbax.checkpoint import multihost

from input_pipeline import stopping
from input_pipeline.errors import UserError, first_line
from input_pipeline.terminal import say

_ADDRESS = re.compile(r'[\w.\-]+:\d+|\[[\da-fA-F:]+\]:\d+')
# For the others to come, and after how many that is said.
_START_SECONDS, _PATIENT_SECONDS = 300, 10
# A process that says nothing for so long is lost, and the others end.
_HEARTBEAT_SECONDS = 30
# The first process may prepare data, or score, while the others wait.
_WAIT_SECONDS = 24 * 3600
_waits = itertools.count()
# What an error says that comes of a connection to another process.
_OF_OTHERS = re.compile('Gloo|[Cc]oordination|heartbeat|Connection|Barrier')
_passed_on = []  # the Ctrl-C of this process that JAX was told of


def start(coordinator: str | None, processes: int | None, process: int | None):
  """Joins the other processes; returns when all are there.

  Where the others do not come this process ends with a sentence: JAX would
  abort it.

  Args:
    coordinator: HOST:PORT of the first process; None where JAX finds the
      others by itself (TPU pods, Slurm, Kubernetes).
    processes: of the job; None with the coordinator.
    process: which of them this is, from 0; None with the coordinator.

  Raises:
    UserError: the three do not fit together, or the others cannot be found.
  """
  given = [x is not None for x in (coordinator, processes, process)]
  if any(given) and not all(given):
    raise UserError(
      '--coordinator, --processes and --process belong together: give all '
      'three, or none where JAX finds the processes by itself, as on TPU pods'
    )
  if all(given):
    if not _ADDRESS.fullmatch(coordinator):
      raise UserError(
        f'--coordinator is {coordinator!r}; expected HOST:PORT of the first '
        'process, such as 10.0.0.1:8476'
      )
    if not 0 <= process < processes:
      raise UserError(
        f'--process is {process} of --processes {processes}; expected 0 to '
        f'{processes - 1}'
      )
  # What simulated devices on CPUs talk through; other platforms ignore it.
  jax.config.update('jax_cpu_collectives_implementation', 'gloo')
  what = 'this process waits for the others of its job'
  if all(given):
    what = f'process {process} of {processes} waits for the others at '
    what += coordinator
  try:
    with _awaited(what):
      jax.distributed.initialize(
        coordinator,
        processes,
        process,
        # Then JAX aborts; `_awaited` is to be first.
        initialization_timeout=2 * _START_SECONDS,
        heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
        shutdown_timeout_seconds=_WAIT_SECONDS,
      )
  except (ValueError, RuntimeError) as error:
    hint = '' if all(given) else ' (elsewhere than on TPU pods give all three)'
    why = first_line(error).rstrip('.')
    raise UserError(
      f'the processes did not find each other: {why}; '
      f'--coordinator, --processes and --process say where they are{hint}'
    ) from error


@contextlib.contextmanager
def _awaited(what: str) -> Iterator[None]:
  """Meanwhile a thread says what is waited for, and ends what is in vain."""
  here = threading.Event()

  def watch():
    if here.wait(_PATIENT_SECONDS):
      return
    print(
      f'{what}, for {_START_SECONDS} s at most', file=sys.stderr, flush=True
    )
    if here.wait(_START_SECONDS - _PATIENT_SECONDS):
      return
    print(
      f'error: {what}, and {_START_SECONDS} s were not enough: start the '
      'command once for each process, where they can reach the first one, and '
      'where --coordinator is given with a --process of its own',
      file=sys.stderr,
      flush=True,
    )
    os._exit(1)

  threading.Thread(target=watch, daemon=True).start()
  try:
    yield
  finally:
    here.set()


def alone() -> None:
  """Raises UserError if there are other processes."""
  if jax.process_count() > 1:
    raise UserError(
      f'a classifier trains in one process, not in {jax.process_count()}: '
      'start it on one host, without --distributed'
    )


def asked_to_stop(step: int) -> int | None:
  """The signal that ends this job after `step`, the same in all processes.

  One of several processes tells the others, and all of them stop after the
  same step; JAX sees to that, by SIGTERM.
  """
  here = stopping.requested()
  if jax.process_count() == 1:
    return here
  if here is not None and not _passed_on:
    _passed_on.append(here)
    os.kill(os.getpid(), signal.SIGTERM)
  if multihost_utils.reached_preemption_sync_point(step):
    return here or signal.SIGTERM
  return None


def any_says(yes: bool) -> bool:
  """Whether any process says yes; the same answer in all of them."""
  if jax.process_count() == 1:
    return yes
  return bool(np.any(multihost_utils.process_allgather(np.array(yes))))


def of_another(error: Exception) -> bool:
  """Whether an error comes of another process that cannot be reached."""
  chain = [error, error.__cause__, error.__context__]
  return jax.process_count() > 1 and bool(_OF_OTHERS.search(str(chain)))


@contextlib.contextmanager
def together() -> Iterator[None]:
  """Meanwhile a process that is lost ends this one too, with a sentence."""
  try:
    yield
  except Exception as error:
    if not of_another(error):
      raise
    print(
      f'error: process {jax.process_index()} of {jax.process_count()} has lost '
      f'another ({first_line(error)}); JAX names it below '
      f'within {2 * _HEARTBEAT_SECONDS} s; the same commands continue from the '
      'last save',
      file=sys.stderr,
      flush=True,
    )
    # JAX ends this process. To leave by itself it would wait for the others.
    time.sleep(2 * _HEARTBEAT_SECONDS)
    os._exit(1)


def is_first() -> bool:
  """Whether this process is the one that prints and writes."""
  return jax.process_index() == 0


def log(line: str) -> None:
  """Prints a line to stderr beside a progress bar, once for all processes."""
  if is_first():
    say(line)


def part() -> dict:
  """Which rows of each batch this process reads; arguments of batches."""
  return {
    'process_index': jax.process_index(),
    'process_count': jax.process_count(),
  }


def wait_for_all():
  """Returns when every process has come here."""
  if jax.process_count() > 1:
    # Not an exchange between devices, which would not wait for long.
    multihost.sync_global_processes(
      f'cmn_jax_{next(_waits)}',
      timeout=_WAIT_SECONDS,
      processes=set(range(jax.process_count())),
    )


def first_alone(function: Callable):
  """function() of every process, the first one's before the others'.

  What it leaves in a shared folder is there for the others.
  """
  if is_first():
    result = function()
  wait_for_all()
  return result if is_first() else function()


def joined(rows_Sx: np.ndarray) -> np.ndarray:
  """Rows of all studies, where each process has filled those of its own.

  Args:
    rows_Sx: zero in the rows of other processes.
  """
  if jax.process_count() == 1:
    return rows_Sx
  return np.sum(multihost_utils.process_allgather(rows_Sx), axis=0).astype(
    rows_Sx.dtype
  )
