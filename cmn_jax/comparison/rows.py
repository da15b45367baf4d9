"""Which runs share a table, which are seeds of one row, and its name."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from cmn_jax.comparison import published
from cmn_jax.comparison.table import Row, cell_of
from cmn_jax.scores.catalogue import Score, value_of
from cmn_jax.scores.results import dependence_note, is_classifier
from input_pipeline.errors import UserError

# Config fields that do not tell rows apart: one is the seed, the others name
# files, or change no score.
_NOT_OF_A_ROW = (
  'seed',
  'name',
  'data.dir',
  'data.cache_dir',
  'classifier.checkpoint',
  'train.parallel',
)
# Of EKAGen, folders, which differ from seed to seed: a row is told by which of
# them there are.
_PARTS = (
  *('ekagen.knowledge', 'ekagen.locator', 'ekagen.masks', 'ekagen.teacher'),
  'model.pretrained',
)


def grouped(
  runs: Iterable[Mapping], key: Callable[[Mapping], Hashable]
) -> list[list[Mapping]]:
  """Results of which the key is the same, in the order of appearance."""
  groups = {}
  for results in runs:
    groups.setdefault(key(results), []).append(results)
  return list(groups.values())


def table_key(results: Mapping) -> tuple:
  """What runs of one table share: data, studies, texts, labels.

  Runs of different test studies never share one: the digest is of these.
  """
  if is_classifier(results):
    labels = results['labels']
    task = (
      *(labels['source'], labels.get('digest')),
      *(tuple(labels['classes']), tuple(labels['rare'])),
      'confusion_matrix' in results,
    )
  else:
    references = tuple(sorted(results['references'].items()))
    task = results['findings']['source'], references
  return results['dataset'], results['split_digest'], results['studies'], task


def row_key(results: Mapping) -> tuple:
  """What the seeds of one row share, of one table."""
  return (
    results['name'],
    results['named_config'],
    results.get('inputs'),
    results.get('finetuned'),
    _report_model(results),
    tuple(sorted((k, repr(v)) for k, v in _config(results).items())),
  )


def _report_model(results: Mapping) -> str | None:
  """The name of what a classifier stands on."""
  return results.get('report_model', {}).get('name')


def _config(results: Mapping) -> dict:
  parts = _PARTS if results['task'] == 'ekagen' else ()
  return {
    key: 'a run' if key in parts and '/' in str(value) else value
    for key, value in results['config'].items()
    if key not in _NOT_OF_A_ROW and not key.startswith('eval.')
  }


def rows_of(runs: Sequence[Mapping]) -> dict[str, list[Mapping]]:
  """The runs of each row by its name: the papers' order, then as they came."""
  groups = grouped(runs, row_key)
  order = [*published.REPORTS, *published.CLASSIFICATION]
  place = {name: n for n, name in enumerate(order)}
  groups.sort(key=lambda group: place.get(group[0]['name'], len(place)))
  names = [_plain_name(group) for group in groups]
  rows = {}
  for name, group in zip(names, groups, strict=True):
    alike = [g[0] for n, g in zip(names, groups, strict=True) if n == name]
    full = name if len(alike) == 1 else name + _what_differs(group[0], alike)
    rows[f'{full}, {seeds_of(run["seed"] for run in group)}'] = group
  return rows


def seeds_of(seeds: Iterable[int]) -> str:
  """'seed 1' or '3 seeds'."""
  seeds = list(seeds)
  return f'seed {seeds[0]}' if len(seeds) == 1 else f'{len(seeds)} seeds'


def _plain_name(group) -> str:
  first = group[0]
  return first['name'] + (f', {first["inputs"]}' if 'inputs' in first else '')


def _what_differs(results, alike) -> str:
  """The fields in which rows of one name differ, as a bracket."""
  sides = [
    {
      'config': r['named_config'],
      'finetuned': r.get('finetuned'),
      'report model': _report_model(r),
      **_config(r),
    }
    for r in alike
  ]
  own = sides[next(n for n, r in enumerate(alike) if r is results)]
  fields = dict.fromkeys(key for side in sides for key in side)
  differing = [
    f'{key}={own[key]}' if key in own else f'{key} as named'
    for key in fields
    if len({repr(side.get(key)) for side in sides}) > 1
  ]
  return f' ({", ".join(differing)})'


def check_distinct(runs: Sequence[Mapping]) -> None:
  """Refuses two runs of one row and one seed.

  Raises:
    UserError: there are two.
  """
  for group in grouped(runs, lambda r: (table_key(r), row_key(r), r['seed'])):
    if len(group) > 1:
      first = group[0]
      raise UserError(
        f'{len(group)} runs of {_plain_name(group)}, seed {first["seed"]} on '
        f'{first["dataset"]}: expected each seed once; name each run once, or '
        'tell them apart by --config.name=ANOTHER_NAME when training'
      )


def make_row(
  name: str,
  kind: str,
  results: Sequence[Mapping],
  scores: Sequence[Score],
) -> Row:
  """A line of the results of one or several seeds."""
  cells = [cell_of([value_of(r, s) for r in results], s) for s in scores]
  return Row(name, kind, cells)


def split_note(results: Mapping) -> str:
  """The studies of a table, in words."""
  official = 'official' if results['split_official'] else 'not official'
  about = (
    f'{results["studies"]} test studies, split {results["split_source"]} '
    f'({official}, {results["split_digest"]})'
  )
  doubt = dependence_note(results['dataset'])
  return f'{about}. {doubt.removesuffix(".")}' if doubt else about


def seeds_note(runs: Sequence[Mapping]) -> str:
  """How several seeds are printed, '' where every row has one."""
  several = any(len(group) > 1 for group in grouped(runs, row_key))
  return ' Of several seeds: mean ± sample deviation.' if several else ''
