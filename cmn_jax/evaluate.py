"""Evaluation: the best checkpoint on val and test, with its baselines."""

import sys
from collections.abc import Collection
from pathlib import Path

import jax
from ml_collections import ConfigDict

from cmn_jax.loaded import Loaded
from cmn_jax.opening import open_task
from cmn_jax.pages.page import write_page
from cmn_jax.tasks import Task
from cmn_jax.training import distributed
from cmn_jax.training.parallel import Parallel
from cmn_jax.training.resuming import evaluation_config, has_other_studies
from cmn_jax.training.studies import OverStudies, Rows, StudyBatches
from configs import difference
from input_pipeline.atomic_write import write_json
from input_pipeline.data import Data, DataConfig
from input_pipeline.terminal import warn

SPLITS = ('val', 'test')
# What stands beside the difference, or says nothing of what was trained.
_NO_CHANGE = (
  *('name', 'seed', 'seeds', 'data.dir', 'data.cache_dir', 'train.profile'),
  *('train.save_every_steps', 'train.save_every_seconds'),
)


def evaluate(
  config: ConfigDict, workdir: Path | str, given: Collection[str] = ()
) -> dict | None:
  """Writes evaluation/{val,test}.json, predictions and report.html.

  The checkpoint is the best by validation; the test split is read here only.
  Network, data and labels are the checkpoint's, see `evaluation_config`.
  Several processes predict together; the first one writes.

  Args:
    config: of the command.
    workdir: a run's, or any folder that `Loaded.load` takes.
    given: fields that the command names, with their defaults or others.

  Returns:
    The content of evaluation/test.json; None where another process has it, and
    with data.synthetic.

  Raises:
    UserError: no checkpoint, or one that does not fit config and data.
  """
  if config.data.synthetic:
    distributed.log(
      'data.synthetic: nothing is evaluated, as films are made up'
    )
    return None
  workdir = Path(workdir)
  loaded = Loaded.load(workdir)
  origin = Path(loaded.origin)
  config = evaluation_config(loaded.meta['config'], config, origin, given)
  parallel = Parallel(config.train.parallel)
  parallel.check_batch_size(config.eval.batch_size, 'eval.batch_size')
  task, data = open_task(config, loaded)
  task.check(loaded.meta, origin)
  others = has_other_studies(loaded.meta, data, 'train')
  if others and distributed.is_first():
    warn(
      f'{origin} was trained on other studies than the training part at hand: '
      'of the studies that are scored it may have seen some'
    )
  augmentation = DataConfig(**config.data).augmentation
  batches = StudyBatches(task, data, config, augmentation)
  variables = parallel.replicate(loaded.variables)
  predict = OverStudies(
    lambda variables, batch: task.predict(variables, batch, full=True),
    parallel,
  )
  out = workdir / 'evaluation'
  if distributed.is_first():
    out.mkdir(parents=True, exist_ok=True)
  for split in SPLITS:
    studies = len(data.studies[split])
    distributed.log(f'predicting and scoring {studies} {split} {task.unit}')
    rows = predict(variables, batches.split(split), studies)
    # What scoring computes of images, all processes compute together.
    results = _results(task, data, config, loaded, split, rows)
    if not distributed.is_first():
      continue
    write_json(out / f'{split}.json', results)
    write_json(
      out / f'{split}_predictions.json', task.predictions(split, rows.arrays)
    )
  if not distributed.is_first():
    return None
  write_page(
    workdir / 'report.html',
    title=f'{config.name} on {data.name}',
    description=_describe(loaded, data, parallel),
    sections=task.page(results, rows.arrays, loaded.variables),
  )
  for line in (
    f'{config.name} on {data.name}, {results["studies"]} test studies',
    f'(split {data.split_source}), selected on {results["selected_on"]}',
    *task.lines(results),
    f'page: {workdir / "report.html"}',
  ):
    print(line)
  return results


def _results(
  task: Task, data: Data, config, loaded: Loaded, split: str, rows: Rows
) -> dict:
  """The content of evaluation/<split>.json: what was evaluated, and scores."""
  meta = loaded.meta
  last = meta['history'][-1] if meta['history'] else {}
  return {
    'task': config.task,
    'name': config.name,
    'named_config': config.named,
    'config': {
      field: value
      for field, value in difference.changes(config).items()
      if field not in _NO_CHANGE
      # A section that other tasks do not read.
      and (config.task == 'ekagen' or not field.startswith('ekagen.'))
    },
    'checkpoint': {
      'step': last.get('step'),
      'epoch': last.get('epoch'),
    },
    'seed': config.seed,
    'dataset': data.name,
    'split': split,
    'split_source': data.split_source,
    'split_digest': data.split_digest[split],
    'split_official': data.split_official[split],
    'selected_on': f'val {meta["config"]["train"]["select_by"]}',
    **task.score(split, rows.arrays, True, loaded.variables),
    'left_out': data.problems,
    'seconds': rows.seconds,
    f'{task.unit}_per_second': rows.studies_per_second,
    'versions': meta['versions'],
  }


def _describe(loaded: Loaded, data: Data, parallel: Parallel) -> str:
  c = loaded.config
  count = sum(x.size for x in jax.tree.leaves(loaded.variables['params']))
  return (
    f'{c.named}, seed {c.seed}, {count:,} parameters, {c.model.encoder} at '
    f'{c.data.image_size} pixels, trained on {len(data.studies["train"])} '
    f'studies of {data.name}; checkpoint of step {Path(loaded.origin).name}; '
    f'{len(parallel.devices)} {parallel.devices[0].device_kind} devices.'
  )


if __name__ == '__main__':
  sys.exit(
    'error: this is no command; use '
    '`python main.py --config=FILE --workdir=DIR --mode=evaluate`'
  )
