"""dataset.md: what a data set holds, in tables that a person reads."""

import collections
import statistics
from collections.abc import Callable, Sequence

from input_pipeline.config import DataConfig
from input_pipeline.findings import CHEXPERT_14, chexpert_labels
from input_pipeline.layouts import splits
from input_pipeline.study import SPLITS, Dataset, Study
from input_pipeline.tokenizers import CLEANERS, SentencePieceTokenizer

_RULES = 'rules'
_WORDS = 'words'
_LENGTHS = ('mean', 'median', '95th percentile', 'longest', 'over 58')
# {what is counted: report -> how many of it}
Units = dict[str, Callable[[str], int]]


def units_of(dataset: Dataset, config: DataConfig) -> Units:
  """What lengths are counted in: words first, then pieces if asked for.

  Pieces are trained on the train reports.
  """
  clean = CLEANERS[config.clean]
  units = {_WORDS: lambda report: len(clean(report).split())}
  if config.tokenizer != _WORDS:
    reports = [study.report for study in dataset.studies['train']]
    fitted = SentencePieceTokenizer.fit(
      reports, config.pieces, config.tokenizer, config.clean
    )
    units[f'{config.pieces:,} {config.tokenizer} pieces'] = fitted.count
  return units


def write_card(dataset: Dataset, config: DataConfig, units: Units) -> str:
  """The Markdown text about a prepared data set.

  Args:
    dataset: its studies are those that are counted.
    config: how it was prepared.
    units: of `units_of`.
  """
  parts = [
    f'# {dataset.name}',
    f'{dataset.layout} layout in `{dataset.folder}`.',
    f'Licence. {dataset.licence}',
    f'Films: {config.views} of each study (view_rule {config.view_rule}, '
    f'min_films {config.min_films}); train films with a short side of '
    f'{config.stored_size} pixels, val and test films {config.image_size} x '
    f'{config.image_size}.',
    _split_table(dataset),
    _length_table(dataset, config, units),
    _label_table(dataset),
    _dropped_table(dataset),
  ]
  return '\n\n'.join(parts) + '\n'


def summary(dataset: Dataset, units: Units) -> str:
  """A few lines for the screen: what was found, left out and kept.

  How long the reports are is said if `units` holds more than words.
  """
  found = ', '.join(f'{n:,} {what}' for what, n in dataset.found.items())
  lines = [f'{dataset.layout} layout in {dataset.folder}: {found}']
  lines += [
    f'  dropped {count:>8,}  {why}' for why, count in _dropped(dataset).items()
  ]
  if dataset.problems:
    lines.append(f'  bad     {len(dataset.problems):>8,}  studies:')
    lines += [f'    {problem}' for problem in dataset.problems[:10]]
    lines += ['    ...'] * (len(dataset.problems) > 10)
  counts = {split: len(dataset.studies[split]) for split in SPLITS}
  shares = ', '.join(f'{n:,} {split}' for split, n in counts.items())
  source = splits.split_source(dataset.split_name, dataset.studies)
  lines.append(
    f'  kept    {sum(counts.values()):>8,}  studies: {shares} (split {source})'
  )
  views = collections.Counter(
    view or 'unknown'
    for split in SPLITS
    for view in _views(dataset.studies[split])
  )
  shares = ', '.join(f'{n:,} {view}' for view, n in sorted(views.items()))
  lines.append(f'  films   {sum(views.values()):>8,}  by view: {shares}')
  if len(units) > 1:
    for unit, lengths in _lengths(dataset.studies['train'], units).items():
      pairs = zip(_LENGTHS, lengths, strict=True)
      listed = ', '.join(f'{name} {value}' for name, value in pairs)
      lines.append(f'  train reports in {unit}: {listed}')
  return '\n'.join(lines)


def _views(studies):
  """Views of the films that there are."""
  return [
    view
    for study in studies
    for film, view in zip(study.films, study.views, strict=True)
    if film
  ]


def _dropped(dataset):
  return {why: n for why, n in sorted(dataset.dropped.items()) if n}


def _table(header, rows):
  lines = [header, ['---'] + ['---:'] * (len(header) - 1), *rows]
  return '\n'.join(f'| {" | ".join(map(str, line))} |' for line in lines)


