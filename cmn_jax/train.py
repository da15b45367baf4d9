"""Training: epochs with validation and checkpoints, resumable at any moment."""

import contextlib
import sys
from pathlib import Path

from ml_collections import ConfigDict

from cmn_jax.loaded import Loaded
from cmn_jax.opening import open_task
from cmn_jax.tasks import Task
from cmn_jax.training.checkpoints import latest_folder
from cmn_jax.training.distributed import is_first, log
from cmn_jax.training.loop import run_epochs
from cmn_jax.training.parallel import Parallel
from cmn_jax.training.resuming import check_same_run, check_same_studies
from cmn_jax.training.run import Run
from cmn_jax.training.saving import Checkpoints, set_aside_damaged
from cmn_jax.training.state import init_state
from input_pipeline import folder_lock
from input_pipeline.data import DataConfig
from input_pipeline.errors import UserError


def train(config: ConfigDict, workdir: Path | str) -> None:
  """Trains to the end or until patience runs out; resumes what is there.

  Args:
    config: of a file in configs/.
    workdir: where the run is, or will be.

  Raises:
    UserError: the config, the data or the workdir do not fit.
  """
  with contextlib.ExitStack() as held:
    _train(config, Path(workdir), held)


def _train(config: ConfigDict, workdir: Path, held: contextlib.ExitStack):
  there = workdir.is_dir()
  if there:
    _hold(held, workdir)
  parallel = Parallel(config.train.parallel)
  augmentation = DataConfig(**config.data).augmentation
  set_aside_damaged(workdir)
  folder = latest_folder(workdir)
  loaded = Loaded.load(folder) if folder else None
  if loaded:
    check_same_run(loaded.meta['config'], config, workdir)
  task, data = open_task(config, loaded)
  if config.data.synthetic:
    _check_synthetic(task, config, folder)
  run = Run(task, data, config, augmentation, workdir, parallel)
  if loaded:
    task.check(loaded.meta, workdir)
    check_same_studies(loaded.meta, data, workdir)
  else:
    variables = task.variables(config.seed)
    log(
      f'{task.about(variables)}\n{len(parallel.devices)} x '
      f'{parallel.devices[0].device_kind}'
    )
    state = init_state(variables, run.optimizer, task.frozen)
  if not there:
    _hold(held, workdir)
  if config.data.synthetic:
    run_epochs(run, state, {}, None)
    return
  checkpoints = Checkpoints(workdir)
  if loaded:
    log(f'continuing {workdir} after step {checkpoints.latest_step}')
    before, now = loaded.meta.get('devices'), len(parallel.devices)
    if before and before != now:
      log(
        f'it was saved on {before} device(s), now there are {now}: sums round '
        'otherwise, so that not every bit is the same from here on'
      )
    state = checkpoints.restore(loaded.variables, run.optimizer, task.frozen)
  run_epochs(run, state, loaded.meta if loaded else {}, checkpoints)


def _check_synthetic(task: Task, config: ConfigDict, folder: Path | None):
  """Says what data.synthetic does; raises UserError where it cannot."""
  if folder:
    raise UserError(
      f'{folder} is of a run, and data.synthetic=True trains on made-up films: '
      'choose another --workdir'
    )
  if not (task.reads_images and config.train.epochs):
    raise UserError(
      'data.synthetic is True, but this run trains on what is computed of '
      'films at its start: set it to False, or train.freeze and '
      'classifier.finetune so that steps read films'
    )
  log(
    'data.synthetic: every step has the same batch of made-up films; nothing '
    'is validated, evaluated or saved'
  )


def _hold(held: contextlib.ExitStack, workdir: Path) -> None:
  """Keeps other runs out of a folder, once it is clear that this one begins."""
  if is_first():
    held.enter_context(folder_lock.locked(workdir))


if __name__ == '__main__':
  sys.exit(
    'error: this is no command; use '
    '`python main.py --config=FILE --workdir=DIR`'
  )
