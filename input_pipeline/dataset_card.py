"""dataset.md: what a data set holds, in tables that a person reads."""

import collections

from input_pipeline.findings import CHEXPERT_14, chexpert_labels
from input_pipeline.layouts.splits import members_digest
from input_pipeline.report_lengths import (
  COLUMNS,
  WORDS,
  describe,
  length_lines,
  lengths_of,
  percent,
)
from input_pipeline.study import SPLITS
from input_pipeline.tokenizers import CLEANERS

_RULES = 'rules'


def write_card(dataset, clean, units, notes=()):
  """The Markdown text about a `study.Dataset`.

  Args:
    dataset: its studies are those that are counted.
    clean: how reports are cleaned before words are counted.
    units: what lengths are counted in; see `report_lengths.units_of`.
    notes: lines about how the films were prepared.
  """
  name = dataset.name
  parts = [
    f'# {name}\n\n{dataset.layout} layout in `{dataset.folder}`.',
    f'Licence. {dataset.licence}',
    *notes,
    _split_table(dataset),
    _length_table(dataset, clean, units),
    _label_table(dataset),
    _dropped_table(dataset),
  ]
  return '\n\n'.join(parts) + '\n'


def summary(dataset, units):
  """A few lines for the screen: what was found, dropped and kept, and how long.

  The lengths are told if `units` holds more than words.
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
  lines.append(
    f'  kept    {sum(counts.values()):>8,}  studies: {shares} '
    f'(split {dataset.split_name})'
  )
  views = collections.Counter(
    view or 'unknown' for s in _all(dataset) for view in _views(s)
  )
  shares = ', '.join(f'{n:,} {view}' for view, n in sorted(views.items()))
  lines.append(f'  films   {sum(views.values()):>8,}  by view: {shares}')
  lines += length_lines(dataset, units) if len(units) > 1 else []
  return '\n'.join(lines)


def _all(dataset):
  return [study for split in SPLITS for study in dataset.studies[split]]


def _views(study):
  """Views of the films that there are."""
  pairs = zip(study.films, study.views, strict=True)
  return [view for film, view in pairs if film]


def _dropped(dataset):
  return {why: n for why, n in sorted(dataset.dropped.items()) if n}


def _table(header, rows):
  lines = [header, ['---'] + ['---:'] * (len(header) - 1), *rows]
  return '\n'.join(f'| {" | ".join(map(str, line))} |' for line in lines)


def _split_table(dataset):
  rows = []
  for split in SPLITS:
    studies = dataset.studies[split]
    views = collections.Counter(v for s in studies for v in _views(s))
    rows.append(
      [split, f'{len(studies):,}']
      + [f'{views[view]:,}' for view in ('frontal', 'lateral', None)]
    )
  members = [(study.id, study.split) for study in _all(dataset)]
  return (
    f'## Split: {dataset.split_name}\n\n'
    f'Members (digest of ids and splits): `{members_digest(members)}`. '
    f'Scores compare only between equal members.\n\n'
    + _table(
      ['split', 'studies', 'frontal films', 'lateral', 'view unknown'], rows
    )
  )


def _length_table(dataset, clean, units):
  texts = {
    split: [CLEANERS[clean](s.report) for s in dataset.studies[split]]
    for split in SPLITS
  }
  train = set(texts['train'])
  tables = []
  for unit, count in units.items():
    header = ['split', *(f'{unit}, {COLUMNS[0]}', *COLUMNS[1:])]
    if unit == WORDS:
      header += ['distinct reports', 'also in train']
    rows = []
    for split, lengths in lengths_of(dataset, count).items():
      if not lengths:
        continue
      row = [split, *describe(lengths)]
      if unit == WORDS:
        repeated = sum(text in train for text in texts[split])
        again = '' if split == 'train' else percent(repeated, len(lengths))
        row += [f'{len(set(texts[split])):,}', again]
      rows.append(row)
    tables.append(_table(header, rows))
  return (
    f'## Reports\n\nText: {dataset.sections}. Words are those of the cleaning '
    f"'{clean}', full stops too; a report of over 58, or of so many pieces, is "
    f'cut at a max_length of 60.\n\n' + '\n\n'.join(tables)
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
  studies = _all(dataset)
  if any(study.findings is not None for study in studies):
    return (
      dataset.label_source,
      lambda study: (
        None
        if study.findings is None
        else {finding['name'] for finding in study.findings}
      ),
    )
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
  text = '## Left out\n\n' + _table(['why', 'how many'], rows)
  if dataset.problems:
    listed = '\n'.join(f'- {problem}' for problem in dataset.problems[:100])
    text += f'\n\nThe first of them:\n\n{listed}'
  return text