def _split_table(dataset):
  header = 'split', 'studies', 'frontal films', 'lateral', 'view unknown'
  rows = []
  for split in SPLITS:
    studies = dataset.studies[split]
    views = collections.Counter(_views(studies))
    counts = len(studies), *(views[v] for v in ('frontal', 'lateral', None))
    digest = f'`{splits.part_digest(studies)}`'
    rows.append([split, *(f'{n:,}' for n in counts), digest])
  source = splits.split_source(dataset.split_name, dataset.studies)
  return (
    f'## Split: {source}\n\nScores compare only between parts of the same '
    'studies, which have the same digest in every layout.\n\n'
    + _table([*header, 'digest'], rows)
  )


def _lengths(studies: Sequence[Study], units: Units) -> dict[str, list[str]]:
  """A text for each of `_LENGTHS`, by unit; nothing without studies."""
  described = {}
  for unit, count in units.items() if studies else ():
    lengths = sorted(count(study.report) for study in studies)
    described[unit] = [
      f'{statistics.fmean(lengths):.1f}',
      f'{lengths[len(lengths) // 2]}',
      f'{lengths[int(0.95 * (len(lengths) - 1))]}',
      f'{lengths[-1]}',
      _percent(sum(n > 58 for n in lengths), len(lengths)),
    ]
  return described


def _percent(part, whole):
  return f'{100 * part / whole:.1f} %'


def _length_table(dataset, config, units):
  texts = {
    split: [CLEANERS[config.clean](s.report) for s in dataset.studies[split]]
    for split in SPLITS
  }
  train = set(texts['train'])
  lengths = {s: _lengths(dataset.studies[s], units) for s in SPLITS}
  tables = []
  for unit in units:
    header = ['split', *(f'{unit}, {_LENGTHS[0]}', *_LENGTHS[1:])]
    rows = {s: [s, *lengths[s][unit]] for s in SPLITS if lengths[s]}
    if unit == _WORDS:
      header += ['distinct reports', 'also in train']
      for split, row in rows.items():
        repeated = sum(text in train for text in texts[split])
        share = _percent(repeated, len(texts[split]))
        row += [f'{len(set(texts[split])):,}', share]
      rows['train'][-1] = ''
    tables.append(_table(header, rows.values()))
  return (
    f'## Reports\n\nText: {config.sections}. Words are those of the cleaning '
    f"'{config.clean}', full stops too; a report of over 58, or of so many "
    'pieces, is cut at a max_length of 60.\n\n' + '\n\n'.join(tables)
  )


def _label_table(dataset):
  source, labels_of = _labels_of(dataset)
  counts = {split: collections.Counter() for split in SPLITS}
  unknown = dict.fromkeys(SPLITS, 0)
  for split in SPLITS:
    for study in dataset.studies[split]:
      positive = labels_of(study)
      unknown[split] += positive is None
      counts[split].update(positive or ())
  names = set().union(*counts.values())
  ordered = [n for n in CHEXPERT_14 if n in names]
  ordered += sorted(names - set(ordered))
  rows = [[name, *(f'{counts[s][name]:,}' for s in SPLITS)] for name in ordered]
  if any(unknown.values()):
    rows.append(['(not labelled)', *(f'{unknown[s]:,}' for s in SPLITS)])
  return (
    f'## Labels: {source}\n\nStudies in which each class is positive.\n\n'
    + _table(['class', *SPLITS], rows)
  )


def _labels_of(dataset):
  """The labels' source, and study -> names of its positive classes or None."""
  studies = [study for split in SPLITS for study in dataset.studies[split]]

  def drawn(study):
    if study.findings is None:
      return None
    return {finding['name'] for finding in study.findings}

  if any(study.findings is not None for study in studies):
    return dataset.label_source, drawn
  if any(study.labels is not None for study in studies):
    return dataset.label_source, lambda study: _positive(study.labels)
  return f'{_RULES} (read in the text)', lambda study: _positive(
    chexpert_labels(study.report)
  )


def _positive(labels):
  if labels is None:
    return None
  return {name for name, status in labels.items() if status == 'positive'}


def _dropped_table(dataset):
  rows = [[why, f'{n:,}'] for why, n in _dropped(dataset).items()]
  rows.append(['missing or unreadable films', f'{len(dataset.problems):,}'])
  found = [[what, f'{n:,}'] for what, n in dataset.found.items()]
  text = '## Found\n\n' + _table(['what', 'how many'], found)
  text += '\n\n## Left out\n\n' + _table(['why', 'how many'], rows)
  if dataset.problems:
    listed = '\n'.join(f'- {problem}' for problem in dataset.problems[:100])
    text += f'\n\nThe first of them:\n\n{listed}'
  return text
