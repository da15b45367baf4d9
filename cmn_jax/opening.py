"""From a config to its data and its task."""

from pathlib import Path

from ml_collections import ConfigDict

from cmn_jax.loaded import Loaded
from cmn_jax.tasks import TASKS, Task
from cmn_jax.training.distributed import first_alone
from cmn_jax.training.optimizer import OptimConfig
from configs import difference
from input_pipeline.data import Data, DataConfig, open_data
from input_pipeline.errors import UserError


def open_task(
  config: ConfigDict, loaded: Loaded | None = None
) -> tuple[Task, Data]:
  """The task of a config, and its data.

  Of several processes the first prepares data that are not there yet.

  Args:
    config: the whole one.
    loaded: a checkpoint to resume or evaluate; None to begin.
  """
  named = difference.defaults(config).get('task', config.task)
  if config.task not in TASKS or config.task != named:
    raise UserError(
      f'task is {config.task!r}, but {config.named} trains {named!r}: it is '
      'not to be changed, choose another config or variant'
    )
  if loaded is None:
    # Before films are prepared, which may take hours.
    OptimConfig(**config.optim)
    for section, kind in TASKS[config.task].sections.items():
      kind(**config[section])
  data = first_alone(lambda: open_data(DataConfig(**config.data)))
  return TASKS[config.task](config, data, loaded), data


def runs_of(config: ConfigDict, workdir: str) -> list[tuple[ConfigDict, Path]]:
  """The config and the workdir of each of config.seeds."""
  if '://' in workdir:
    raise UserError(
      f'--workdir {workdir} is no folder: locks, reports and scores are local '
      'files; mount the bucket, or copy the folder there afterwards'
    )
  if config.seeds < 1:
    raise UserError(f'seeds is {config.seeds}; it must be at least 1')
  if config.seeds == 1:
    return [(config, Path(workdir))]
  runs = []
  for seed in range(config.seed, config.seed + config.seeds):
    one = ConfigDict(config).lock()
    one.update(seed=seed, seeds=1)
    runs.append((one, Path(workdir) / f'seed_{seed}'))
  return runs
