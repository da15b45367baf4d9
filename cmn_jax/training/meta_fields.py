"""A checkpoint's meta as it must be: every field of its type, within bounds."""

import math

from configs import base, difference
from input_pipeline.errors import UserError
from input_pipeline.film_statistics import FilmStatistics

# What training films look like; older checkpoints do not say, and no film is
# judged by them.
FILM_STATISTICS = 'film_statistics'
# Types of fields; those that a task adds and that are not here it checks.
_TYPES = {
  'task': str,
  'config': dict,
  'history': list,
  'score': int | float | None,
  'split_digests': dict,
  'versions': dict,
  'tokenizer': dict,
  'dataset': str,
  'label_source': str | None,
  'finding_targets': list,
  'encoder': str,
  'encoder_start': str,
  'classifier': dict,
  'diagnosis': dict,
  'parts': dict,
  'candidates': list,
  'r2gencmn': dict,
  'batches_tracked': dict | None,
}
# What arrays are made of before those of the checkpoint are compared to it.
_MOST = {
  'model.layers': 200,
  'data.views': 100,
  'data.max_length': 10_000,
  'data.reference_length': 10_000,
  'ekagen.max_words': 10_000,
  'data.image_size': 8_000,
  'data.stored_size': 8_000,
}
_MOST_OF_MODEL = 20_000  # widths, slots, heads


class Fields(dict):
  """A part of a meta; a field that it lacks is a UserError that names it."""

  def __init__(self, fields: dict, where: str):
    """Copies `fields`; `where` is what messages call it."""
    super().__init__(
      (k, Fields(v, f'{where}, {k}') if isinstance(v, dict) else v)
      for k, v in fields.items()
    )
    self._where = where

  def __missing__(self, name):
    raise UserError(
      f'{self._where}, has no field {name!r}: it is cut short or not of a '
      'checkpoint of this task; train or convert again'
    )


def fault_of(meta: dict) -> str | None:
  """What is wrong with a meta whose config is complete; None of a good one."""
  for name, kind in _TYPES.items():
    if name in meta and not isinstance(meta[name], kind):
      return f'{name} is {_shown(meta[name])}'
  for name in ('finding_targets', 'candidates'):
    if not all(isinstance(text, str) for text in meta.get(name, ())):
      return f'{name} holds something else than texts'
  for row in meta.get('history', ()):
    if not isinstance(row, dict) or not isinstance(row.get('epoch', 0), int):
      return f'history holds {_shown(row)}'
  if meta.get(FILM_STATISTICS) is not None:
    try:
      FilmStatistics.from_json(meta[FILM_STATISTICS])
    except UserError as error:
      return str(error)
  faults = _faults_of_config(meta['config']) if 'config' in meta else iter(())
  return next(faults, None)


def _faults_of_config(config):
  usual = difference.flat(base.make_config('', 'base', {}).to_dict())
  flat = difference.flat(config)
  for name, default in usual.items():
    value = flat.get(name)
    number = isinstance(default, float)
    kind = (int | float) if number else type(default)
    exact = isinstance(value, bool) == isinstance(default, bool)
    if not isinstance(value, kind) or not exact:
      yield f'config.{name} is {_shown(value)}'
    elif number and not math.isfinite(value):
      yield f'config.{name} is {value}'
    elif isinstance(value, int) and not isinstance(value, bool):
      most = _MOST_OF_MODEL if name.startswith('model.') else 1 << 62
      most = _MOST.get(name, most)
      if not -most <= value <= most:
        yield f'config.{name} is {str(value)[:40]}, more than {most:,}'


def _shown(value):
  return f'{str(value)[:60]!r} ({type(value).__name__})'
